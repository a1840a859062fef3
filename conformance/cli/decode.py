# SPDX-License-Identifier: GPL-2.0-only
"""``conformance decode``: an SPTE as a picture of its bits, field by field, and whether KVM would make it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conformance.errors import ConformanceError
from conformance.reports.text import line, word

if TYPE_CHECKING:
    from rich.console import Console

    from conformance.kernels.selector import Tree
    from conformance.model.kernel import Kernel

__all__ = ["decode"]


class _Spte(click.ParamType):
    """A 64-bit word: hex with 0x, or decimal."""

    name = "spte"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The word as an int."""
        try:
            if not re.fullmatch(r"0[xX][0-9a-fA-F_]+|[0-9][0-9_]*", value):
                raise ValueError
            spte = int(value, 0)
        except ValueError:
            example = f"0x{value}" if re.fullmatch(r"[0-9a-fA-F]{1,16}", value) else "0x600000000000975"
            self.fail(f"{line(value)!r} is no SPTE; pass hex, such as {example}, or decimal.", param, ctx)
        if spte >> 64:
            self.fail(f"{line(value)!r} has {spte.bit_length()} bits; an SPTE has 64.", param, ctx)
        return spte


@click.command()
@click.argument("sptes", metavar="SPTE...", nargs=-1, required=True, type=_Spte())
@click.option(
    "--kernel",
    default="6.1",
    show_default=True,
    metavar="SEL",
    help="Series, all, debian:VERSION, tree:PATH[@REV].",
)
@click.option(
    "--mode",
    "mode_name",
    default="ept-ad",
    show_default=True,
    metavar="NAME",
    help="One that 'conformance list' names.",
)
def decode(sptes: Sequence[int], kernel: str, mode_name: str) -> None:
    """Explain SPTEs (hex with 0x, or decimal) bit by bit, as a kernel in a mode understands them.

    Nothing is fetched: what a kernel's release means by its SPTEs is known.
    """
    # Here and not above: numpy takes longer to load than --help should.
    from conformance.kernels.selector import expand
    from conformance.model.modes import MODES, kernel_in
    from conformance.model.profiles import profile_of
    from conformance.reports.terminal import Screen

    mode = MODES.get(mode_name)
    if mode is None:
        raise ConformanceError(f"there is no mode {line(mode_name)}; there are {', '.join(MODES)}.")
    console = Screen()
    first = True
    for selector in expand([kernel]):
        profile = profile_of(_release(selector))
        title = selector if selector == profile.name else f"{selector} (Linux {profile.name})"
        for spte in sptes:
            if not first:
                console.print()
            first = False
            _show(console, kernel_in(mode, profile), spte, f"{title}, {mode.name}: {mode.description}")


def _release(selector: str) -> tuple[int, int]:
    """VERSION and PATCHLEVEL of the kernel that ``selector`` names, without fetching it."""
    from conformance.kernels.prepare import release_of
    from conformance.kernels.selector import Tree, parse

    meant = parse(selector)
    if isinstance(meant, Tree):
        if not meant.path.is_dir():
            raise ConformanceError(f"{line(selector)}: there is no directory {line(str(meant.path))}.")
        if meant.revision is not None:
            return _release_of_revision(meant, selector)
        version, patchlevel, _ = release_of(meant.path, line(selector))
        return version, patchlevel
    version, patchlevel = (int(number) for number in meant.series.split("."))
    return version, patchlevel


def _release_of_revision(tree: Tree, selector: str) -> tuple[int, int]:
    """The same of a revision: what tells a kernel's release is laid out, and the tree left alone."""
    from conformance.kernels.prepare import release_of
    from conformance.kernels.tools import run

    git: list[str | Path] = ["git", "-c", "safe.directory=*", "-C", tree.path]
    known = run([*git, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{tree.revision}^{{tree}}"],
                purpose="Reading a revision")  # fmt: skip
    if known.returncode:
        raise ConformanceError(
            f"{line(selector)}: {line(str(tree.path))} is no git repository "
            f"with a revision {line(str(tree.revision))}."
        )
    with tempfile.TemporaryDirectory(prefix="conformance-") as scratch:
        for name in ("Makefile", "arch/x86/kvm/mmu/mmu.c"):
            shown = run([*git, "show", f"{tree.revision}:./{name}"], purpose="Reading a revision")
            if shown.returncode == 0:
                place = Path(scratch, name)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(shown.stdout, "utf-8", "replace")
        version, patchlevel, _ = release_of(Path(scratch), line(selector))
    return version, patchlevel


def _show(console: Console, k: Kernel, spte: int, title: str) -> None:
    """One SPTE: picture, fields, and what is to be said of the whole."""
    from rich.table import Table
    from rich.text import Text

    from conformance.model.decode import describe, fields
    from conformance.model.illegal import complaints, writability
    from conformance.reports.picture import picture

    found = fields(k, spte)
    console.print(Text.assemble((word(spte), "bold"), f"  {line(title)}"), soft_wrap=True)
    console.print(picture(found, ascii_only=console.options.ascii_only), no_wrap=True)

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("bits", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("field", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("meaning", overflow="fold")
    for field in found:
        if field.name or field.value:
            place = str(field.low) if field.high == field.low else f"{field.high}:{field.low}"
            value = str(field.value) if field.high == field.low else f"{field.value:#x}"
            style = "" if field.value else "dim"
            table.add_row(place, field.label, field.name or "unknown", value, field.meaning, style=style)
    console.print(table)
    console.print()

    state, why = writability(k, spte)
    wrong = complaints(k, spte)
    verdict = Table.grid(padding=(0, 2, 0, 0))
    verdict.add_column(no_wrap=True)
    verdict.add_column(overflow="fold")
    verdict.add_row(Text("SPTE:", "bold"), describe(k, spte))
    verdict.add_row(Text("state:", "bold"), f"{state}: {why}")
    for sentence in wrong:
        verdict.add_row(Text("illegal:", "bold red"), sentence)
    console.print(verdict)

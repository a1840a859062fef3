# SPDX-License-Identifier: GPL-2.0-only
"""``conformance decode``: the fields of an SPTE, and whether KVM would create it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from conformance.cli.options import DEFAULT, SELECTORS, kernel_option
from conformance.cli.profiles import profiles_of
from conformance.errors import ConformanceError
from conformance.reports.text import line

if TYPE_CHECKING:
    from rich.console import Console

    from conformance.history import Fix, Undetected
    from conformance.model.profiles import Profile
    from conformance.reports.decoded import Decoded
    from conformance.traces.splats import Splats
    from conformance.traces.sptes import Found

__all__ = ["decode"]

STDIN = "-"
_EXAMPLE = "0x600000000000975"
_CHUNK = 1 << 16
"""The longest line of stdin, in bytes: a stream without newlines must not fill the memory."""


@click.command()
@click.argument("sptes", metavar="SPTE|TEXT|-...", nargs=-1, required=True)
@kernel_option(SELECTORS)
@click.option(
    "--mode",
    metavar="NAME",
    help="Decode in this mode only; 'conformance list' names the modes.  [default: one in which it is legal]",
)
@click.option(
    "--level",
    type=click.IntRange(1, 5),
    metavar="N",
    help="Level of the SPTE: 1 is 4 KiB, 2 is 2 MiB, 3 is 1 GiB.  [default: that in the text]",
)
@click.option(
    "--maxphyaddr",
    "phys_bits",
    type=click.IntRange(32, 52),
    metavar="N",
    help="Physical address bits of the host; higher bits of an address are illegal.",
)
@click.option("--decimal", is_flag=True, help="Read numbers without 0x as decimal.")
@click.option(
    "--guess", is_flag=True, help="Name the modes in which it is legal, in kernels of every series."
)
@click.option("--short", is_flag=True, help="Print one line for each SPTE, and what is illegal in it.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object on a line for each SPTE.")
def decode(sptes: Sequence[str], kernel: str | None, mode: str | None, **given: Any) -> None:
    """Explain SPTEs bit by bit, as a kernel in a mode understands them.

    An SPTE is a hex number, with or without 0x. In TEXT, such as a line of dmesg or of a trace, each number
    that the text calls an SPTE is decoded: "old_spte 600000000000975 level 1". Several words are read as one
    text. - reads lines from stdin, and decodes each SPTE at its first occurrence.

    Without --mode the modes in which the SPTE is legal are named. Nothing is fetched: the model of the
    kernel's release decodes. A number of more than 16 digits without letters is decimal.

    A WARN or BUG of the MMU in a log is explained: the check, the kernels that have it, what it means for
    the guest, and known fixes that concern it.
    """
    # Imported here: help must not wait for numpy.
    from conformance.model.modes import MODES
    from conformance.reports import decoded, guessed
    from conformance.reports.terminal import Screen
    from conformance.traces.splats import Splats

    if given["as_json"] and given["short"]:
        raise click.UsageError("--json and --short exclude each other.")
    if mode is not None and mode not in MODES:
        raise ConformanceError(f"there is no mode {line(mode)}; there are {', '.join(MODES)}.")
    if given["guess"] and (mode is not None or given["short"]):
        raise click.UsageError("--guess tries every mode: leave out --mode and --short.")
    kernels = profiles_of(kernel or ("all" if given["guess"] else DEFAULT))
    console = Screen()
    options = _Options(mode, given["level"], given["phys_bits"])
    first = True
    splats = Splats()
    for found, place in _sptes(sptes, splats, decimal=given["decimal"]):
        if given["guess"]:
            readings = [(title, options.decode(found, place, title, profile)) for title, profile in kernels]
            if given["as_json"]:
                click.echo(guessed.as_json(readings))
            else:
                guessed.show(readings, console)
            continue
        for title, profile in kernels:
            one = options.decode(found, place, title, profile)
            if given["as_json"]:
                click.echo(decoded.as_json(one))
            elif given["short"]:
                decoded.show_short(one, console)
            else:
                if not first:
                    console.print()
                decoded.show(one, console)
            first = False
    _explain(splats, console, as_json=given["as_json"])


def _explain(splats: Splats, console: Console, *, as_json: bool) -> None:
    """Print what is known about WARNs and BUGs, with the fixes of their functions."""
    found = [*splats]
    if not found:
        return
    from conformance.history import FIXES, UNDETECTED
    from conformance.model.changes import CHANGES
    from conformance.reports import splat as report

    every: tuple[Fix | Undetected, ...] = (*FIXES, *UNDETECTED)
    known = {fix.change: fix for fix in every}.values()
    for splat in found:
        checks = splat.checks()
        functions = {splat.function, *(name for check in checks for name in check.functions)}
        commits = {commit for check in checks for commit in check.fixes}
        fixes = [
            (str(fix.change), fix.function, fix.wrong)
            for fix in known
            if fix.function in functions or fix.change.commit in commits
        ]
        commits -= {fix.change.commit for fix in known}
        fixes += [(str(one), "", one.effect) for one in CHANGES.values() if one.commit in commits]
        if as_json:
            click.echo(report.as_json(splat, fixes))
        else:
            console.print()
            report.show(splat, fixes, console)


class _Options:
    """The options that apply to every SPTE."""

    def __init__(self, mode: str | None, level: int | None, phys_bits: int | None) -> None:
        self._mode = mode
        self._level = level
        self._phys_bits = phys_bits

    def decode(self, found: Found, place: str, title: str, profile: Profile) -> Decoded:
        """The SPTE in the mode of --mode, or in the most plausible one."""
        from conformance.model.modes import MODES
        from conformance.model.readings import LEVELS, best, reading, readings
        from conformance.reports.decoded import Decoded

        level = self._level or found.level
        levels = LEVELS if level is None else (level,)
        said = {"line": place, "name": found.name}
        said["level"] = "" if found.level is None else str(found.level)
        said |= {
            name: f"{value:#x}"
            for name, value in (("gfn", found.gfn), ("sptep", found.sptep))
            if value is not None
        }
        said = {name: value for name, value in said.items() if value}
        if self._mode is not None:
            shown = reading(profile, MODES[self._mode], found.spte, levels, self._phys_bits)
            return Decoded(title, said, shown)
        others = readings(profile, found.spte, levels, self._phys_bits)
        return Decoded(title, said, best(others), others)


def _sptes(arguments: Sequence[str], splats: Splats, *, decimal: bool) -> Iterator[tuple[Found, str]]:
    """Every SPTE in the arguments, and the number of its line if it comes from stdin, else empty.

    WARNs and BUGs in the text are added to ``splats``. Raises ConformanceError if an argument has neither.
    """
    from conformance.traces.sptes import numbers, search

    if arguments.count(STDIN) > 1:
        raise ConformanceError("Stdin can be read once only: name - once.")
    read: list[list[Found]] = []
    for argument in arguments:
        if argument == STDIN:
            read.append([])
            continue
        lines = argument.splitlines()
        for text in lines:
            splats.line(text)
        strict = len(lines) <= 1
        read.append(
            [
                one
                for text in lines
                for one in numbers(text, decimal=decimal, strict=strict) or search(text, decimal=decimal)
            ]
        )
    unread = [
        argument for argument, found in zip(arguments, read, strict=True) if not found and argument != STDIN
    ]
    if unread:
        # A line that was pasted without quotes arrives as several arguments.
        together = " ".join(arguments)
        found = numbers(together, decimal=decimal) or search(together, decimal=decimal)
        if not found and splats.found and STDIN not in arguments:
            return
        if not found or STDIN in arguments:
            raise ConformanceError(
                f"{line(unread[0][:80])!r} is no SPTE and holds none; pass hex, such as {_EXAMPLE}, "
                f"or text with 'spte={_EXAMPLE}' in it."
            )
        read, arguments = [found], ["text"]
    for argument, sptes in zip(arguments, read, strict=True):
        if argument == STDIN:
            yield from _from_stdin(splats, decimal=decimal)
        else:
            yield from ((one, "") for one in sptes)


def _from_stdin(splats: Splats, *, decimal: bool) -> Iterator[tuple[Found, str]]:
    """Each SPTE of stdin once for each level, as soon as its line was read.

    Raises ConformanceError at the end if there was no SPTE and no WARN, or if a number in a line cannot be
    an SPTE.
    """
    from conformance.traces.sptes import numbers, search

    seen: set[tuple[int, int | None]] = set()
    count, troubles, first = 0, 0, ""
    skipping = False
    for text in iter(lambda: sys.stdin.buffer.readline(_CHUNK), b""):
        whole = text.endswith(b"\n") or len(text) < _CHUNK
        if skipping or not whole:
            # A part of a line may begin or end within a number.
            if not skipping:
                count, troubles = count + 1, troubles + 1
                first = first or f"line {count}: It is longer than {_CHUNK:,} bytes."
            skipping = not whole
            continue
        count += 1
        decoded = text.decode("utf-8", "replace")
        splats.line(decoded)
        try:
            found = numbers(decoded, decimal=decimal, strict=False) or search(decoded, decimal=decimal)
        except ConformanceError as problem:
            troubles, first = troubles + 1, first or f"line {count}: {problem}"
            continue
        for one in found:
            if (one.spte, one.level) not in seen:
                seen.add((one.spte, one.level))
                yield one, str(count)
    if troubles:
        more = f" So do {troubles - 1} more lines." if troubles > 1 else ""
        raise ConformanceError(f"stdin holds what cannot be decoded: {first}{more}")
    if not seen and not splats.found:
        raise ConformanceError(
            f"stdin has no SPTE in {count} lines. Numbers count that the text calls SPTEs, "
            f"as in 'spte={_EXAMPLE}', and lines that consist of numbers."
        )

# SPDX-License-Identifier: GPL-2.0-only
"""``conformance list``: what there is to compare, in which modes, by which engines, in one line each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from conformance.cli.options import cc_option
from conformance.reports.text import line

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["list", "section"]


@click.command()
@click.option("--kernel", metavar="SEL", help="Mark what this kernel does not have, and why.")
@cc_option
def list(kernel: str | None) -> None:
    """Name the properties, modes, engines and oracles, with a line on each."""
    from conformance.cli.run import watching
    from conformance.differential.run_properties import listing
    from conformance.reports.terminal import Screen

    with watching() as (progress, _):
        found = listing(kernel, progress)
    console = Screen()
    groups: dict[str, Any] = {}
    for entry in found.properties:
        groups.setdefault(entry.group, []).append(entry)
    for group, entries in groups.items():
        rows = ((entry.name, entry.summary, entry.absent) for entry in entries)
        section(console, f"{line(group)} properties", rows)
    for title in ("modes", "engines", "oracles"):
        section(console, title, (_pair(entry) for entry in getattr(found, title)))
    if kernel is not None:
        absent = sum(bool(entry.absent) for entry in found.properties)
        console.print(
            f"{line(kernel)} has {len(found.properties) - absent} of {len(found.properties)} properties."
        )


def _pair(entry: Any) -> tuple[str, str, str]:
    """A name and its description; a bare name is one without."""
    name, description = (entry, "") if isinstance(entry, str) else entry
    return name, description, ""


def section(console: Console, title: str, rows: Iterable[tuple[str, str, str]]) -> None:
    """A heading and its names, each with what it is and, below that, why the kernel lacks it."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, description, absent in rows:
        what = Text(line(description))
        if absent:
            what.append(f"{chr(10) if what else ''}absent: {line(absent)}", style="yellow")
        table.add_row(Text(f"  {line(name)}", style="dim" if absent else "bold"), what)
    console.print(Text(title, style="underline"))
    if table.row_count:
        console.print(table)
    console.print()

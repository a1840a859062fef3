# SPDX-License-Identifier: GPL-2.0-only
"""``conformance list``: the properties, modes, engines and oracles, in one line each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from conformance.cli.options import cc_option, kernel_option
from conformance.reports.text import line

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["list", "section"]


@click.command()
@kernel_option("Mark what this kernel does not have, and why.")
@cc_option
def list(kernel: str | None) -> None:
    """List the properties, modes, engines and oracles, with a line on each."""
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
    """The row of an entry, which is a name with its description, or a name alone."""
    name, description = (entry, "") if isinstance(entry, str) else entry
    return name, description, ""


def section(console: Console, title: str, rows: Iterable[tuple[str, str, str]]) -> None:
    """Print a heading and its rows: a name, its description, and why the kernel lacks it, or empty."""
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

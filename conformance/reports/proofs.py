# SPDX-License-Identifier: GPL-2.0-only
"""The table of ``conformance prove``: per property whether it is proved, how it was, how long it took."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.differential.verdict import AGREEMENT, KernelReport, Report, Result, Verdict
from conformance.reports.difference import difference
from conformance.reports.rows import IDLE
from conformance.reports.terminal import heading, say
from conformance.reports.text import line

__all__ = ["show"]

_STANDING = {
    Verdict.PASS: ("PROVED", "green"),
    Verdict.FAIL: ("REFUTED", "bold red"),
    Verdict.SKIP: ("unproved", "yellow"),
    Verdict.ERROR: ("ERROR", "magenta"),
    Verdict.MISS: ("MISS", "yellow"),
}

WIDE = 80
"""Columns on which names are left whole."""


def show(report: Report, console: Console) -> None:
    """Print the report: a table a kernel, then what was refuted."""
    for number, kernel in enumerate(report.kernels):
        if number:
            console.print()
        _kernel(kernel, console)


def _kernel(kernel: KernelReport, console: Console) -> None:
    if not heading(kernel, console):
        return
    # What two oracles agree on was drawn, and is no proof.
    agreed = [result for result in kernel.results if result.engine == AGREEMENT]
    asked = [result for result in kernel.results if result.engine != AGREEMENT]
    absent = [result for result in asked if _absent(result)]
    closed = [result for result in asked if _closed(result)]
    told = [result for result in asked if result not in absent and result not in closed]
    if told:
        console.print(_table(told, console.width))
    for result in told:
        if result.verdict is Verdict.FAIL:
            console.print()
            first, *rest = difference(result, kernel.title, None, width=console.width)
            say(console, first, "bold red")
            for entry in rest:
                say(console, entry)
    console.print()
    told_of = [result.verdict for result in told]
    tally = [f"{told_of.count(one)} {_STANDING[one][0]}" for one in Verdict if one in told_of]
    more = [f"{len(closed)} cannot be asked of this code"] if closed else []
    more += [f"{len(absent)} absent"] if absent else []
    count = "1 property" if len(told) == 1 else f"{len(told)} properties"
    say(console, f"{count}: {', '.join(tally) or 'none'}{''.join(f'; {entry}' for entry in more)}")
    if closed:
        names = ", ".join(line(result.property) for result in closed)
        console.print(Text(f"not asked, as the JSON says why: {names}", style="dim"))
    checked = sum(result.cases for result in told if result.verdict is Verdict.PASS)
    if checked:
        say(console, f"on {checked:,} drawn cases the formulas gave what the processor gave")
    elif not any(result.verdict is Verdict.FAIL for result in told):
        say(console, f"ERROR  {IDLE}", "magenta")
    for result in agreed:
        if result.verdict is Verdict.ERROR:
            where = f"{line(result.property)} {line(result.mode)}"
            say(console, f"ERROR  {where}: {line(result.reason)}", "magenta")
    if agreed and kernel.disagreement is None:
        cases = sum(result.cases for result in agreed)
        say(console, f"on {cases:,} drawn cases the module gave what the shim gave")


def _absent(result: Result) -> bool:
    """Whether there is nothing to prove, for there is no such function in the kernel, or in one of two."""
    return result.verdict is Verdict.SKIP and result.reason.startswith("absent")


def _closed(result: Result) -> bool:
    """Whether the kernel has the function, but this oracle no way to it."""
    open_ends = result.reason.startswith("unproved: ")
    return result.verdict is Verdict.SKIP and not open_ends and not _absent(result)


def _table(results: list[Result], width: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    table.add_column("property", overflow="fold", no_wrap=width >= WIDE)
    table.add_column("s", justify="right", no_wrap=True)
    table.add_column("for", overflow="fold", min_width=20)
    for result in results:
        word, colour = _STANDING[result.verdict]
        reason = result.reason.removeprefix("unproved: ").removeprefix("proved: ").replace(" inputs,", ",")
        table.add_row(
            Text(word, style=colour),
            Text(line(result.property)),
            f"{result.seconds:.2f}",
            Text(line(reason)),
        )
    return table

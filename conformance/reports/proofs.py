# SPDX-License-Identifier: GPL-2.0-only
"""The report of ``conformance prove``: a line for each property, with the verdict and the time."""

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
"""The number of columns from which names are not folded."""


def show(report: Report, console: Console) -> None:
    """Print the report: for each kernel a table, then the counterexamples."""
    for number, kernel in enumerate(report.kernels):
        if number:
            console.print()
        _kernel(kernel, console)


def _kernel(kernel: KernelReport, console: Console) -> None:
    if not heading(kernel, console):
        return
    # Agreement of two oracles on random cases is no proof.
    agreed = [result for result in kernel.results if result.engine == AGREEMENT]
    properties = [result for result in kernel.results if result.engine != AGREEMENT]
    absent = [result for result in properties if _absent(result)]
    unreachable = [result for result in properties if _unreachable(result)]
    shown = [result for result in properties if result not in absent and result not in unreachable]
    if shown:
        console.print(_table(shown, console.width))
    for result in shown:
        if result.verdict is Verdict.FAIL:
            console.print()
            first, *rest = difference(result, kernel.title, None, width=console.width)
            say(console, first, "bold red")
            for entry in rest:
                say(console, entry)
    console.print()
    verdicts = [result.verdict for result in shown]
    tally = [f"{verdicts.count(one)} {_STANDING[one][0]}" for one in Verdict if one in verdicts]
    more = [f"{len(unreachable)} without access to the function"] if unreachable else []
    more += [f"{len(absent)} absent"] if absent else []
    count = "1 property" if len(shown) == 1 else f"{len(shown)} properties"
    say(console, f"{count}: {', '.join(tally) or 'none'}{''.join(f'; {entry}' for entry in more)}")
    if unreachable:
        names = ", ".join(line(result.property) for result in unreachable)
        console.print(Text(f"without access (the JSON has the reasons): {names}", style="dim"))
    checked = sum(result.cases for result in shown if result.verdict is Verdict.PASS)
    if checked:
        say(console, f"on {checked:,} random cases the formulas equal the results of the processor")
    elif not any(result.verdict is Verdict.FAIL for result in shown):
        say(console, f"ERROR  {IDLE}", "magenta")
    for result in agreed:
        if result.verdict is Verdict.ERROR:
            where = f"{line(result.property)} {line(result.mode)}"
            say(console, f"ERROR  {where}: {line(result.reason)}", "magenta")
    if agreed and kernel.disagreement is None:
        cases = sum(result.cases for result in agreed)
        say(console, f"on {cases:,} random cases the results of module and shim are equal")


def _absent(result: Result) -> bool:
    """Whether the function is absent from the kernel, or from one of two kernels."""
    return result.verdict is Verdict.SKIP and result.reason.startswith("absent")


def _unreachable(result: Result) -> bool:
    """Whether the kernel has the function, but the oracle cannot reach it."""
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

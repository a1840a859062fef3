# SPDX-License-Identifier: GPL-2.0-only
"""The report for the terminal: for each kernel a table of properties, then differences and reasons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import IO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.differential.verdict import PROVE, KernelReport, Report, Result, Verdict
from conformance.reports.difference import difference
from conformance.reports.grouping import differences
from conformance.reports.rows import ALL, IDLE, by_property, worst
from conformance.reports.text import compact, duration, line, lines

__all__ = ["Screen", "heading", "say", "show"]

_COLOURS = {
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.SKIP: "dim",
    Verdict.ERROR: "magenta",
    Verdict.MISS: "yellow",
}


class Screen(Console):
    """A console without markup and highlighting, which raises BrokenPipeError when its reader is gone.

    Rich itself would exit with status 1, which means a difference here.
    """

    def __init__(self, stream: IO[str] | None = None) -> None:
        super().__init__(file=stream, highlight=False, markup=False, emoji=False)

    def on_broken_pipe(self) -> None:
        """Re-raise the BrokenPipeError that is being handled."""
        raise


def show(report: Report, console: Console) -> None:
    """Print the report. ``console`` has the colours and the width; eighty columns are enough."""
    for number, kernel in enumerate(report.kernels):
        if number:
            console.print()
        _kernel(kernel, report.seed, console)
    if not report.kernels:
        say(console, "No kernel was asked for, so nothing was compared.", "magenta")


def _kernel(kernel: KernelReport, seed: int | None, console: Console) -> None:
    if not heading(kernel, console):
        return
    groups = by_property(kernel.results)
    shown = {name: group for name, group in groups.items() if worst(group) is not Verdict.SKIP}
    if shown:
        console.print(_table(shown))
    _differences(kernel, seed, console)
    for verdict in (Verdict.ERROR, Verdict.MISS, Verdict.SKIP):
        _reasons(verdict, kernel.results, console)
    _bounds(kernel.results, console)
    _total(kernel, groups, seed, console)
    if kernel.semantics is not None:
        say(console, line(kernel.semantics))


def heading(kernel: KernelReport, console: Console) -> bool:
    """Print the title and the notes of a kernel; return whether it was judged."""
    oracles = {result.oracle for result in kernel.results} - {ALL}
    parts = (kernel.version, ", ".join(sorted(oracles)), kernel.compiler)
    facts = [line(part) for part in parts if part]
    say(console, "  ".join([line(kernel.title), *facts]), "bold")
    if kernel.disagreement is not None:
        say(console, f"ERROR  {line(kernel.disagreement)}", _COLOURS[Verdict.ERROR])
    for note in kernel.remarks:
        say(console, f"note: {line(note)}", "yellow")
    if kernel.error is not None:
        for sentence in lines(kernel.error) or ["could not be judged"]:
            say(console, f"ERROR  {sentence}", _COLOURS[Verdict.ERROR])
    elif kernel.unreached is not None:
        say(console, f"SKIP  {line(kernel.unreached)}", _COLOURS[Verdict.SKIP])
    return kernel.error is None and kernel.unreached is None


def _table(groups: dict[str, list[Result]]) -> Table:
    """A line for each property: its verdict, the cases that each engine compared, the number of modes."""
    results = [result for group in groups.values() for result in group]
    engines = list(dict.fromkeys(result.engine for result in results if result.engine != ALL))
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    table.add_column("property", overflow="fold")
    for title in [*engines, "modes"]:
        table.add_column(line(title), justify="right", no_wrap=True)
    for name, group in groups.items():
        verdict = worst(group)
        cells = [_cell([row for row in group if row.engine == engine]) for engine in engines]
        modes = {row.mode for row in group if row.cases and row.mode != ALL}
        coloured = Text(verdict.value, style=_COLOURS[verdict])
        table.add_row(coloured, Text(line(name)), *cells, Text(str(len(modes) or "-")))
    return table


def _cell(group: Sequence[Result]) -> Text:
    """The cases that an engine compared of a property, in the colour of its verdict unless that is PASS."""
    count = sum(row.cases for row in group)
    verdict = worst(group) if group else Verdict.SKIP
    if verdict is Verdict.PASS and group[0].engine == PROVE:
        return Text("all")
    return Text(compact(count) if count else "-", style="" if verdict is Verdict.PASS else _COLOURS[verdict])


def _differences(kernel: KernelReport, seed: int | None, console: Console) -> None:
    """Print every difference once, however many modes and engines found it."""
    for found in differences(kernel.results):
        text = difference(found.shown, kernel.title, seed, others=found.others, width=console.width)
        console.print()
        say(console, text[0], _COLOURS[Verdict.FAIL])
        for entry in text[1:]:
            say(console, entry)


def _reasons(verdict: Verdict, results: Iterable[Result], console: Console) -> None:
    """Print the reasons of one verdict, each once, with the properties that it applies to."""
    reasons: dict[str, dict[str, list[Result]]] = {}
    for result in results:
        if result.verdict is verdict:
            reason = line(result.reason) or "no reason was given"
            reasons.setdefault(reason, {}).setdefault(result.property, []).append(result)
    if reasons:
        console.print()
    for reason, properties in reasons.items():
        names = ", ".join(_where(name, group) for name, group in properties.items())
        hanging = Table.grid(padding=(0, 2, 0, 0))
        hanging.add_column(no_wrap=True)
        hanging.add_column(overflow="fold")
        hanging.add_row(Text(verdict.value, style=_COLOURS[verdict]), Text(f"{reason}: {names}"))
        console.print(hanging)


def _bounds(results: Sequence[Result], console: Console) -> None:
    """Print which races without a violation were not exhausted, and how far each was explored."""
    explored = [result for result in results if result.explored is not None]
    if not explored:
        return
    open_ends = [result for result in explored if result.explored and not result.explored["exhausted"]]
    _reasons(Verdict.PASS, open_ends, console)
    console.print()
    exhausted = len(explored) - len(open_ends)
    say(console, f"All inequivalent schedules were run in {exhausted} of {len(explored)} races and modes.")


def _where(name: str, group: Sequence[Result]) -> str:
    """A property, with the modes that the reason applies to, if it does not apply to the whole property."""
    modes = sorted({row.mode for row in group} - {ALL})
    if not modes:
        return line(name)
    return f"{line(name)} ({line(', '.join(modes)) if len(modes) < 4 else f'{len(modes)} modes'})"


def _total(kernel: KernelReport, groups: dict[str, list[Result]], seed: int | None, console: Console) -> None:
    console.print()
    cases = sum(result.cases for result in kernel.results)
    compared = any(result.compared() for result in kernel.results)
    if not compared and not any(result.verdict is Verdict.FAIL for result in kernel.results):
        say(console, f"ERROR  {IDLE}", _COLOURS[Verdict.ERROR])
    verdicts = [worst(group) for group in groups.values()]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in Verdict if verdict in verdicts)
    drawn = "" if seed is None else f", seed {seed}"
    tally = "1 property" if len(groups) == 1 else f"{len(groups)} properties"
    spent = "" if kernel.seconds is None else f", {duration(kernel.seconds)} from start to verdict"
    spent += f" ({duration(kernel.prepared)} to fetch and compile)" if kernel.prepared >= 1 else ""
    console.print(Text(f"{tally}: {counts or 'none'}; {cases:,} cases{spent}{drawn}"))


def say(console: Console, text: str, style: str = "") -> None:
    """Print a line without folding, so that a command can be copied from it."""
    console.print(Text(text), style=style, soft_wrap=True)

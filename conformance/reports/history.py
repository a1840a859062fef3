# SPDX-License-Identifier: GPL-2.0-only
"""The report of ``conformance history``: a line for each revert, undetected fixes, a score per layer."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.differential.verdict import Verdict
from conformance.history.fix import Layer
from conformance.history.judging_revert import counted, means_of
from conformance.history.run_reverts import History, Outcome
from conformance.reports.difference import difference
from conformance.reports.text import line

__all__ = ["show"]

_COLOURS = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.ERROR: "magenta"}


def show(history: History, console: Console) -> None:
    """Print the report."""
    for kernel in history.report.kernels:
        console.print(
            Text(
                "  ".join(map(line, filter(None, (kernel.title, kernel.version, kernel.compiler)))),
                style="bold",
            )
        )
        for remark in kernel.remarks:
            console.print(Text(f"note: {line(remark)}", style="yellow"), soft_wrap=True)
        if kernel.error is not None:
            console.print(Text(f"ERROR  {line(kernel.error)}", style=_COLOURS[Verdict.ERROR]))
            continue
        outcomes = [outcome for outcome in history.outcomes if outcome.revert.kernel == kernel.selector]
        console.print(_table(outcomes))
        for outcome in outcomes:
            _troubles(outcome, history.report.seed, console)
        console.print()
    _undetected(history, console)
    _scores(history, console)


def _table(outcomes: list[Outcome]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("", "without", "of", "detected by", "mode", "model without it"):
        table.add_column(title, overflow="fold", no_wrap=title in ("", "without"))
    for outcome in outcomes:
        first, *rest = outcome.results
        colour = _COLOURS.get(first.verdict, "")
        agrees = f"agrees, {counted(outcome.revert, rest[0].cases)}" if rest else "-"
        if rest and rest[0].verdict is not Verdict.PASS:
            agrees = "differs"
        fix, revert = outcome.fix, outcome.revert
        by = f"{means_of(revert)} {revert.by}" if first.verdict is Verdict.PASS else "nothing"
        cells = (fix.commit, fix.function, by, revert.mode, agrees)
        table.add_row(Text(first.verdict.value, style=colour), *(Text(line(cell)) for cell in cells))
    return table


def _troubles(outcome: Outcome, seed: int | None, console: Console) -> None:
    """Print reverts that were not detected, not judged, or differ from the model without the fix."""
    for result in outcome.results:
        if result.verdict is Verdict.PASS:
            continue
        console.print()
        text = f"{result.verdict.value}  {outcome.fix.change}: {line(result.reason)}"
        console.print(Text(text, style=_COLOURS.get(result.verdict, "")), soft_wrap=True)
        console.print(Text(f"      without it {outcome.fix.wrong}"), soft_wrap=True)
        if result.counterexample is not None:
            for entry in difference(result, f"{outcome.revert.kernel} without it", seed)[1:]:
                console.print(Text(entry), soft_wrap=True)


def _undetected(history: History, console: Console) -> None:
    if not history.undetected:
        return
    console.print(Text("Fixes that the suite cannot detect:", style="bold"))
    for fix in history.undetected:
        console.print(Text(f"  {fix.change}"), soft_wrap=True)
        console.print(Text(f"      {fix.function}: {fix.wrong}"), soft_wrap=True)
        console.print(Text(f"      {fix.layer}: {fix.reason}"), soft_wrap=True)
    console.print()


def _scores(history: History, console: Console) -> None:
    for layer, score in history.scores.items():
        if score.planted:
            text = f"{score.noticed} of {score.planted} detected"
        else:
            text = "nothing reverted" if layer in (Layer.FUNCTION, Layer.STORY) else "not covered"
        undetected = f", {score.undetected} cannot be detected" if score.undetected else ""
        console.print(Text(f"{layer.value}: {text}{undetected}"))
    counts = ", ".join(f"{number} by a {means}" for means, number in history.means.items())
    console.print(Text(f"detected: {counts}"))

# SPDX-License-Identifier: GPL-2.0-only
"""A review of a change: for the terminal, most important first; as JSON; as results for JUnit and KTAP."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

import conformance
from conformance.differential.verdict import Counterexample, KernelReport, Report, Result, Verdict
from conformance.reports.difference import BEFORE_AFTER, described
from conformance.reports.hunks import MARK, coverage, hunks
from conformance.reports.json import counterexample
from conformance.reports.terminal import say
from conformance.reports.text import line
from conformance.review.line_texts import counts
from conformance.review.outcome import DEFAULT, Gate, outcome_of
from conformance.review.review import (
    UNKNOWN,
    ConstantReview,
    FunctionReview,
    Review,
    ScopeReview,
    Standing,
)

__all__ = ["as_report", "document", "render", "show"]

SCHEMA = 1

_NAMED = 12
"""How many items of a file with the same facts are listed."""

_ORDER = (
    (Standing.DIFFERS, "bold red"),
    (Standing.UNCOVERED, "yellow"),
    (Standing.UNOBSERVED, "yellow"),
    (Standing.UNMEASURED, "yellow"),
    (Standing.UNSEEN, ""),
    (Standing.EQUIVALENT, "green"),
    (Standing.SAME_CODE, "green"),
    (Standing.ADDED, "dim"),
    (Standing.REMOVED, "dim"),
)
"""The standings in the order in which they are shown, with their colours."""

_KINDS = {
    Standing.DIFFERS: "seen",
    Standing.UNCOVERED: "nothing here executes them: nothing is known about their behaviour",
    Standing.UNOBSERVED: "nothing is known about their behaviour",
    Standing.UNMEASURED: "nothing is known about their behaviour",
    Standing.UNSEEN: "not proved: the cases run on both kernels are counted",
    Standing.EQUIVALENT: "proved: for every input, by formulas or exhaustively",
    Standing.SAME_CODE: "proved",
}
"""What is known with a standing, as text."""

_VERDICTS = {
    Standing.SAME: Verdict.PASS,
    Standing.SAME_CODE: Verdict.PASS,
    Standing.EQUIVALENT: Verdict.PASS,
    Standing.UNSEEN: Verdict.PASS,
    Standing.DIFFERS: Verdict.FAIL,
    Standing.UNCOVERED: Verdict.SKIP,
    Standing.UNOBSERVED: Verdict.SKIP,
    Standing.UNMEASURED: Verdict.SKIP,
    Standing.ADDED: Verdict.SKIP,
    Standing.REMOVED: Verdict.SKIP,
}


def show(review: Review, console: Console) -> None:
    """Print a review. Functions with unchanged text are only counted."""
    say(console, f"{line(review.before)}  →  {line(review.after)}", "bold")
    for note in review.notes:
        say(console, f"note: {line(note)}", "yellow")
    for standing, style in _ORDER:
        group = [one for one in review.functions if one.standing is standing]
        if group:
            kind = f" ({_KINDS[standing]})" if standing in _KINDS else ""
            console.print()
            say(console, f"{str(standing).upper()}{kind}", style)
            _functions(group, console)
    if review.scope:
        console.print()
        say(console, "CHANGED OUTSIDE OF FUNCTIONS")
        _scope(review.scope, console)
    if review.constants:
        console.print()
        say(console, "CHANGED CONSTANTS AND LAYOUT")
        _constants(review.constants, console)
    console.print()
    for sentence in review.errors:
        say(console, f"ERROR  {line(sentence)}", "magenta")
    say(console, _total(review))


def _functions(group: Sequence[FunctionReview], console: Console) -> None:
    """Print functions of one standing: a line each, and the counterexample of one that differs."""
    for one in group:
        hanging = Table.grid(padding=(0, 2, 0, 0))
        hanging.add_column(no_wrap=True)
        hanging.add_column(overflow="fold")
        hanging.add_row(Text(f"  {line(one.name)}"), Text(_facts(one)))
        console.print(hanging)
        if one.difference is not None:
            for entry in described(one.difference, BEFORE_AFTER, width=console.width):
                say(console, entry)
    for entry in hunks(group):
        say(console, f"  {entry}", "yellow" if entry.startswith(MARK) else "")


def _scope(scope: Iterable[ScopeReview], console: Console) -> None:
    """Print the changes at file scope, by file and by what is known of them."""
    groups: dict[tuple[str, str], list[str]] = {}
    for one in scope:
        groups.setdefault((one.file, _known(one)), []).append(line(one.name))
    for (file, known), names in groups.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        say(
            console,
            f"  {line(file).removeprefix('arch/x86/kvm/')}: {', '.join(names[:_NAMED])}{more}: {known}",
        )


def _known(one: ScopeReview) -> str:
    """What is known of a change at file scope."""
    if one.proved:
        return f"proved to change nothing: {line(one.proved)}"
    if one.users:
        return f"judged by {len(one.users)} function{'s' if len(one.users) > 1 else ''} that use it"
    return "; ".join(filter(None, ["nothing here looks at it", line(one.reason)]))


def _facts(one: FunctionReview) -> str:
    """The file of a function, its former name, and what is known of it besides its standing."""
    facts = [line(one.file).removeprefix("arch/x86/kvm/")]
    if one.was:
        facts.append(f"was {line(one.was)}")
    if one.standing in (Standing.UNSEEN, Standing.EQUIVALENT):
        names = ", ".join(map(line, one.by[:3])) + (f" and {len(one.by) - 3} more" if len(one.by) > 3 else "")
        facts.append(f"{one.cases:,} cases of {names}" if one.cases else f"in {names}")
    if one.reason:
        facts.append(line(one.reason))
    if one.lines is not None:
        facts.append(line(counts(one.lines)))
    return "; ".join(facts)


def _constants(moved: Iterable[ConstantReview], console: Console) -> None:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for one in moved:
        what = f"  {one.name}, {one.aspect}" if one.aspect else f"  {one.name}"
        table.add_row(Text(line(what)), Text(" → ".join(one.texts)), Text(line(one.where)))
    console.print(table)


def _total(review: Review) -> str:
    counts = ", ".join(f"{count} {standing}" for standing, count in review.counts.items() if count)
    proof = "; every function is proved equivalent" if review.proved and review.functions else ""
    return f"{len(review.functions)} functions: {counts or 'none'}{proof}"


def render(review: Review) -> str:
    """The review as JSON text, ASCII only."""
    return json.dumps(document(review), indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def document(review: Review) -> dict[str, Any]:
    """The review as plain dicts and lists. Functions with unchanged text are counted, not listed."""
    return {
        "schema": SCHEMA,
        "version": conformance.__version__,
        "before": line(review.before),
        "after": line(review.after),
        "proved": review.proved,
        "functions": [_function(one) for one in review.changed],
        "constants": [
            {
                "name": line(one.name),
                "aspect": one.aspect or None,
                "before": one.before,
                "after": one.after,
                "where": line(one.where),
            }
            for one in review.constants
        ],
        "scope": [_item(one) for one in review.scope],
        "undone": [line(sentence) for sentence in review.undone],
        "errors": [line(sentence) for sentence in review.errors],
        "notes": [line(note) for note in review.notes],
        "summary": {standing.name: count for standing, count in review.counts.items()},
    }


def _function(one: FunctionReview) -> dict[str, Any]:
    return {
        "name": line(one.name),
        "was": line(one.was) or None,
        "file": line(one.file),
        "standing": one.standing.name,
        "cases": one.cases,
        "by": [line(name) for name in one.by],
        "reason": line(one.reason),
        "through": [line(name) for name in one.through],
        "coverage": coverage(one.lines),
        "difference": None if one.difference is None else _difference(one.difference),
    }


def _item(one: ScopeReview) -> dict[str, Any]:
    """A change outside of functions; "looked_at" is false if no test covers it."""
    return {
        "name": line(one.name),
        "file": line(one.file),
        "looked_at": one.observed,
        "users": [line(name) for name in one.users],
        "proved": line(one.proved),
        "reason": line(one.reason),
    }


def _difference(found: Counterexample) -> dict[str, Any]:
    """A counterexample, with its sides as "before" and "after"."""
    written = counterexample(found)
    sides = {"before": written.pop("kernel"), "after": written.pop("model")}
    return {**written, **sides}


def as_report(review: Review, seed: int | None, gate: Gate = DEFAULT) -> Report:
    """The review as results, one for each changed function and item. A proof counts as one case."""
    title = f"{review.before} → {review.after}"
    return Report([kernel_report(review.after, title, review, gate, promised=False)], seed)


def kernel_report(selector: str, title: str, review: Review, gate: Gate, *, promised: bool) -> KernelReport:
    """A review as the results of one kernel; the ``gate`` decides what is a FAIL."""
    outcome = outcome_of(review, promised=promised)
    fails = gate.status(outcome, review) == 1
    results = [_result(one, gate, fails=fails) for one in review.functions]
    results += [_item_result(one, gate) for one in review.scope]
    error = " ".join(review.errors) or None
    idle = not any(result.compared() for result in results)
    unreached = str(outcome) if idle and not error and gate.status(outcome, review) == 0 else None
    return KernelReport(
        selector, title, "", error=error, results=results, unreached=unreached, notes=review.notes
    )


def _result(one: FunctionReview, gate: Gate, *, fails: bool) -> Result:
    verdict = _VERDICTS[one.standing]
    if verdict is Verdict.FAIL and not fails:
        verdict = Verdict.SKIP
    if one.standing in UNKNOWN:
        verdict = _UNLOOKED[gate.unlooked]
    cases = one.cases or int(verdict is Verdict.PASS)
    reason = "; ".join(filter(None, [str(one.standing), one.reason]))
    place = str(one.standing)
    found = None if one.difference is None else replace(one.difference, sides=BEFORE_AFTER)
    return Result(one.name, "review", place, "-", verdict, cases, reason=reason, counterexample=found)


def _item_result(one: ScopeReview, gate: Gate) -> Result:
    verdict = Verdict.PASS if one.proved else Verdict.SKIP
    verdict = verdict if one.observed else _UNLOOKED[gate.unlooked]
    return Result(one.name, "review", "file scope", "-", verdict, int(bool(one.proved)), reason=_known(one))


_UNLOOKED = {0: Verdict.SKIP, 1: Verdict.FAIL, 2: Verdict.ERROR}
"""The verdict of a change that no test covers, by the exit status that the gate gives it."""

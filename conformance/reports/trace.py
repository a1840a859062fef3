# SPDX-License-Identifier: GPL-2.0-only
"""The report of ``conformance trace``: the host of each trace, what was found, what was not checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console

from conformance.differential.verdict import Counterexample, KernelReport, Report, Result, Verdict
from conformance.model.spte.decode.text import describe
from conformance.reports.terminal import say
from conformance.reports.text import line, word
from conformance.traces.life import Life
from conformance.traces.outcome import NOT_IN_TRACES, Finding, Outcome
from conformance.traces.rules.rule import Standing

__all__ = ["report_of", "show", "show_life"]

_TRACE = "trace"
_INDENT = " " * 6
_STYLES = {Standing.VIOLATION: "bold red", Standing.SUSPICION: "yellow"}


def report_of(outcomes: Sequence[Outcome]) -> Report:
    """The outcomes as a report: a trace as a kernel, a rule as a property."""
    return Report([_kernel(outcome) for outcome in outcomes], None)


def _kernel(outcome: Outcome) -> KernelReport:
    name = outcome.trace.name
    notes = (*_host(outcome), *outcome.notes, f"No trace shows: {'; '.join(NOT_IN_TRACES)}.")
    if outcome.unjudged:
        return KernelReport(name, name, outcome.host.title, error=f"{name}: {outcome.unjudged}", notes=notes)
    results = [_result(rule, outcome) for rule in outcome.standings]
    return KernelReport(name, name, outcome.host.title, results=results, notes=notes)


def _result(rule: str, outcome: Outcome) -> Result:
    """The result of one rule."""
    place = rule, _TRACE, _TRACE, outcome.host.mode.name
    if rule in outcome.unchecked:
        return Result(*place, Verdict.SKIP, reason=f"not checked: {outcome.unchecked[rule]}")
    violations, suspicions = (outcome.counts[rule, standing] for standing in Standing)
    found = next(
        (one for one in outcome.findings if (one.rule.name, one.standing) == (rule, Standing.VIOLATION)), None
    )
    cases = outcome.checked[rule]
    if found is not None:
        reason = f"line {found.event.line}" + (f" and {violations - 1} more" if violations > 1 else "")
        return Result(
            *place, Verdict.FAIL, cases, reason=reason, counterexample=_counterexample(found, outcome)
        )
    reason = ""
    if suspicions:
        first = next(one for one in outcome.findings if one.rule.name == rule)
        reason = (
            f"{suspicions} suspicions, the first in line {first.event.line}: {first.detail}. "
            f"Innocent explanations: {first.innocent}"
        )
    return Result(*place, Verdict.PASS, cases, reason=reason)


def _counterexample(found: Finding, outcome: Outcome) -> Counterexample:
    sptes = found.sptes()
    return Counterexample(
        inputs=sptes,
        decoded={name: describe(outcome.host.k, spte) for name, spte in sptes.items()},
        kernel={"event": found.detail},
        model={"event": "never happens"},
        again=f"conformance trace {outcome.trace.name} --mode {outcome.host.mode.name}",
        steps=tuple(event.text for event in (*found.before, found.event)),
        sides=("kernel", "model"),
        rule=found.rule.sentence,
        source=f"{found.rule.source}; made by {found.function}",
    )


def show(outcomes: Sequence[Outcome], console: Console) -> None:
    """Print the report."""
    for number, outcome in enumerate(outcomes):
        if number:
            console.print()
        for style, text in _lines(outcome):
            say(console, text, style)


def _lines(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """The style and the text of each line about one trace."""
    yield "bold", line(outcome.trace.name)
    for text in _host(outcome):
        yield "", line(text)
    seen = ", ".join(f"{name} {count:,}" for name, count in outcome.trace.seen.most_common())
    yield "", f"events: {line(seen) or 'none'}"
    for note in outcome.notes:
        yield "yellow", f"note: {line(note)}"
    if outcome.unjudged:
        yield "magenta", f"ERROR  not judged: {line(outcome.unjudged)}"
        return
    for standing in Standing:
        for finding in outcome.findings:
            if finding.standing is standing:
                yield "", ""
                yield from _finding(finding, outcome)
    yield "", ""
    yield from _unchecked(outcome)
    yield "dim", f"not in any trace: {'; '.join(NOT_IN_TRACES)}"
    yield "", _total(outcome)


def _host(outcome: Outcome) -> Iterator[str]:
    host = outcome.host
    if not host.sptes:
        yield f"{host.title}, mode {host.mode.name}: a guess, since no SPTE is in the trace"
        return
    guessed = f" ({' and '.join(_listed(host.inferred))} inferred)" if host.inferred else ""
    bits = f"{int(host.mode.phys_bits)} address bits"
    yield f"{host.title}, {host.mode.name}: {host.mode.description}; {bits}{guessed}"
    if host.others:
        more = f" and {len(host.others) - 4} more" if len(host.others) > 4 else ""
        yield f"its SPTEs fit {', '.join(host.others[:4])}{more} as well"


def _listed(names: Sequence[str]) -> list[str]:
    return [", ".join(names[:-1]), names[-1]] if len(names) > 2 else [*names]


def _finding(finding: Finding, outcome: Outcome) -> Iterator[tuple[str, str]]:
    rule, style = finding.rule, _STYLES[finding.standing]
    title = "VIOLATION" if finding.standing is Standing.VIOLATION else "SUSPICION"
    number = outcome.counts[rule.name, finding.standing]
    more = f" ({number} in all)" if number > 1 else ""
    yield style, f"{title}  {rule.name}  line {finding.event.line}{more}: {line(finding.detail)}"
    for event in (*finding.before, finding.event):
        yield "", f"{_INDENT}{event.line:>6}  {line(event.text)}"
    for name, spte in finding.sptes().items():
        yield "", f"{_INDENT}{name}  {word(spte)}  {line(describe(outcome.host.k, spte))}"
    yield "", f"{_INDENT}rule     {line(rule.sentence)}"
    yield "", f"{_INDENT}source   {line(rule.source)}"
    yield "", f"{_INDENT}made by  {line(finding.function)}"
    if finding.innocent:
        yield "", f"{_INDENT}or else  {line(finding.innocent)}"


def _unchecked(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """The rules that were not checked, together where the reason is the same."""
    reasons: dict[str, list[str]] = {}
    for rule, reason in outcome.unchecked.items():
        reasons.setdefault(reason, []).append(rule)
    for reason, rules in reasons.items():
        yield "dim", f"not checked: {', '.join(rules)}: {line(reason)}"


def _total(outcome: Outcome) -> str:
    violations, suspicions = (outcome.count(standing) for standing in Standing)
    checked = len(outcome.standings) - len(outcome.unchecked)
    return (
        f"{sum(outcome.trace.seen.values()):,} events, {checked} of {len(outcome.standings)} rules checked: "
        f"{_number(violations, 'violation')}, {_number(suspicions, 'suspicion')}"
    )


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def show_life(life: Life, outcome: Outcome, console: Console) -> None:
    """Print the events of a gfn or an SPTE, with SPTEs decoded."""
    console.print()
    say(console, f"{life.title}: {_number(len(life.events), 'event')}", "bold")
    for event in life.events:
        say(console, f"{event.line:>6}  {line(event.text)}", "bold red" if event.line in life.wrong else "")
        for name, spte in Finding.sptes_of(event).items():
            say(console, f"{'':>8}{name}  {line(describe(outcome.host.k, spte))}", "dim")

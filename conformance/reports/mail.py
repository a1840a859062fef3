# SPDX-License-Identifier: GPL-2.0-only
"""The report for a mail: plain text of 72 columns, but for commands, which must survive copying."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from conformance.differential.verdict import PROVE, KernelReport, Report, Verdict
from conformance.reports.difference import described, difference
from conformance.reports.grouping import differences
from conformance.reports.rows import ALL, by_property, rows, worst
from conformance.reports.text import line
from conformance.review.judging import Judged, Outcome, SeriesReview
from conformance.review.reply import LABELS, reply, seen
from conformance.review.review import FunctionReview, Review, Standing

__all__ = ["WIDTH", "render", "render_review", "render_series"]

WIDTH = 72
_INDENT = " " * 4


def render(report: Report) -> str:
    """A run as the text of a mail."""
    told: list[str] = []
    for kernel in report.kernels:
        told += [*_kernel(kernel, report.seed), ""]
    return _joined(told or ["No kernel was asked for, so nothing was compared."])


def render_review(review: Review) -> str:
    """The comparison of two kernels as the text of a mail."""
    judged = Judged("", review=review)
    return _joined([*_folded(f"{review.before}, and {review.after}"), "", *_judged(judged)])


def render_series(series: SeriesReview) -> str:
    """What became of each patch of a series, and of the whole, as the text of a mail."""
    count = "1 patch" if len(series.parts) == 1 else f"{len(series.parts)} patches"
    told = [*_folded(f"{count} on {series.base}")]
    for note in series.notes:
        told += _folded(f"note: {note}")
    for one in series.judged:
        told += ["", *_folded(one.title), *_judged(one)]
    return _joined(told)


def _joined(told: Sequence[str]) -> str:
    return "\n".join(told).rstrip() + "\n"


def _judged(one: Judged) -> Iterator[str]:
    """One patch: what it comes to, how its functions stand, each difference, and what to say in a reply."""
    kept = one.claim and one.outcome in (Outcome.PROVED, Outcome.KEPT)
    yield from _folded(f"{one.outcome}{', as the message says' if kept else ''}", _INDENT)
    if one.outcome is Outcome.UNJUDGED:
        for sentence in [one.reason, *(one.review.errors if one.review else ())]:
            yield from _folded(sentence, _INDENT)
    if one.review is None or one.outcome is Outcome.UNCONCERNED:
        return
    yield ""
    yield from _functions(one.review)
    for function in one.review.functions:
        if function.difference is not None:
            yield ""
            yield from _folded(f"{function.name}() in {function.file}", _INDENT)
            yield from described(function.difference, ("before", "after"), width=WIDTH)
    yield ""
    yield f"{_INDENT}for a reply:"
    yield from (f"{_INDENT}{part}" for part in textwrap.wrap(line(reply(one)), WIDTH - len(_INDENT)))


def _functions(review: Review) -> Iterator[str]:
    """The changed functions by how they stand, and the constants that moved."""
    for standing, label in LABELS.items():
        group = [one for one in review.functions if one.standing is standing]
        if group:
            yield from _folded(f"{label}:", _INDENT)
            for one in group:
                yield from _folded(_function(one), _INDENT * 2)
    if review.constants:
        yield from _folded("constants and layout that moved:", _INDENT)
    for moved in review.constants:
        yield from _folded(f"{moved.name} {' -> '.join(moved.texts)} ({moved.where})", _INDENT * 2)


def _function(one: FunctionReview) -> str:
    was = f", was {one.was}()" if one.was else ""
    looked = f", {seen(one)}" if one.standing is Standing.UNSEEN else ""
    reason = f": {one.reason}" if one.reason else ""
    return f"{one.name}(){was}{looked}{reason}"


def _kernel(kernel: KernelReport, seed: int | None) -> Iterator[str]:
    """One kernel of a run: its verdicts by number, its differences, and what could not be judged."""
    yield from _folded(f"{kernel.title} ({kernel.version})" if kernel.version else kernel.title)
    if kernel.disagreement is not None:
        yield from _folded(f"{Verdict.ERROR}: {kernel.disagreement}", _INDENT)
    if kernel.drift:
        yield from _folded(f"note: {kernel.drift}", _INDENT)
    if kernel.unreached is not None:
        yield from _folded(f"{Verdict.SKIP}: {kernel.unreached}", _INDENT)
        return
    results = rows(kernel)
    groups = {name: worst(group) for name, group in by_property(results).items() if name != ALL}
    counts = [f"{[*groups.values()].count(verdict)} {verdict}" for verdict in Verdict]
    told = ", ".join(count for count in counts if not count.startswith("0 "))
    cases = sum(result.cases for result in results)
    if groups:
        tally = "1 property" if len(groups) == 1 else f"{len(groups)} properties"
        yield from _folded(f"{tally}: {told}; {cases:,} cases", _INDENT)
    proofs = [result for result in results if result.engine == PROVE]
    proved = sum(result.verdict is Verdict.PASS for result in proofs)
    if proved:
        yield from _folded(f"{proved} of {len(proofs)} proved for every input", _INDENT)
    for found in differences(results):
        yield ""
        yield from difference(found.shown, kernel.title, seed, others=found.others, width=WIDTH)
    reasons: dict[str, list[str]] = {}
    for result in proofs:
        if result.verdict is Verdict.SKIP:
            reasons.setdefault(line(result.reason), []).append(result.property)
    for result in results:
        if result.verdict in (Verdict.ERROR, Verdict.MISS):
            said = f"{result.verdict}: {line(result.reason) or 'no reason was given'}"
            reasons.setdefault(said, []).append(result.property)
    for said, properties in reasons.items():
        where = ", ".join(dict.fromkeys(name for name in properties if name != ALL))
        yield from _folded(f"{said} ({where})" if where else said, _INDENT)


def _folded(text: str, indent: str = "") -> list[str]:
    """A sentence in lines of the width, all but the first indented further; a long word stays whole."""
    return textwrap.wrap(
        line(text),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_on_hyphens=False,
        break_long_words=False,
    )

# SPDX-License-Identifier: GPL-2.0-only
"""The review of a series: as JSON, schema 1, with reviews as in ``diff``; as results for JUnit and KTAP."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import conformance
from conformance.differential.verdict import KernelReport, Report, Result, Verdict
from conformance.reports.review import document, kernel_report
from conformance.reports.rows import ALL
from conformance.reports.text import line
from conformance.review.outcome import DEFAULT, Gate, Outcome
from conformance.review.reply import reply
from conformance.review.series_review import Judged, SeriesReview

__all__ = ["SCHEMA", "as_report", "render", "verdict_of"]

SCHEMA = 1


def render(series: SeriesReview) -> str:
    """The series as JSON text, ASCII only."""
    written = {
        "schema": SCHEMA,
        "version": conformance.__version__,
        "base": line(series.base),
        "patches": [_judged(one) for one in series.parts],
        "whole": _judged(series.whole) if series.whole else None,
        "notes": [line(note) for note in series.notes],
    }
    return json.dumps(written, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _judged(one: Judged) -> dict[str, Any]:
    return {
        "title": line(one.title),
        "claim": line(one.claim.sentence) if one.claim else None,
        "outcome": one.outcome.name,
        "reason": line(one.reason),
        "reply": line(reply(one)),
        "remarks": [line(remark) for remark in one.remarks],
        "review": document(one.review) if one.review else None,
    }


def as_report(series: SeriesReview, seed: int | None, gate: Gate = DEFAULT) -> Report:
    """The series as results: a suite for each patch, and one for the whole."""
    judged = zip_longest(series.judged, series.sources[: len(series.judged)])
    return Report([replace(_kernel(one, series.base, gate), source=source) for one, source in judged], seed)


def verdict_of(outcome: Outcome, status: int) -> Verdict:
    """The verdict on a patch, by its outcome and the exit status that follows from it."""
    if status == 0 and outcome not in (Outcome.PROVED, Outcome.KEPT):
        return Verdict.SKIP
    return (Verdict.PASS, Verdict.FAIL, Verdict.ERROR)[status]


def _kernel(one: Judged, base: str, gate: Gate) -> KernelReport:
    """One patch as results: its outcome, then each function and item that it changes."""
    if one.review is None and one.outcome is Outcome.UNCONCERNED:
        return KernelReport(one.title, one.title, base, unreached=str(one.outcome))
    if one.review is None:
        return KernelReport(one.title, one.title, base, error=one.reason)
    promised = one.claim is not None and not one.claim.excepted
    made = kernel_report(one.title, one.title, one.review, gate, promised=promised)
    verdict = verdict_of(one.outcome, gate.status(one.outcome, one.review))
    reason = "; ".join([str(one.outcome), *one.review.undone])
    first = Result("outcome", "review", ALL, ALL, verdict, int(verdict is Verdict.PASS), reason=reason)
    return replace(made, version=base, results=[first, *made.results])

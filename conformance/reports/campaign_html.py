# SPDX-License-Identifier: GPL-2.0-only
"""A campaign as one HTML page, which needs no other file, no network and no scripts.

The page quotes changed lines of the kernel. It is for the user's machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from conformance.campaigns.campaign import Campaign, result_of
from conformance.differential.verdict import Report, Result, Verdict
from conformance.reports.campaign import about, groups
from conformance.reports.campaign_commits import commits
from conformance.reports.campaign_kernels import versions
from conformance.reports.campaign_mutants import MutantsOfKernel, Score, by_kernel, estimate
from conformance.reports.coverage import short
from conformance.reports.difference import difference, headline
from conformance.reports.growth import growth
from conformance.reports.plot import plot
from conformance.reports.rows import ALL
from conformance.reports.templates import templates
from conformance.reports.text import compact, duration, line
from conformance.reports.treemap import Counts, treemap

__all__ = ["render"]

_MAPS = {"wide": (1248.0, 700.0), "tall": (380.0, 1400.0)}
"""The sizes of the map, for wide and for narrow screens."""

MOST = 2000
"""The number of findings and of survivors on the page."""

WORDS = {
    "compared": "detected",
    "not-compared": "not detected, or in reviews only",
    "unreachable": "not decided: equivalent, not compiled, out of reach or not judged",
}
"""What the states of the map mean for mutants."""


@dataclass(frozen=True)
class Finding:
    """A difference: where it was found, in one line and in many, and the command that shows it again."""

    title: str
    summary: str
    text: str
    again: str


@dataclass(frozen=True)
class Mutants:
    """The mutants of a kernel with their map and their scores."""

    kernel: MutantsOfKernel
    estimate: str
    maps: dict[str, Any]
    counts: dict[str, dict[str, Counts]]
    scores: dict[str, Score]
    outcomes: Counter[str]


def render(campaign: Campaign, report: Report) -> str:
    """The campaign as HTML; ``report`` has its rows as results."""
    environment = templates()
    environment.filters.update(short=short, line=line, compact=compact, duration=duration)
    curves = [(title, plot(found)) for title, found in growth(campaign)]
    own = campaign.kind in ("mutants", "commits", "kernels")
    findings = _findings(campaign, report)
    judged = by_kernel(campaign) if campaign.kind == "mutants" else ()
    given: dict[str, Any] = {
        "campaign": campaign,
        "about": about(campaign),
        "verdicts": Counter(row.verdict for row in campaign.rows),
        "groups": [] if own else groups(campaign),
        "versions": versions(campaign) if campaign.kind == "kernels" else [],
        "commits": commits(campaign) if campaign.kind == "commits" else [],
        "mutants": [_mutants(one, campaign.finished) for one in judged],
        "curves": [(title, drawn) for title, drawn in curves if drawn],
        "findings": findings[:MOST],
        "unjudged": Counter(line(row.reason) for row in campaign.rows if row.verdict in _UNJUDGED),
        "words": WORDS,
        "sizes": _MAPS,
        "most": MOST,
        "more": max(len(findings) - MOST, 0),
        "colours": {"light": "", "dark": ""},
    }
    return environment.get_template("campaign.html").render(**given)


_UNJUDGED = (Verdict.ERROR.value, Verdict.MISS.value)


def _findings(campaign: Campaign, report: Report) -> list[Finding]:
    """Every row with a difference; of commits, every commit that changes behaviour."""
    if campaign.kind in ("mutants", "commits"):
        found = [(kernel.title, result) for kernel in report.kernels for result in kernel.results]
    else:
        failed = [row for row in campaign.rows if row.verdict == Verdict.FAIL.value]
        found = [(row.kernel, result_of([row])) for row in failed]
    return [_finding(title, result, report.seed) for title, result in found if result.verdict is Verdict.FAIL]


def _finding(title: str, result: Result, seed: int | None) -> Finding:
    where = [title, *(part for part in (result.property, result.mode, result.engine) if part != ALL)]
    shown = result.counterexample
    text = "\n".join(difference(result, title, seed))
    return Finding(line("  ".join(where)), headline(result), text, line(shown.again) if shown else "")


def _mutants(one: MutantsOfKernel, finished: bool) -> Mutants:
    files: dict[str, dict[str, list[Any]]] = {}
    for mutant, row in one.detailed:
        files.setdefault(line(mutant["file"]), {}).setdefault(line(row.subject), []).append(row)
    counts = {
        file: {name: _states(rows) for name, rows in functions.items()} for file, functions in files.items()
    }
    maps = {name: treemap(counts, *size, "mutants") for name, size in _MAPS.items()}
    scores = {line(name): Score.of(rows) for name, rows in one.functions.items()}
    outcomes = Counter(row.verdict for row in (*one.rows, *one.errors))
    return Mutants(one, estimate(one.score, finished), maps, counts, scores, outcomes)


def _states(rows: Sequence[Any]) -> Counts:
    """How many mutants of a function are detected, are not, and are not decided."""
    score = Score.of(rows)
    rest = len(rows) - score.decided
    states = {"compared": score.compared, "not-compared": score.decided - score.compared, "unreachable": rest}
    return {state: count for state, count in states.items() if count}

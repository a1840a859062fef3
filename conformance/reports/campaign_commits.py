# SPDX-License-Identifier: GPL-2.0-only
"""The results of a campaign of commits: a table in their order; and as results, for JUnit and KCIDB."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.table import Table

from conformance.campaigns.campaign import Campaign, counterexample_of
from conformance.differential.verdict import KernelReport, Report, Result, Verdict
from conformance.reports.campaign import heading
from conformance.reports.difference import BEFORE_AFTER
from conformance.reports.rows import ALL
from conformance.reports.series import verdict_of
from conformance.reports.terminal import say
from conformance.reports.text import duration, line
from conformance.review.outcome import DEFAULT, Outcome

__all__ = ["Commit", "as_report", "commits", "show", "status"]


@dataclass(frozen=True)
class Commit:
    """A commit that was judged: its row, and what the kind adds to it."""

    row: Any
    about: dict[str, Any]

    @property
    def outcome(self) -> Outcome:
        """The outcome of the review."""
        known = {outcome.value: outcome for outcome in Outcome}
        return known.get(self.row.verdict, Outcome.UNJUDGED)

    @property
    def status(self) -> int:
        """The exit status that `patch` would have."""
        died = self.row.verdict == Verdict.FAIL.value  # Before anything could be compared.
        return 1 if died else DEFAULT.status(self.outcome, None)

    @property
    def claim(self) -> str:
        """What it claims, in two words."""
        return "no change" if self.about["claim"] else ""

    @property
    def grounds(self) -> str:
        """Whether its outcome is proved for every input, or shown by one."""
        return "proved" if self.about["proved"] else "shown" if self.row.counterexample else ""

    @property
    def functions(self) -> str:
        """How many of the functions that it changes stand how."""
        return ", ".join(f"{len(names)} {what}" for what, names in self.about["functions"].items())

    @property
    def executed(self) -> str:
        """How many of the changed lines are executed."""
        return f"{self.about['executed']} of {self.about['lines']}" if self.about["lines"] else "-"


def commits(campaign: Campaign) -> list[Commit]:
    """The commits that were judged, in order."""
    found = [Commit(row, json.loads(row.details)) for row in campaign.rows if row.details]
    return sorted(found, key=lambda one: int(one.about["number"]))


def _unjudged(campaign: Campaign) -> Sequence[Any]:
    """The rows of commits that could not be judged at all."""
    return [row for row in campaign.rows if not row.details]


def show(campaign: Campaign, console: Console) -> None:
    """Print a campaign of commits: what each claims, what it changes, and how much of that was executed."""
    heading(campaign, console)
    table = Table(box=None, pad_edge=False)
    for name in ("commit", "title", "claims", "outcome", "grounds", "functions", "lines executed", "time"):
        table.add_column(name)
    found = commits(campaign)
    for one in found:
        row = one.row
        outcome = f"{row.verdict}: {row.reason}" if row.reason else row.verdict
        judged = (one.claim, outcome, one.grounds, one.functions, one.executed, duration(row.seconds))
        table.add_row(*map(line, (one.about["commit"], row.subject, *judged)))
    console.print(table)
    for one in found:
        if one.row.counterexample:
            say(console, f"{one.about['commit']}  again: {line(one.row.again)}")
    for row in _unjudged(campaign):
        say(console, f"{row.verdict}  {line(row.reason)}")


def status(campaign: Campaign) -> int:
    """The exit status: that of `patch` for all the commits, and 2 if some are missing."""
    found = {one.status for one in commits(campaign)} | ({2} if _unjudged(campaign) else set())
    return 1 if 1 in found else max([*found, 0 if campaign.finished else 2])


def as_report(campaign: Campaign) -> Report:
    """The commits as results: a suite for each, as `patch` makes one for each patch."""
    kernels = [_report(one, campaign) for one in commits(campaign)]
    for kernel, rows in campaign.by_kernel():
        kernels += [replace(kernel, error=row.reason) for row in rows if not row.details]
    return Report(kernels, campaign.definition.get("seed"))


def _report(one: Commit, campaign: Campaign) -> KernelReport:
    row = one.row
    title = f"{one.about['commit']} {row.subject}"
    made = KernelReport(title, title, row.kernel, compiler=campaign.definition.get("compiler", ""))
    verdict = verdict_of(one.outcome, one.status)
    reason = "; ".join(filter(None, [row.verdict, row.reason, *one.about["undone"]]))
    if verdict is Verdict.SKIP:
        return replace(made, unreached=reason)
    if verdict is Verdict.ERROR:
        return replace(made, error=reason)
    found = counterexample_of(row)
    found = None if found is None else replace(found, sides=BEFORE_AFTER)
    cases = int(verdict is Verdict.PASS)
    result = Result("outcome", "review", ALL, ALL, verdict, cases, row.seconds, reason, found)
    return replace(made, results=[result])

# SPDX-License-Identifier: GPL-2.0-only
"""The results of a campaign of commits: a table in the order of the commits."""

from __future__ import annotations

import json

from rich.console import Console
from rich.table import Table

from conformance.campaigns.campaign import Campaign
from conformance.reports.campaign import heading
from conformance.reports.terminal import say
from conformance.reports.text import line
from conformance.review.outcome import DEFAULT, Outcome

__all__ = ["show", "status"]


def show(campaign: Campaign, console: Console) -> None:
    """Print a campaign of commits: what each claims, what it changes, and how much of that was executed."""
    heading(campaign, console)
    table = Table(box=None, pad_edge=False)
    for name in ("commit", "title", "claims", "outcome", "functions", "lines executed"):
        table.add_column(name)
    rows = [(json.loads(row.details), row) for row in campaign.rows if row.details]
    rows.sort(key=lambda one: int(one[0]["number"]))
    for about, row in rows:
        functions = ", ".join(f"{len(names)} {what}" for what, names in about["functions"].items())
        share = f"{about['executed']} of {about['lines']}" if about["lines"] else "-"
        claim = "no change" if about["claim"] else ""
        outcome = f"{row.verdict}: {row.reason}" if row.reason else row.verdict
        table.add_row(about["commit"], line(row.subject), claim, line(outcome), functions, share)
    console.print(table)
    for about, row in rows:
        if row.counterexample:
            say(console, f"{about['commit']}  again: {line(row.again)}")
    for row in campaign.rows:
        if not row.details:
            say(console, f"{row.verdict}  {line(row.reason)}")


def status(campaign: Campaign) -> int:
    """The exit status: that of `patch` for all the commits, and 2 if some are missing."""
    known = {outcome.value: outcome for outcome in Outcome}
    found = {DEFAULT.status(known.get(row.verdict, Outcome.UNJUDGED), None) for row in campaign.rows}
    return 1 if 1 in found else max([*found, 0 if campaign.finished else 2])

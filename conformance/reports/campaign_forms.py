# SPDX-License-Identifier: GPL-2.0-only
"""What each kind of campaign is reported as: its table, its exit status, and the other forms of a report.

Mutants, commits and kernels have tables of their own. The rows of other kinds are verdicts of comparisons.
"""

from __future__ import annotations

import importlib

from rich.console import Console

from conformance.campaigns.campaign import Campaign
from conformance.differential.verdict import Report
from conformance.reports import campaign as comparisons
from conformance.reports import campaign_commits, campaign_kernels, campaign_mutants, junit

__all__ = ["render", "show", "status"]

_OWN = {"mutants": campaign_mutants, "commits": campaign_commits, "kernels": campaign_kernels}


def status(campaign: Campaign) -> int:
    """The exit status of a campaign."""
    own = _OWN.get(campaign.kind)
    return own.status(campaign) if own else comparisons.status(campaign)


def show(campaign: Campaign, console: Console) -> None:
    """Print a campaign."""
    own = _OWN.get(campaign.kind)
    (own.show if own else comparisons.show)(campaign, console)


def render(campaign: Campaign, name: str) -> str:
    """A campaign in another form: json, junit, kcidb or html.

    Raises ConformanceError if that is not possible.
    """
    if name == "json":
        return comparisons.render(campaign)
    if name == "junit":
        return junit.render(_report(campaign))
    # Imported here: they need packages that the others do not.
    form = importlib.import_module(f"conformance.reports.campaign_{name}")
    text: str = form.render(campaign, _report(campaign))
    return text


def _report(campaign: Campaign) -> Report:
    own = _OWN.get(campaign.kind)
    return own.as_report(campaign) if own else campaign.report()

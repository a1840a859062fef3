# SPDX-License-Identifier: GPL-2.0-only
"""The results of a campaign of kernels: each version, and which changes it has that the one before lacks."""

from __future__ import annotations

import json
import re
from typing import Any

from rich.console import Console
from rich.table import Table

from conformance.campaigns.campaign import Campaign
from conformance.differential.verdict import Report
from conformance.reports.campaign import heading, status
from conformance.reports.terminal import say
from conformance.reports.text import line

__all__ = ["as_report", "show", "status"]


def as_report(campaign: Campaign) -> Report:
    """The rows, which are verdicts of comparisons."""
    return campaign.report()


def show(campaign: Campaign, console: Console) -> None:
    """Print a campaign of kernels: a line for each version, then what differs in it and why."""
    heading(campaign, console)
    table = Table(box=None, pad_edge=False)
    for name in ("version", "before", "as before", "explained", "wrong", "standing"):
        table.add_column(name, justify="right" if name in ("as before", "explained", "wrong") else "left")
    kernels: dict[str, list[Any]] = {}
    for row in campaign.rows:
        if row.version:
            kernels.setdefault(row.version, []).append(row)
    wholes = []
    for version in sorted(kernels, key=_order):
        whole, *rows = kernels[version]
        about = _about(whole)
        same = [row for row in rows if row.verdict == "PASS" and not _about(row)["changes"]]
        passed = sum(row.verdict == "PASS" for row in rows)
        wrong = sum(row.verdict == "FAIL" for row in rows)
        counts = (str(len(same)), str(passed - len(same)), str(wrong))
        table.add_row(line(version), line(about["before"] or "-"), *counts, line(about["standing"]))
        wholes.append(whole)
    console.print(table)
    for whole in wholes:
        if whole.again:
            say(console, f"{line(whole.version)}  {line(whole.reason)}")
            say(console, f"    again  {line(whole.again)}")
    for row in campaign.rows:
        if row.verdict == "FAIL" and row.oracle:
            say(console, f"{row.verdict}  {line(row.version)}  {line(row.subject)}: {line(row.reason)}")
        elif row.verdict in ("ERROR", "SKIP"):
            say(console, f"{row.verdict}  {line(row.version)}  {line(row.reason)}")


def _about(row: Any) -> dict[str, Any]:
    nothing = {"before": "", "standing": "", "changes": []}
    return nothing | (json.loads(row.details) if row.details else {})


def _order(version: str) -> list[tuple[int, str]]:
    """A key by which Debian's versions of the kernel are in order, with ~ before everything else."""
    parts = re.findall(r"[0-9]+|~|[^0-9~]+", version)
    return [(int(part), "") if part.isdigit() else (-1 if part == "~" else 0, part) for part in parts]

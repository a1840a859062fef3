# SPDX-License-Identifier: GPL-2.0-only
"""The results of a campaign of kernels: each version, and which changes it has that the one before lacks."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from conformance.campaigns.campaign import Campaign
from conformance.differential.verdict import Report
from conformance.reports.campaign import heading, status
from conformance.reports.terminal import say
from conformance.reports.text import line

__all__ = ["Version", "as_report", "show", "status", "versions"]


def as_report(campaign: Campaign) -> Report:
    """The rows, which are verdicts of comparisons."""
    return campaign.report()


def show(campaign: Campaign, console: Console) -> None:
    """Print a campaign of kernels: a line for each version, then what differs in it and why."""
    heading(campaign, console)
    table = Table(box=None, pad_edge=False)
    for name in ("version", "before", "as before", "explained", "wrong", "standing"):
        table.add_column(name, justify="right" if name in ("as before", "explained", "wrong") else "left")
    found = versions(campaign)
    for one in found:
        counts = (str(one.same), str(one.explained), str(one.wrong))
        table.add_row(line(one.version), line(one.before or "-"), *counts, line(one.standing))
    console.print(table)
    for one in found:
        if one.again:
            say(console, f"{line(one.version)}  {line(one.reason)}")
            say(console, f"    again  {line(one.again)}")
    for row in campaign.rows:
        if row.verdict == "FAIL" and row.oracle:
            say(console, f"{row.verdict}  {line(row.version)}  {line(row.subject)}: {line(row.reason)}")
        elif row.verdict in ("ERROR", "SKIP"):
            say(console, f"{row.verdict}  {line(row.version)}  {line(row.reason)}")


@dataclass(frozen=True)
class Version:
    """A version, and how many properties are as in the one before it, are explained by changes, or differ."""

    version: str
    before: str
    same: int
    explained: int
    wrong: int
    standing: str
    reason: str
    again: str


def versions(campaign: Campaign) -> list[Version]:
    """The versions in order; the first row of each is about the whole of it."""
    kernels: dict[str, list[Any]] = {}
    for row in campaign.rows:
        if row.version:
            kernels.setdefault(row.version, []).append(row)
    return [_version(version, *kernels[version]) for version in sorted(kernels, key=_order)]


def _version(version: str, whole: Any, *rows: Any) -> Version:
    about, counts = _about(whole), Counter(row.verdict for row in rows)
    same = sum(row.verdict == "PASS" and not _about(row)["changes"] for row in rows)
    return Version(
        version,
        about["before"],
        same,
        counts["PASS"] - same,
        counts["FAIL"],
        about["standing"],
        whole.reason,
        whole.again,
    )


def _about(row: Any) -> dict[str, Any]:
    nothing = {"before": "", "standing": "", "changes": []}
    return nothing | (json.loads(row.details) if row.details else {})


def _order(version: str) -> list[tuple[int, str]]:
    """A key by which Debian's versions of the kernel are in order, with ~ before everything else."""
    parts = re.findall(r"[0-9]+|~|[^0-9~]+", version)
    return [(int(part), "") if part.isdigit() else (-1 if part == "~" else 0, part) for part in parts]

# SPDX-License-Identifier: GPL-2.0-only
"""The results of a campaign, as text and as JSON (schema 1)."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

import conformance
from conformance.campaigns.campaign import Campaign
from conformance.reports import terminal
from conformance.reports.json import plain
from conformance.reports.terminal import say
from conformance.reports.text import compact, duration, line

__all__ = ["SCHEMA", "Group", "about", "document", "groups", "heading", "render", "show", "status"]

SCHEMA = 1


def show(campaign: Campaign, console: Console) -> None:
    """Print a campaign of comparisons: what was carried out, by mode, and what was found."""
    heading(campaign, console)
    table = Table(box=None, pad_edge=False)
    table.add_column("kernel")
    table.add_column("mode")
    for name in ("rows", "steps", "steps/s"):
        table.add_column(name, justify="right")
    table.add_column("verdicts")
    for one in groups(campaign):
        cells = (line(one.kernel), line(one.mode), str(one.rows), compact(one.steps), one.rate, one.verdicts)
        table.add_row(*cells)
    console.print(table)
    console.print()
    terminal.show(campaign.report(), console)


def status(campaign: Campaign) -> int:
    """The exit status of a campaign of comparisons: that of its results, and 2 if some are missing."""
    return campaign.report().status or (0 if campaign.finished else 2)


def about(campaign: Campaign) -> str:
    """What a campaign is about, without what was left open."""
    return ", ".join(
        f"{name} {' '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in campaign.definition.items()
        if value not in ([], "", None)
    )


def heading(campaign: Campaign, console: Console) -> None:
    """Print what a campaign is about and how much of it was carried out."""
    say(console, line(f"campaign {campaign.kind}: {about(campaign)}"), "bold")
    where = ", ".join(f"{line(host)} {number}" for host, number in campaign.hosts.most_common())
    spent = f"{duration(campaign.seconds)} of computing time" + (f" ({where})" if where else "")
    say(console, f"{len(campaign.units)} of {campaign.planned} units are finished, {spent}")
    if not campaign.finished:
        say(console, "The rest is carried out with --resume.", "yellow")


@dataclass(frozen=True)
class Group:
    """The rows of a kernel in a mode."""

    kernel: str
    mode: str
    rows: int
    steps: int
    rate: str
    verdicts: str


def groups(campaign: Campaign) -> list[Group]:
    """The rows of a campaign of comparisons, by kernel and mode."""
    found: dict[tuple[str, str], list[Any]] = {}
    for row in campaign.rows:
        found.setdefault((row.kernel, row.mode), []).append(row)
    return [_group(kernel, mode, rows) for (kernel, mode), rows in sorted(found.items())]


def _group(kernel: str, mode: str, rows: list[Any]) -> Group:
    steps, seconds = sum(row.steps for row in rows), sum(row.seconds for row in rows)
    rate = compact(round(steps / seconds)) if seconds else "-"
    counts = Counter(row.verdict for row in rows)
    verdicts = ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
    return Group(kernel, mode, len(rows), steps, rate, verdicts)


def document(campaign: Campaign) -> dict[str, Any]:
    """The campaign with all rows as plain dicts and lists."""
    return {
        "schema": SCHEMA,
        "version": conformance.__version__,
        "kind": campaign.kind,
        "suite": campaign.suite,
        "definition": campaign.definition,
        "units": {
            "planned": campaign.planned,
            "finished": len(campaign.units),
            "seconds": round(campaign.seconds, 3),
            "hosts": dict(campaign.hosts),
        },
        "summary": dict(Counter(row.verdict for row in campaign.rows)),
        "rows": [_row(asdict(row)) for row in campaign.rows],
    }


def render(campaign: Campaign) -> str:
    """The campaign as JSON text, ASCII only."""
    return json.dumps(document(campaign), indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _row(row: dict[str, Any]) -> dict[str, Any]:
    made = {name: plain(value) if isinstance(value, str) else value for name, value in row.items()}
    for name in ("counterexample", "details"):
        made[name] = json.loads(row[name]) if row[name] else None
    return made

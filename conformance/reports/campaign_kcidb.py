# SPDX-License-Identifier: GPL-2.0-only
"""A campaign for KCIDB: comparisons and commits as any report, and the scores of mutants as numbers.

A score is a measurement of the suite and no verdict on the kernel: a function is a test with the status DONE
whose number is the share of its mutants that are detected.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any

from conformance.campaigns.campaign import Campaign
from conformance.differential.verdict import Report, Verdict
from conformance.reports import kcidb
from conformance.reports.campaign_mutants import MutantsOfKernel, Score, by_kernel
from conformance.reports.text import line

__all__ = ["render"]

PATH = f"{kcidb.ROOT}.mutants"


def render(campaign: Campaign, report: Report) -> str:
    """The campaign as JSON text; ``report`` has its rows as results. Raises ConformanceError if invalid."""
    begun = campaign.begun or datetime.now(timezone.utc)
    if campaign.kind != "mutants":
        return kcidb.render(report, begun, [*campaign.hosts])
    kernels, tests = [], []
    for one, kernel in zip(by_kernel(campaign), report.kernels, strict=True):
        checkout, build = kcidb.checkout_and_build(kernel, begun.isoformat())
        kernels.append((checkout, build))
        tests += [
            kcidb.identified({"build_id": build["id"], "path": test.pop("path")}, begun.isoformat(), number)
            | test
            | {"start_time": begun.isoformat()}
            for number, test in enumerate(_tests(one))
        ]
    return kcidb.assembled(kernels, tests)


def _tests(one: MutantsOfKernel) -> list[kcidb.Json]:
    tests: list[kcidb.Json] = []
    for name, rows in sorted(one.functions.items()):
        score = Score.of(rows)
        if score.share is not None:
            tests.append(_test(name, score, rows))
    tests += [
        {"path": PATH, "status": Verdict.ERROR.value, "comment": line(row.reason)} for row in one.errors
    ]
    return tests


def _test(name: str, score: Score, rows: list[Any]) -> kcidb.Json:
    return {
        "path": f"{PATH}.{re.sub(r'[^a-zA-Z0-9_-]+', '_', name)}",
        "status": "DONE",
        "number": {"value": round(100 * (score.share or 0.0), 1), "unit": "%"},
        "comment": line(f"{name}(): {score}"),
        "misc": {"compared": score.compared, "decided": score.decided, "judged": len(rows)},
    }

# SPDX-License-Identifier: GPL-2.0-only
"""A campaign and what it has found by now, as its file describes it; and its rows as a report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from conformance.campaigns.unit import Row
from conformance.differential.verdict import Counterexample, KernelReport, Report, Result, Verdict

__all__ = ["Campaign"]

_GRAVITY = (Verdict.SKIP, Verdict.PASS, Verdict.MISS, Verdict.ERROR, Verdict.FAIL)
"""Ascending: what many units found in one mode is what the gravest of them found."""


@dataclass(frozen=True)
class Campaign:
    """A campaign as its file describes it. ``units``: host and seconds of each finished unit."""

    kind: str
    suite: str
    definition: dict[str, Any]
    planned: int
    units: tuple[tuple[str, float], ...]
    rows: tuple[Row, ...]

    @property
    def seconds(self) -> float:
        """The computing time of the finished units."""
        return sum(seconds for _, seconds in self.units)

    @property
    def finished(self) -> bool:
        """Whether all units of the plan are finished."""
        return len(self.units) >= self.planned

    def report(self) -> Report:
        """The rows of a campaign of comparisons, as a report: one result for all units of a mode."""
        kernels: dict[tuple[str, str], dict[tuple[str, ...], list[Row]]] = {}
        for row in self.rows:
            groups = kernels.setdefault((row.kernel, row.version), {})
            groups.setdefault((row.subject, row.oracle, row.engine, row.mode), []).append(row)
        reports = [
            KernelReport(title, title, version, results=[*map(_result, groups.values())])
            for (title, version), groups in kernels.items()
        ]
        return Report(reports, self.definition.get("seed"))


def _result(rows: Sequence[Row]) -> Result:
    """What several units found in one mode."""
    gravest = max(rows, key=lambda row: _GRAVITY.index(Verdict(row.verdict)))
    reason = gravest.reason
    if len(rows) > 1:
        alike = sum(row.verdict == gravest.verdict for row in rows)
        reason = f"{alike} of {len(rows)} units, the first: {reason}"
    return Result(
        gravest.subject,
        gravest.oracle,
        gravest.engine,
        gravest.mode,
        Verdict(gravest.verdict),
        sum(row.steps for row in rows),
        sum(row.seconds for row in rows),
        reason,
        _counterexample(gravest.counterexample),
    )


def _counterexample(text: str) -> Counterexample | None:
    """A counterexample from its JSON, which has lists for tuples."""
    if not text:
        return None
    there: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(text).items()
    }
    return Counterexample(**there)

# SPDX-License-Identifier: GPL-2.0-only
"""A campaign and what it has found by now, as its file describes it; and its rows as a report."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from conformance.campaigns.unit import Row
from conformance.differential.verdict import Counterexample, KernelReport, Report, Result, Source, Verdict

__all__ = ["Campaign", "counterexample_of", "result_of"]

_GRAVITY = (Verdict.SKIP, Verdict.PASS, Verdict.MISS, Verdict.ERROR, Verdict.FAIL)
"""Ascending: what many units found in one mode is what the gravest of them found."""


@dataclass(frozen=True)
class Campaign:
    """A campaign as its file describes it.

    ``units``: host and seconds of each finished unit, in the order in which they finished. ``rows``: all
    rows, in an order that does not depend on that one. ``arrived``: when each unit's rows arrived, and these.
    """

    kind: str
    suite: str
    definition: dict[str, Any]
    planned: int
    units: tuple[tuple[str, float], ...]
    rows: tuple[Row, ...]
    begun: datetime | None = None
    arrived: tuple[tuple[datetime, tuple[Row, ...]], ...] = ()

    @property
    def hosts(self) -> Counter[str]:
        """The number of units that each host has carried out."""
        return Counter(host for host, _ in self.units if host)

    @property
    def seconds(self) -> float:
        """The computing time of the finished units."""
        return sum(seconds for _, seconds in self.units)

    @property
    def finished(self) -> bool:
        """Whether all units of the plan are finished."""
        return len(self.units) >= self.planned

    def report(self) -> Report:
        """The rows of a campaign of comparisons, as a report: one result for all units of a mode.

        It has no seed, since each unit has its own.
        """
        kernels = []
        for kernel, rows in self.by_kernel():
            groups: dict[tuple[str, ...], list[Row]] = {}
            for row in rows:
                groups.setdefault((row.subject, row.oracle, row.engine, row.mode), []).append(row)
            kernels.append(replace(kernel, results=[*map(result_of, groups.values())]))
        return Report(kernels, None)

    def by_kernel(self) -> list[tuple[KernelReport, list[Row]]]:
        """A report without results for each kernel, and its rows.

        The version is not known in rows of units that could not be carried out.
        """
        kernels: dict[tuple[str, str], list[Row]] = {}
        versions: dict[str, str] = {}
        for row in self.rows:
            if row.version:
                versions.setdefault(row.kernel, row.version)
        for row in self.rows:
            version = row.version or versions.get(row.kernel, "")
            kernels.setdefault((row.kernel, version), []).append(row)
        compiler = self.definition.get("compiler", "")
        source = Source(patches=tuple(self.definition.get("patches", ())))
        return [
            (KernelReport(title, title or self.kind, version, compiler=compiler, source=source), rows)
            for (title, version), rows in kernels.items()
        ]


def counterexample_of(row: Row) -> Counterexample | None:
    """The counterexample of a row, whose JSON has lists for tuples; None if it has none."""
    if not row.counterexample:
        return None
    there: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in json.loads(row.counterexample).items()
    }
    return Counterexample(**there)


def result_of(rows: Sequence[Row]) -> Result:
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
        counterexample_of(gravest),
    )

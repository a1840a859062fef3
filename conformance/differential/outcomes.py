# SPDX-License-Identifier: GPL-2.0-only
"""How what an engine found becomes a Result: a difference is made legal and small first."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from conformance.deadline import Deadline
from conformance.differential.comparison import Comparison, Difference
from conformance.differential.counterexamples import command_of_run, counterexample
from conformance.differential.shrinking import smallest
from conformance.differential.verdict import Result, Verdict

__all__ = ["Outcomes", "generator"]

SHRINKING, LEAST_SHRINKING = 0.1, 0.2
"""The share of the time left in which one difference is made legal and small; seconds at the least."""


def generator(seed: int, comparison: Comparison, purpose: str) -> np.random.Generator:
    """A generator of its own for each purpose, so that a part of a run can be repeated alone."""
    place = f"{comparison.property.name}/{comparison.mode.name}/{purpose}".encode()
    return np.random.default_rng([seed, *place])


class Outcomes:
    """The results of one kernel's comparisons, asked through ``oracle``.

    ``arguments`` are those of ``conformance run`` that chose the kernel. ``hung`` are the properties in which
    kernel code did not come back.
    """

    def __init__(self, oracle: str, arguments: Sequence[str], seed: int, end: Deadline) -> None:
        self.hung: set[str] = set()
        self._crashed: set[str] = set()
        self._oracle = oracle
        self._arguments = arguments
        self._seed = seed
        self._end = end

    def of(
        self,
        comparison: Comparison,
        engine: str,
        cases: int,
        start: float,
        found: Difference | None,
        *,
        at: str,
    ) -> Result:
        """A FAIL that shows the difference, or a PASS in the comparison's mode without one.

        ``start`` is when the engine began, ``at`` where it found the difference. The case that a user gave is
        shown as it is.
        """
        if found is None:
            return self.passed(comparison, engine, comparison.mode.name, cases, start)
        self.note_hang(comparison, found)
        if engine != "case" and not self._crashed_before(comparison, found):
            until = Deadline(max(self._end.part(SHRINKING).left, LEAST_SHRINKING))
            rng = generator(self._seed, comparison, "smallest")
            found = smallest(comparison, found, rng, until.more_time)
        return Result(
            comparison.property.name,
            self._oracle,
            engine,
            comparison.mode.name,
            Verdict.FAIL,
            cases,
            time.monotonic() - start,
            at,
            counterexample(comparison, found, command_of_run(comparison, found, self._arguments)),
        )

    def passed(
        self, comparison: Comparison, engine: str, mode: str, cases: int, start: float, reason: str = ""
    ) -> Result:
        """A PASS, or an ERROR where no case was compared."""
        verdict, reason = (Verdict.PASS, reason) if cases else (Verdict.ERROR, "nothing was compared")
        seconds = time.monotonic() - start
        return Result(comparison.property.name, self._oracle, engine, mode, verdict, cases, seconds, reason)

    def skipped(self, comparison: Comparison, engine: str, reason: str, mode: str = "") -> Result:
        """That an engine did not compare a property in a mode, by default the comparison's."""
        name, mode = comparison.property.name, mode or comparison.mode.name
        return Result(name, self._oracle, engine, mode, Verdict.SKIP, reason=reason)

    def note_hang(self, comparison: Comparison, found: Difference | None) -> None:
        """Remember the property if the difference is that kernel code did not come back."""
        if found is not None and found.hung:
            self.hung.add(comparison.property.name)

    def _crashed_before(self, comparison: Comparison, found: Difference) -> bool:
        """Whether kernel code crashed in this property already: minimising each crash takes too long."""
        if found.crash is None:
            return False
        before = comparison.property.name in self._crashed
        self._crashed.add(comparison.property.name)
        return before

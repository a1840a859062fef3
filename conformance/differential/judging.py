# SPDX-License-Identifier: GPL-2.0-only
"""Judging one kernel: which comparisons are made, in which order, within the budget."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from conformance.differential.agreement import agree
from conformance.differential.comparison import Comparison, Difference
from conformance.differential.engines import control_space, exhaust, fuzz
from conformance.differential.engines.fingerprint import ENGINE as FINGERPRINT
from conformance.differential.engines.fingerprint import remember
from conformance.differential.fingerprints import Semantics
from conformance.differential.inputs import inputs
from conformance.differential.property import ANY_MODE, Property
from conformance.differential.shrinking import shrink
from conformance.differential.telling import counterexample
from conformance.differential.verdict import PROVE, Result, Verdict
from conformance.differential.wanted import chosen
from conformance.differential.work import Chunking, Exhausting
from conformance.errors import ConformanceError
from conformance.kernels import Cache
from conformance.model.modes import MODES
from conformance.model.profiles import Profile
from conformance.oracles.child import FunctionOracle

if TYPE_CHECKING:
    from conformance.differential.run import Plan

__all__ = ["Judge"]

EXAMPLES = {"ci": 60, "default": 60, "nightly": 600}
"""Cases that the fuzz engine draws for a property, by profile."""

AT_ONCE, MOST = 1 << 16, 1 << 26
"""How many combinations the exhaustive engine tries at once, and at the most if there is time."""


class Judge:
    """The comparisons of a plan on one kernel.

    First every property gets its due by every engine, in every mode, however short the budget. What is
    left of it then goes half to the larger exhaustive spaces, smallest first, half to further bulk chunks,
    round and round.
    """

    def __init__(
        self,
        plan: Plan,
        profile: Profile,
        oracle: FunctionOracle,
        arguments: Sequence[str],
        seed: int,
        *,
        semantics: Semantics | None = None,
    ) -> None:
        self._plan = plan
        self._semantics = semantics
        self._profile = profile
        self._oracle = oracle
        self._arguments = arguments
        self._seed = seed
        self._end = self._exhaust_until = time.monotonic() + plan.budget
        self._engines = plan.engines
        self._bulks: list[Chunking] = []
        self._later: list[Exhausting] = []
        self._hung: set[str] = set()

    def agreement(self, other: FunctionOracle, title: str) -> Iterator[Result]:
        """Whether this oracle and another of the same kernel, a ``title``, agree; where both answer."""
        for prop in self._properties():
            if self._missing(prop) is None and prop.name in other.entries:
                for comparison in self._comparisons(prop):
                    yield agree(comparison, other, self._plan.oracle, title, self._rng(comparison, title))

    def results(self) -> Iterator[Result]:
        """Every result, as it comes; those of the bulk engine when its chunks are done."""
        for prop in self._properties():
            missing = self._missing(prop)
            if missing is not None:
                yield missing
            elif self._engines == (PROVE,):
                continue
            elif self._plan.case:
                yield from (self._one_case(comparison) for comparison in self._comparisons(prop))
            else:
                yield from self._by_every_engine(self._comparisons(prop))
        # The bulk engine gets half of what is left.
        self._exhaust_until = (time.monotonic() + self._end) / 2
        for work in sorted(self._later, key=lambda work: work.space.size):
            yield self._exhaust(work)
        self._spend()
        for each in self._bulks:
            yield self._bulk_result(each)

    def to_prove(self) -> list[str]:
        """The properties to be proved, if any are: those that the kernel has, and that do not hang."""
        if PROVE not in self._engines or self._plan.case:
            return []
        there = [prop.name for prop in self._properties() if self._missing(prop) is None]
        return [name for name in there if name not in self._hung]

    def _missing(self, prop: Property) -> Result | None:
        """Why the property cannot be compared on this kernel in these modes, None if it can."""
        reason, verdict = prop.absent(self._profile), Verdict.SKIP
        if prop.name not in self._oracle.entries and not reason and self._oracle.why_not.get(prop.name):
            reason = self._oracle.why_not[prop.name]
        elif prop.name not in self._oracle.entries and not reason:
            verdict, reason = Verdict.MISS, "the model expects it, but the source has no such function"
        elif prop.name in self._oracle.entries and not self._comparisons(prop):
            reason = f"makes sense only in the modes {', '.join(prop.modes)}"
        elif prop.name in self._oracle.entries:
            return None
        return Result(prop.name, self._plan.oracle, "-", "-", verdict, reason=reason)

    def _by_every_engine(self, comparisons: list[Comparison]) -> Iterator[Result]:
        """A property's due. Once kernel code hung it is left alone, since each try takes as long again."""
        if "fuzz" in self._engines:
            yield self._fuzz(comparisons)
        for comparison in comparisons:
            if self._hangs(comparison):
                for engine in {"bulk", "exhaustive", FINGERPRINT} & set(self._engines):
                    yield self._skipped(comparison, engine, "kernel code hung already")
                continue
            if "bulk" in self._engines:
                work = Chunking(comparison, self._rng(comparison, "bulk"))
                work.chunk()
                self._note_hang(comparison, work.found)
                self._bulks.append(work)
            if "exhaustive" in self._engines and not self._hangs(comparison):
                explored = self._explore(comparison)
                if isinstance(explored, Result):
                    yield explored
                else:
                    self._later.append(explored)
        if FINGERPRINT in self._engines and not self._hangs(comparisons[0]):
            yield from self._remember(comparisons)

    def _remember(self, comparisons: list[Comparison]) -> Iterator[Result]:
        """Whether the kernel answers the published inputs as the one that was blessed."""
        prop = comparisons[0].property
        if self._semantics is None:
            reason = "no kernel of this series was blessed"
            yield Result(prop.name, self._plan.oracle, FINGERPRINT, "-", Verdict.SKIP, reason=reason)
            return
        cases = inputs(prop)
        for comparison in comparisons:
            start = time.monotonic()
            found = remember(comparison, cases, self._semantics)
            if found.difference is not None:
                yield self._result(
                    comparison, FINGERPRINT, found.cases, start, found.difference, at=found.reason
                )
                continue
            name, mode, spent = prop.name, comparison.mode.name, time.monotonic() - start
            yield Result(
                name, self._plan.oracle, FINGERPRINT, mode, found.verdict, found.cases, spent, found.reason
            )

    def _note_hang(self, comparison: Comparison, found: Difference | None) -> None:
        if found is not None and found.hung:
            self._hung.add(comparison.property.name)

    def _hangs(self, comparison: Comparison) -> bool:
        return comparison.property.name in self._hung

    def _properties(self) -> list[Property]:
        return chosen(self._plan.only)

    def _comparisons(self, prop: Property) -> list[Comparison]:
        wanted = [name for name in prop.modes if not self._plan.modes or name in self._plan.modes]
        if not wanted and prop.modes == ANY_MODE:
            wanted = [ANY_MODE[0]]  # reads no mask: the mode asked for is as good as any
        return [Comparison(prop, MODES[name], self._profile, self._oracle) for name in wanted]

    def _rng(self, comparison: Comparison, engine: str) -> np.random.Generator:
        """A generator of its own for each use, so that a part of a run can be done again alone."""
        place = f"{comparison.property.name}/{comparison.mode.name}/{engine}".encode()
        return np.random.default_rng([self._seed, *place])

    def _one_case(self, comparison: Comparison) -> Result:
        """The case given; raises ConformanceError if the function must not be called with it."""
        for column, value in zip(comparison.property.takes, self._plan.case, strict=True):
            if not column.admits(comparison.kernel, value):
                listed = column.choices(comparison.kernel)
                allowed = f"one of {', '.join(map(hex, listed))}" if listed else f"{column.width} bits"
                raise ConformanceError(
                    f"{comparison.property.name}: {column.name} cannot be {value:#x}; give {allowed}."
                )
        start = time.monotonic()
        found = comparison.compare_once(self._plan.case)
        return self._result(comparison, "case", 1, start, found, at="the case given")

    def _fuzz(self, comparisons: list[Comparison]) -> Result:
        start = time.monotonic()
        before = sum(comparison.cases for comparison in comparisons)
        remember = None
        if self._plan.profile == "nightly":
            remember = Cache().root / "hypothesis" / comparisons[0].property.name
        found = fuzz(
            comparisons,
            seed=self._seed,
            examples=EXAMPLES[self._plan.profile],
            remember=str(remember) if remember else None,
        )
        cases = sum(comparison.cases for comparison in comparisons) - before
        if found is None:
            return self._passed(comparisons[0], "fuzz", "-", cases, start)
        comparison, difference = found
        return self._result(comparison, "fuzz", cases, start, difference, at=f"after {cases} cases, shrunk")

    def _explore(self, comparison: Comparison) -> Result | Exhausting:
        """The exhaustive engine's result where the space is small or hopeless, else what is left to do."""
        start, before = time.monotonic(), comparison.cases
        if comparison.property.scalar:
            return self._skipped(comparison, "exhaustive", "a tree of tables has too many combinations")
        rng = self._rng(comparison, "exhaustive")
        space = control_space(comparison, rng)
        if isinstance(space, Difference):
            cases = comparison.cases - before
            return self._result(comparison, "exhaustive", cases, start, space, at=f"among {cases}")
        work = Exhausting(comparison, space, rng)
        if space.size <= AT_ONCE:
            return self._exhaust(work)
        if space.size > MOST:
            return self._skipped(comparison, "exhaustive", "too many combinations of the bits that decide")
        return work

    def _exhaust(self, work: Exhausting) -> Result:
        comparison = work.comparison
        start, before = time.monotonic(), comparison.cases
        at_once = work.space.size <= AT_ONCE
        done = exhaust(
            comparison,
            work.space,
            work.rng,
            more_time=lambda: at_once or time.monotonic() < self._exhaust_until,
        )
        cases = comparison.cases - before
        if isinstance(done, Difference):
            return self._result(comparison, "exhaustive", cases, start, done, at=f"among {cases}")
        if not done:
            return self._skipped(
                comparison, "exhaustive", "the budget ended before all combinations were tried"
            )
        return self._passed(comparison, "exhaustive", comparison.mode.name, cases, start, str(work.space))

    def _more_time(self) -> bool:
        return time.monotonic() < self._end

    def _spend(self) -> None:
        """Further rounds of chunks, until the budget ends."""
        running = [each for each in self._bulks if each.found is None and not self._hangs(each.comparison)]
        while running and self._more_time():
            for each in running:
                if not self._more_time():
                    break
                each.chunks(self._more_time)
            running = [each for each in running if each.found is None]

    def _bulk_result(self, each: Chunking) -> Result:
        start = time.monotonic() - each.seconds
        if each.found is None:
            return self._passed(each.comparison, "bulk", each.comparison.mode.name, each.cases, start)
        return self._result(each.comparison, "bulk", each.cases, start, each.found, at=f"among {each.cases}")

    def _result(
        self,
        comparison: Comparison,
        engine: str,
        cases: int,
        start: float,
        found: Difference | None,
        *,
        at: str,
    ) -> Result:
        if found is None:
            return self._passed(comparison, engine, comparison.mode.name, cases, start)
        self._note_hang(comparison, found)
        if engine in ("bulk", "exhaustive", FINGERPRINT):
            found = shrink(comparison, found)
        told = counterexample(comparison, found, self._arguments, oracle=self._plan.oracle)
        return Result(
            comparison.property.name,
            self._plan.oracle,
            engine,
            comparison.mode.name,
            Verdict.FAIL,
            cases,
            time.monotonic() - start,
            at,
            told,
        )

    def _passed(
        self, comparison: Comparison, engine: str, mode: str, cases: int, start: float, reason: str = ""
    ) -> Result:
        name = comparison.property.name
        seconds = time.monotonic() - start
        if cases == 0:
            return Result(
                name, self._plan.oracle, engine, mode, Verdict.ERROR, 0, seconds, "nothing was compared"
            )
        return Result(name, self._plan.oracle, engine, mode, Verdict.PASS, cases, seconds, reason)

    def _skipped(self, comparison: Comparison, engine: str, reason: str) -> Result:
        name, mode = comparison.property.name, comparison.mode.name
        return Result(name, self._plan.oracle, engine, mode, Verdict.SKIP, reason=reason)

# SPDX-License-Identifier: GPL-2.0-only
"""Judging one kernel: which comparisons are made, in which order, within the budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from conformance.deadline import Deadline, TimeLimitReached
from conformance.differential.agreement import agree
from conformance.differential.comparison import Comparison, Difference
from conformance.differential.engines import control_space, exhaust, fuzz
from conformance.differential.engines.fingerprint import ENGINE as FINGERPRINT
from conformance.differential.engines.fingerprint import remember
from conformance.differential.fingerprints import Fingerprints
from conformance.differential.inputs import inputs
from conformance.differential.outcomes import Outcomes, generator
from conformance.differential.property import ANY_MODE, Property
from conformance.differential.property_plan import PropertyPlan
from conformance.differential.selection import chosen
from conformance.differential.sides import Absence, Side
from conformance.differential.tasks import Chunking, Exhausting
from conformance.differential.unjudged import unjudged
from conformance.differential.verdict import PROVE, Result, Verdict
from conformance.errors import ConformanceError
from conformance.kernels import Cache
from conformance.model.modes import MODES
from conformance.oracles.lacking import Lacking

__all__ = ["Judge"]

EXAMPLES = {"ci": 60, "default": 60, "nightly": 600}
"""How many cases the fuzz engine draws for a property, by profile."""

DUE, PROOFS = 0.4, 0.75
"""Shares of the time left: until when the sampling engines run each property once, then proofs."""
LAST = 0.2
"""The share that the first of these leaves where nothing is proved."""

Prove = Callable[[list[str], Deadline], Iterator[Result]]

AT_ONCE, MOST = 1 << 16, 1 << 26
"""Up to how many combinations the exhaustive engine tries at once, and if there is time."""


class Judge:
    """The comparisons of a plan on one kernel.

    The budget is wall time, shared by everything that compares, proofs and shrinking included. First the bulk
    engine compares a few cases of every property in every mode. Then every engine runs on each property once,
    until a share of the budget is used. Then come proofs, for most of the time left; then the larger
    exhaustive spaces, smallest first; and until the end further bulk chunks, property by property in turn.
    """

    def __init__(
        self,
        plan: PropertyPlan,
        kernel: Side,
        model: Side,
        arguments: Sequence[str],
        seed: int,
        *,
        blessed: Fingerprints | None = None,
    ) -> None:
        self._plan = plan
        self._blessed = blessed
        self._kernel = kernel
        self._model = model
        self._seed = seed
        self._end = Deadline(plan.budget)
        self._results = Outcomes(plan.oracle, arguments, seed, self._end)
        self._engines = plan.engines
        self._bulks: list[Chunking] = []
        self._later: list[Exhausting] = []
        self._begun: set[str] = set()
        """The properties of which the bulk engine compared the first cases at least."""
        self._compared: dict[str, list[Comparison]] = {}
        self._lacking: dict[str, Lacking] = {}

    def agreement(self, other: Side, name: str) -> Iterator[Result]:
        """Whether this oracle and another one of the same kernel agree, where both answer.

        ``name`` is that of the other oracle.
        """
        for prop in self._properties():
            if self._missing(prop) is not None or other.absence(prop) is not None:
                continue
            for compared in self._comparisons(prop) if self._end.more_time() else ():
                comparison = Comparison(prop, compared.mode, self._kernel, other)
                yield agree(comparison, generator(self._seed, comparison, name), (self._plan.oracle, name))

    def results(self, prove: Prove | None = None) -> Iterator[Result]:
        """Every result, as it comes; those of the bulk engine when its chunks are done.

        ``prove`` proves properties until a deadline and yields the results. When the command's time limit
        ends the run, the results so far are yielded before TimeLimitReached is raised again.
        """
        try:
            yield from self._all(prove)
        except TimeLimitReached:
            yield from map(self._bulk_result, self._bulks)
            raise

    def _all(self, prove: Prove | None) -> Iterator[Result]:
        there: list[Property] = []
        for prop in self._properties():
            missing = self._missing(prop)
            if missing is not None:
                yield missing
            elif self._plan.case:
                yield from (self._one_case(comparison) for comparison in self._comparisons(prop))
            else:
                there.append(prop)
        proving = prove is not None and PROVE in self._engines and bool(there)
        if self._engines != (PROVE,):
            yield from self._sampled(there, self._end.part(DUE if proving else 1 - LAST))
        if prove is not None and proving:
            left_alone = self._results.hung | self._lacking.keys()
            names = [prop.name for prop in there if prop.name not in left_alone]
            yield from prove(names, self._end if self._engines == (PROVE,) else self._end.part(PROOFS))
        yield from self._rest()

    def _sampled(self, properties: list[Property], due: Deadline) -> Iterator[Result]:
        """Every property by every engine but proofs, until ``due``."""
        for prop in properties:
            yield from self._guarded(prop.name, self._begin(self._comparisons(prop)))
        for prop in properties:
            comparisons = self._comparisons(prop)
            if due.more_time():
                yield from self._guarded(prop.name, self._by_every_engine(comparisons, due))
            elif prop.name in self._begun:
                engines = [name for name in self._engines if name not in ("bulk", PROVE)]
                yield from (
                    self._results.skipped(comparisons[0], engine, self._ended, "-") for engine in engines
                )
            else:
                yield Result(prop.name, self._plan.oracle, "-", "-", Verdict.MISS, reason=self._ended)

    @property
    def _ended(self) -> str:
        """The reason of results that the budget did not reach."""
        return f"not reached: the budget of {self._plan.budget:g} s ended before"

    def _rest(self) -> Iterator[Result]:
        """Spend the time left: at most half on the larger exhaustive spaces, the rest on bulk chunks."""
        half = self._end.part(0.5)
        for work in sorted(self._later, key=lambda work: work.space.size):
            name = work.comparison.property.name
            yield from self._guarded(name, (self._exhaust(one, half) for one in [work]))
        yield from self._spend()
        compared = [each for each in self._bulks if each.comparison.property.name not in self._lacking]
        yield from map(self._bulk_result, compared)
        for name, lacking in self._lacking.items():
            yield unjudged(Result(name, self._plan.oracle, "-", "-", Verdict.ERROR), lacking)

    def _guarded(self, name: str, results: Iterator[Result]) -> Iterator[Result]:
        """The results of a property, up to the first that needs what the suite or the system lacks."""
        if name in self._lacking:
            return
        try:
            yield from results
        except Lacking as lacking:
            self._lacking[name] = lacking

    def _begin(self, comparisons: list[Comparison]) -> Iterator[Result]:
        """The bulk engine's first cases of a property."""
        for comparison in comparisons if "bulk" in self._engines else ():
            if not self._end.more_time():
                if comparison.property.name in self._begun:
                    yield self._results.skipped(comparison, "bulk", self._ended)
            elif self._hangs(comparison):
                yield self._results.skipped(comparison, "bulk", "kernel code hung already")
            else:
                self._begun.add(comparison.property.name)
                work = Chunking(comparison, generator(self._seed, comparison, "bulk"))
                work.begin()
                yield from self._keep(work)

    def _keep(self, work: Chunking) -> Iterator[Result]:
        """Continue the bulk engine's work later, or yield its result if it found a difference."""
        if work.found is None:
            self._bulks.append(work)
        else:
            self._results.note_hang(work.comparison, work.found)
            yield self._bulk_result(work)

    def _missing(self, prop: Property) -> Result | None:
        """Why the property cannot be compared on this kernel in these modes, None if it can."""
        absence = self._kernel.absence(prop)
        if absence is not None:
            absence = self._model.absence(prop) or absence
        elif not self._comparisons(prop):
            absence = Absence(Verdict.SKIP, f"makes sense only in the modes {', '.join(prop.modes)}")
        if absence is None:
            return None
        return Result(prop.name, self._plan.oracle, "-", "-", absence.verdict, reason=absence.reason)

    def _by_every_engine(self, comparisons: list[Comparison], due: Deadline) -> Iterator[Result]:
        """A property by each engine once; skipped once kernel code hung, as each try takes as long again."""
        if "fuzz" in self._engines and not self._hangs(comparisons[0]):
            yield self._fuzz(comparisons, due)
        for comparison in comparisons:
            if self._hangs(comparison):
                for engine in {"exhaustive", FINGERPRINT} & set(self._engines):
                    yield self._results.skipped(comparison, engine, "kernel code hung already")
                continue
            for work in [each for each in self._bulks if each.comparison is comparison]:
                if due.more_time():
                    self._bulks.remove(work)
                    work.chunk()
                    yield from self._keep(work)
            if "exhaustive" in self._engines and not self._hangs(comparison):
                explored = self._explore(comparison)
                if isinstance(explored, Result):
                    yield explored
                else:
                    self._later.append(explored)
        if FINGERPRINT in self._engines and not self._hangs(comparisons[0]):
            yield from self._remember(comparisons)

    def _remember(self, comparisons: list[Comparison]) -> Iterator[Result]:
        """Whether the kernel answers the published inputs as the blessed one did."""
        prop = comparisons[0].property
        if self._blessed is None:
            reason = (
                "nothing is blessed for its series; `conformance fingerprint bless --kernel SEL` does that"
            )
            yield Result(prop.name, self._plan.oracle, FINGERPRINT, "-", Verdict.SKIP, reason=reason)
            return
        cases = inputs(prop)
        for comparison in comparisons:
            start = time.monotonic()
            found = remember(comparison, cases, self._blessed)
            if found.difference is not None:
                yield self._results.of(
                    comparison, FINGERPRINT, found.cases, start, found.difference, at=found.reason
                )
                continue
            name, mode, spent = prop.name, comparison.mode.name, time.monotonic() - start
            yield Result(
                name, self._plan.oracle, FINGERPRINT, mode, found.verdict, found.cases, spent, found.reason
            )

    def _hangs(self, comparison: Comparison) -> bool:
        return comparison.property.name in self._results.hung or comparison.property.name in self._lacking

    def _properties(self) -> list[Property]:
        return chosen(self._plan.only)

    def _comparisons(self, prop: Property) -> list[Comparison]:
        if prop.name in self._compared:
            return self._compared[prop.name]
        modes = [name for name in prop.modes if not self._plan.modes or name in self._plan.modes]
        if not modes and prop.modes == ANY_MODE:
            modes = [ANY_MODE[0]]  # It reads no mask, so that any mode stands for the one selected.
        made = [Comparison(prop, MODES[name], self._kernel, self._model) for name in modes]
        return self._compared.setdefault(prop.name, made)

    def _one_case(self, comparison: Comparison) -> Result:
        """Compare the given case; raises ConformanceError if the function must not be called with it."""
        for column, value in zip(comparison.property.takes, self._plan.case, strict=True):
            if not column.admits(comparison.semantics, value):
                listed = column.choices(comparison.semantics)
                allowed = f"one of {', '.join(map(hex, listed))}" if listed else f"{column.width} bits"
                raise ConformanceError(
                    f"{comparison.property.name}: {column.name} cannot be {value:#x}; give {allowed}."
                )
        start = time.monotonic()
        found = comparison.compare_once(self._plan.case)
        return self._results.of(comparison, "case", 1, start, found, at="the case given")

    def _fuzz(self, comparisons: list[Comparison], due: Deadline) -> Result:
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
            more_time=due.more_time,
        )
        cases = sum(comparison.cases for comparison in comparisons) - before
        if found is None:
            return self._results.passed(comparisons[0], "fuzz", "-", cases, start)
        comparison, difference = found
        return self._results.of(
            comparison, "fuzz", cases, start, difference, at=f"after {cases} cases, shrunk"
        )

    def _explore(self, comparison: Comparison) -> Result | Exhausting:
        """The exhaustive engine's result where the space is small or too large, else the work for later."""
        start, before = time.monotonic(), comparison.cases
        if comparison.property.scalar:
            return self._results.skipped(
                comparison, "exhaustive", "the model runs case by case, too slowly for all combinations"
            )
        rng = generator(self._seed, comparison, "exhaustive")
        space = control_space(comparison, rng)
        if isinstance(space, Difference):
            cases = comparison.cases - before
            return self._results.of(comparison, "exhaustive", cases, start, space, at=f"among {cases}")
        work = Exhausting(comparison, space, rng)
        if space.size <= AT_ONCE:
            return self._exhaust(work, self._end)
        if space.size > MOST:
            return self._results.skipped(
                comparison, "exhaustive", "too many combinations of the bits that decide"
            )
        return work

    def _exhaust(self, work: Exhausting, until: Deadline) -> Result:
        comparison = work.comparison
        start, before = time.monotonic(), comparison.cases
        done = exhaust(comparison, work.space, work.rng, more_time=until.more_time)
        cases = comparison.cases - before
        if isinstance(done, Difference):
            return self._results.of(comparison, "exhaustive", cases, start, done, at=f"among {cases}")
        if not done:
            return self._results.skipped(
                comparison, "exhaustive", "the budget ended before all combinations were tried"
            )
        return self._results.passed(
            comparison, "exhaustive", comparison.mode.name, cases, start, str(work.space)
        )

    def _spend(self) -> Iterator[Result]:
        """Further rounds of chunks until the budget ends; a difference is reported at once."""
        running = [each for each in self._bulks if not self._hangs(each.comparison)]
        while running and self._end.more_time():
            for each in running:
                if not self._end.more_time():
                    break
                try:
                    each.chunks(self._end.more_time)
                except Lacking as lacking:
                    self._lacking[each.comparison.property.name] = lacking
                    continue
                if each.found is not None:
                    self._bulks.remove(each)
                    yield self._bulk_result(each)
            running = [each for each in running if each.found is None and not self._hangs(each.comparison)]

    def _bulk_result(self, each: Chunking) -> Result:
        comparison, start = each.comparison, time.monotonic() - each.seconds
        at = f"among {each.cases}"
        return self._results.of(comparison, "bulk", each.cases, start, each.found, at=at)

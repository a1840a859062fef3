# SPDX-License-Identifier: GPL-2.0-only
"""A run through history: each revert in a worker process, then the report and the score per layer."""

from __future__ import annotations

import fnmatch
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from conformance.differential.unjudged import once
from conformance.differential.verdict import KernelReport, Report, Result, Verdict
from conformance.errors import ConformanceError
from conformance.history import FIXES, UNDETECTED
from conformance.history.fix import Fix, Layer, Means, Revert, Undetected
from conformance.history.judging_revert import NOTICED, Missing, judge, layer_of, means_of
from conformance.kernels import SERIES, BuildError, open_kernel
from conformance.model.profiles import profile_of
from conformance.scenarios.findings import known
from conformance.workers import workers

__all__ = ["SEED", "History", "HistoryPlan", "Outcome", "Score", "run"]

Progress = Callable[[str], None]
Advance = Callable[[Result], None]
SEED = 1
"""Every run makes the same random choices, so that a missing fix is noticed always or never."""


@dataclass(frozen=True)
class HistoryPlan:
    """What to take out: kernels (none: all that a fix can be taken out of) and globs on names of fixes.

    ``budget`` is seconds of comparing for each property, ``jobs`` are kernels built and judged at once.
    """

    kernels: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    budget: float = 1.0
    jobs: int = 2


@dataclass(frozen=True)
class Outcome:
    """The results of one revert; the first says whether it was noticed."""

    fix: Fix
    revert: Revert
    results: tuple[Result, ...]

    @property
    def layer(self) -> Layer:
        """The layer at which it must be noticed."""
        return layer_of(self.revert)

    @property
    def noticed(self) -> bool:
        """Whether it was noticed."""
        return all(result.verdict is Verdict.PASS for result in self.results if result.engine == NOTICED)


@dataclass(frozen=True)
class Score:
    """Of one layer: reverts that were noticed, all reverts, and fixes that no oracle can detect."""

    noticed: int
    planted: int
    undetected: int


@dataclass(frozen=True)
class History:
    """The results of a run. ``report`` has them in the form that all reports share."""

    outcomes: tuple[Outcome, ...]
    undetected: tuple[Undetected, ...]
    report: Report

    @property
    def scores(self) -> dict[Layer, Score]:
        """The score of every layer."""
        return {layer: self._score(layer) for layer in Layer}

    @property
    def means(self) -> dict[Means, int]:
        """How many reverts each means has noticed."""
        noticed = Counter(means_of(outcome.revert) for outcome in self.outcomes if outcome.noticed)
        return {means: noticed[means] for means in Means}

    def _score(self, layer: Layer) -> Score:
        of_it = [outcome for outcome in self.outcomes if outcome.layer is layer]
        undetected = sum(fix.layer is layer for fix in self.undetected)
        return Score(sum(outcome.noticed for outcome in of_it), len(of_it), undetected)


def run(plan: HistoryPlan, *, progress: Progress, advance: Advance | None = None) -> History:
    """Carry out a plan. Raises ConformanceError if it names a kernel or a fix that does not exist."""
    start = time.monotonic()
    _check_kernels(plan.kernels)
    selected = [(fix, revert) for fix, revert in _all() if _is_selected(plan, fix, revert)]
    undetected = [fix for fix in UNDETECTED if _named(plan.only, _names(fix))]
    if not selected and not undetected:
        where = f" of {', '.join(plan.kernels)}" if plan.kernels else ""
        raise ConformanceError(
            f"no fix{where} is called {', '.join(plan.only)}; give a commit, a function, a property or a "
            "story, * stands for any text. Without --only all are taken out."
        )
    series = sorted({revert.kernel for _, revert in selected}, key=SERIES.index)
    modes = {kernel: {revert.mode for _, revert in selected if revert.kernel == kernel} for kernel in series}
    reports = {kernel: _report(kernel, modes[kernel], progress) for kernel in series}
    judged = [(fix, revert) for fix, revert in selected if reports[revert.kernel].error is None]
    outcomes = []
    with workers(plan.jobs) as pool:
        under_way = [pool.submit(judge, Missing(fix, revert, plan.budget, SEED)) for fix, revert in judged]
        for (fix, revert), future in zip(judged, under_way, strict=True):
            outcome = Outcome(fix, revert, tuple(future.result()))
            progress(f"{revert.kernel} without {fix.commit}: {outcome.results[0].reason}")
            outcomes.append(outcome)
            for result in outcome.results:
                reports[revert.kernel].results.append(result)
                if advance is not None:
                    advance(result)
    kernels = list(reports.values())
    spent = time.monotonic() - start
    for report in kernels:
        # All kernels are judged in one pool of workers.
        report.seconds = spent
        report.results[:] = once(report.results, "fixes")
    if kernels:
        kernels[0].results.extend(map(_skipped, undetected))
    return History(tuple(outcomes), tuple(undetected), Report(kernels, SEED, spent))


def _check_kernels(names: Sequence[str]) -> None:
    """Raise ConformanceError for a kernel that no fix can be taken out of."""
    known = list(dict.fromkeys(revert.kernel for _, revert in _all()))
    for name in names:
        if name not in (*known, "all"):
            raise ConformanceError(f"no fix can be taken out of {name}; give {', '.join(known)} or all.")


def _all() -> list[tuple[Fix, Revert]]:
    return [(fix, revert) for fix in FIXES for revert in fix.reverts]


def _is_selected(plan: HistoryPlan, fix: Fix, revert: Revert) -> bool:
    here = not plan.kernels or "all" in plan.kernels or revert.kernel in plan.kernels
    return here and _named(plan.only, (*_names(fix), revert.by))


def _names(fix: Fix | Undetected) -> tuple[str, ...]:
    return fix.change.commit, fix.function


def _named(globs: Sequence[str], names: Sequence[str]) -> bool:
    return not globs or any(fnmatch.fnmatch(name, glob) for name in names for glob in globs)


def _report(selector: str, modes: Collection[str], progress: Progress) -> KernelReport:
    """The report of a kernel with its known faults in these modes; with an error if it cannot be opened."""
    try:
        kernel = open_kernel(selector, progress=progress)
    except BuildError as error:
        return KernelReport.unopened(selector, error=str(error))
    report = KernelReport.of(kernel)
    report.known = known(profile_of(kernel.release), modes)
    return report


def _skipped(fix: Undetected) -> Result:
    return Result(fix.change.commit, "-", NOTICED, "-", Verdict.SKIP, reason=f"{fix.layer}: {fix.reason}")

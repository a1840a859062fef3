# SPDX-License-Identifier: GPL-2.0-only
"""A run of selftests: they are built from a kernel's source and run one after the other in one machine.

After a selftest that ends the machine the next one has a new machine.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.differential.unjudged import once, unjudged
from conformance.differential.verdict import KernelReport, Report, Result
from conformance.kernels import BuildError, Cache, expand
from conformance.kernels.bootable import Bootable, UserKernel
from conformance.kernels.selftests import Selftests, open_selftests
from conformance.oracles.lacking import Lacking
from conformance.oracles.live.deaths import LiveDied
from conformance.sandbox.processes import Ended as TimeIsUp
from conformance.selftests.judging import Run, died_in, error, judged, missed, skipped
from conformance.selftests.kernel_to_boot import check, kernel_to_boot
from conformance.selftests.modes import DEFAULT, MODES, chosen_modes
from conformance.selftests.running import Machines
from conformance.selftests.table import Selftest, programs, selected

__all__ = ["SelftestPlan", "run"]

Progress = Callable[[str], None]
Advance = Callable[[Result], None]


@dataclass(frozen=True)
class SelftestPlan:
    """Selectors, patches, globs on names (none: all), modes (none: npt); a kernel of the user and the folder
    of its modules."""

    kernels: tuple[str, ...] = ()
    patches: tuple[Path, ...] = ()
    names: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    image: Path | None = None
    modules: Path | None = None


def run(plan: SelftestPlan, *, progress: Progress, advance: Advance | None = None) -> Report:
    """Carry out a plan. Raises ConformanceError for an unknown name, and if a kernel cannot be booted."""
    start = time.monotonic()
    selectors = expand(list(plan.kernels))
    given = check(plan.image, plan.modules, selectors)
    chosen, modes = selected(plan.names), chosen_modes(plan.modes)
    reports: list[KernelReport] = []
    for selector in selectors:
        report = KernelReport.unopened(selector, plan.patches)
        reports.append(report)
        try:
            judging = _prepared(report, plan, given, progress)
            for mode in modes:
                for result in judging.results(mode, chosen):
                    report.results.append(result)
                    if advance is not None:
                        advance(result)
        except BuildError as error:
            report.error = str(error)
        except TimeIsUp as ended:
            report.results += _missing(report, chosen, modes, f"not reached: {ended}")
            reports += [
                KernelReport.unopened(left, error=f"{left}: not reached: {ended}.")
                for left in selectors[len(reports) :]
            ]
            break
        report.results[:] = once(report.results, "selftests")
        report.seconds = time.monotonic() - start - sum(one.seconds or 0 for one in reports[:-1])
    return Report(reports, None, time.monotonic() - start)


def _prepared(
    report: KernelReport, plan: SelftestPlan, given: UserKernel | None, progress: Progress
) -> _Judging:
    """The kernel and its selftests, which are noted in the report."""
    start, cache = time.monotonic(), Cache()
    kernel = kernel_to_boot(report.selector, plan.patches, given, cache, progress)
    built = open_selftests(report.selector, plan.patches, programs(), progress=progress, cache=cache)
    report.title, report.version = built.title, built.version
    report.notes = (*built.notes, f"booted: {kernel.title}")
    report.drift = " ".join(filter(None, (kernel.drift, built.drift))) or None
    report.prepared = time.monotonic() - start
    return _Judging(kernel, built, cache, progress, _words(plan, report.selector))


@dataclass(frozen=True)
class _Judging:
    """Judges selftests of one kernel; ``words`` are the options that select it in a command."""

    kernel: Bootable
    built: Selftests
    cache: Cache
    progress: Progress
    words: tuple[str, ...]

    def results(self, mode: str, chosen: Sequence[Selftest]) -> Iterator[Result]:
        """The results in one mode: of one machine, unless a selftest ends it."""
        programs = [*self.built.programs.values()]
        with Machines(self.kernel, programs, self.cache, self.progress, MODES[mode]) as machines:
            for number, one in enumerate(chosen):
                program, why_not = self._program(one)
                if program is None:
                    yield skipped(Run(one.name, mode), why_not)
                    continue
                yield self._judged(one, program, mode, machines)
                if machines.unbootable:
                    left = [Run(each.name, mode) for each in chosen[number:]]
                    yield from (missed(run, "the kernel does not boot") for run in left)
                    return

    def _program(self, one: Selftest) -> tuple[str | None, str]:
        """The name of its program in this kernel; or None, and why it is not run."""
        if why_not := one.why_not(self.built.version):
            return None, why_not
        for name in one.programs:
            if name in self.built.programs:
                return name, ""
            if name in self.built.unbuilt:
                return None, f"does not build: {self.built.unbuilt[name]}"
        return None, "this kernel's source does not have it"

    def _judged(self, one: Selftest, program: str, mode: str, machines: Machines) -> Result:
        words = ("--mode", mode) if mode != DEFAULT else ()
        again = shlex.join(["conformance", "selftests", one.name, *self.words, *words])
        run, start = Run(one.name, mode, again), time.monotonic()
        try:
            machines.boot()
            start = time.monotonic()
            ended = machines.run(program, one)
        except LiveDied as died:
            run = replace(run, name="boot") if machines.unbootable else run
            result = died_in(run, died)
        except Lacking as lacking:
            result = unjudged(error(run), lacking)
        else:
            result = judged(run, ended)
        return replace(result, seconds=time.monotonic() - start)


def _words(plan: SelftestPlan, selector: str) -> tuple[str, ...]:
    """The options that select what was booted."""
    words = ["--kernel", selector, *(word for patch in plan.patches for word in ("--patch", str(patch)))]
    if plan.image is not None:
        words += ["--image", str(plan.image), "--modules", str(plan.modules)]
    return tuple(words)


def _missing(
    report: KernelReport, chosen: Sequence[Selftest], modes: Sequence[str], reason: str
) -> list[Result]:
    """MISS for the selftests that the time limit cut off."""
    seen = {(result.property, result.mode) for result in report.results}
    return [
        missed(Run(one.name, mode), reason)
        for mode in modes
        for one in chosen
        if (one.name, mode) not in seen
    ]

# SPDX-License-Identifier: GPL-2.0-only
"""A run of scenarios: kernels are opened and their KVM is built, then all scenarios are judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from conformance.differential.unjudged import once
from conformance.differential.verdict import KernelReport, Report, Result, Verdict
from conformance.errors import ConformanceError
from conformance.kernels import BuildError, Cache, Kernel, expand, open_kernel
from conformance.model.modes import VM_MODES
from conformance.model.profiles import Profile, profile_of
from conformance.oracles.kvm.build import CannotBuild, build_kvm
from conformance.sandbox.processes import Ended
from conformance.scenarios import findings, saved
from conformance.scenarios.judging_scenario import ENGINE, ORACLE, Facts, judge
from conformance.scenarios.modes import STORY_MODES, TDP_MODES, absent
from conformance.scenarios.saved import Saved, is_file_name
from conformance.scenarios.sides import KvmSides
from conformance.scenarios.stories import STORIES
from conformance.scenarios.story import Story, stories
from conformance.workers import workers

__all__ = ["Ready", "ScenarioPlan", "check_modes", "prepare", "run", "scenario", "scenarios"]

Progress = Callable[[str], None]
Advance = Callable[[Result], None]
Scenario = Story | Saved
CHUNK = 8
"""Scenarios that one worker process plays in a row."""


@dataclass(frozen=True)
class ScenarioPlan:
    """Selectors, patches, globs on names or paths of files, modes (none: all), and processes."""

    kernels: tuple[str, ...] = ()
    patches: tuple[Path, ...] = ()
    names: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    jobs: int = 2


@dataclass(frozen=True)
class Ready:
    """A kernel whose whole KVM is built."""

    kernel: Kernel
    library: Path
    profile: Profile
    facts: Facts
    start: float
    """When its preparation began, on time.monotonic()'s clock."""
    without_tdp_mmu: str = ""
    """Why the modes with the TDP MMU are not played on it; "" if they are."""

    def report(self) -> KernelReport:
        """The kernel's report, still empty."""
        return KernelReport.of(self.kernel)

    def absent(self, mode: str) -> str:
        """Why a mode is not played on the kernel; "" if it is."""
        return self.without_tdp_mmu if mode in TDP_MODES else absent(mode, self.profile)

    def sides(self, mode: str) -> KvmSides:
        """Kernel and model in a mode."""
        return KvmSides(self.library, self.profile, VM_MODES[mode])


def check_modes(names: Sequence[str]) -> None:
    """Raise ConformanceError about a mode in which no scenario is played."""
    for name in names:
        if name not in STORY_MODES:
            known = "is of single functions only" if name in VM_MODES else "does not exist"
            raise ConformanceError(f"mode {name} {known}; scenarios have {', '.join(STORY_MODES)}.")


def scenarios(names: Sequence[str]) -> list[Scenario]:
    """The stories and files of these names; every story if none is named. Raises ConformanceError."""
    globs = [name for name in names if not is_file_name(name)]
    found: list[Scenario] = [saved.read(name) for name in names if is_file_name(name)]
    return [*(stories(globs) if globs or not names else []), *found]


def scenario(name: str) -> Scenario:
    """The story or file of this very name."""
    return saved.read(name) if is_file_name(name) else STORIES[name]


def prepare(
    selector: str, patches: Sequence[Path], progress: Progress, modes: Sequence[str] = ()
) -> Ready | KernelReport:
    """A kernel made ready for those of some modes that it has, or of all; or why it cannot be."""
    start = time.monotonic()
    try:
        kernel = open_kernel(selector, patches, progress=progress)
    except BuildError as error:
        return KernelReport.unopened(selector, patches, error=str(error))
    report = KernelReport.of(kernel)
    try:
        library, without_tdp_mmu = _library(kernel, progress, modes or STORY_MODES)
    except CannotBuild as why:
        return replace(report, unreached=str(why))
    except BuildError as error:
        return replace(report, error=str(error))
    words = (word for patch in patches for word in ("--patch", str(patch)))
    arguments = ("--kernel", selector, *words, *kernel.compiler.arguments)
    facts = Facts(kernel.series, kernel.version, arguments)
    return Ready(kernel, library, profile_of(kernel.release), facts, start, without_tdp_mmu)


def _library(kernel: Kernel, progress: Progress, modes: Sequence[str]) -> tuple[Path, str]:
    """The library for the modes, and why it is not for those with the TDP MMU; "" if it is."""
    try:
        tdp_mmu = any(mode in TDP_MODES for mode in modes)
        return build_kvm(kernel, Cache(), progress, tdp_mmu=tdp_mmu), ""
    except CannotBuild as why:
        if all(mode in TDP_MODES for mode in modes):
            raise
        return build_kvm(kernel, Cache(), progress, tdp_mmu=False), str(why)


def run(plan: ScenarioPlan, *, progress: Progress, advance: Advance | None = None) -> Report:
    """Carry out a plan.

    Raises ConformanceError for an unknown name; a kernel that cannot be judged is an error in its report, and
    one that the oracle does not support is skipped.
    """
    start = time.monotonic()
    selectors = expand(list(plan.kernels))
    check_modes(plan.modes)
    chosen = scenarios(plan.names)
    prepared: list[Ready | KernelReport] = []
    reports: dict[str, KernelReport] = {}
    missing = ""
    try:
        for selector in selectors:
            prepared.append(prepare(selector, plan.patches, progress, plan.modes))
        with workers(plan.jobs) as pool:
            under_way = [
                (ready, _submit(pool, ready, chosen, plan.modes))
                for ready in prepared
                if isinstance(ready, Ready)
            ]
            for ready, futures in under_way:
                report = reports[ready.kernel.selector] = ready.report()
                report.results += _absent(ready, chosen, plan.modes)
                _collect(report, ready, futures, progress, advance)
    except Ended as ended:
        missing = f"not reached: {ended}"
    done: list[KernelReport] = []
    for selector, made in zip_longest(selectors, prepared):
        if isinstance(made, KernelReport):
            done.append(made)
        elif made is None:
            done.append(KernelReport.unopened(selector, error=f"{selector}: {missing}."))
        else:
            report = reports.get(made.kernel.selector) or made.report()
            if missing and not report.seconds:
                report.results += _not_played(report, chosen, plan.modes, missing)
            done.append(report)
    return Report(done, None, time.monotonic() - start)


def _modes(chosen: Sequence[Scenario], selected: Sequence[str]) -> list[str]:
    """The modes in which any of the scenarios is played."""
    of_any = {mode for one in chosen for mode in one.modes}
    return [mode for mode in STORY_MODES if mode in of_any and (not selected or mode in selected)]


def _absent(ready: Ready, chosen: Sequence[Scenario], selected: Sequence[str]) -> list[Result]:
    """For each mode that the kernel does not have, one result for all stories."""
    return [
        Result("stories", ORACLE, ENGINE, mode, Verdict.SKIP, reason=why)
        for mode in _modes(chosen, selected)
        if (why := ready.absent(mode))
    ]


def _not_played(
    report: KernelReport, chosen: Sequence[Scenario], selected: Sequence[str], reason: str
) -> list[Result]:
    """MISS results for the stories that the time limit cut off."""
    seen = {(result.property, result.mode) for result in report.results}
    owed = [(one.name, mode) for one in chosen for mode in _modes(chosen, selected) if mode in one.modes]
    return [
        Result(name, ORACLE, ENGINE, mode, Verdict.MISS, reason=reason)
        for name, mode in owed
        if (name, mode) not in seen
    ]


def _submit(
    pool: ProcessPoolExecutor, ready: Ready, chosen: Sequence[Scenario], selected: Sequence[str]
) -> list[Future[list[Result]]]:
    """Hand a kernel's scenarios to the workers, some of one mode at a time."""
    futures = []
    for mode in _modes(chosen, selected):
        if ready.absent(mode):
            continue
        names = [one.name for one in chosen if mode in one.modes]
        futures += [
            pool.submit(_play, ready, mode, names[at : at + CHUNK]) for at in range(0, len(names), CHUNK)
        ]
    return futures


def _collect(
    report: KernelReport,
    ready: Ready,
    futures: Sequence[Future[list[Result]]],
    progress: Progress,
    advance: Advance | None,
) -> None:
    """Fill the report with the results of the workers; its ``seconds`` are set when it is complete."""
    progress(f"{ready.kernel.title}: playing scenarios")
    for future in futures:
        for result in future.result():
            report.results.append(result)
            if advance is not None:
                advance(result)
    report.results[:] = once(report.results, "stories")
    report.seconds = time.monotonic() - ready.start


def _play(ready: Ready, mode: str, names: Sequence[str]) -> list[Result]:
    """Judge some scenarios in one mode; runs in a worker process."""
    sides = ready.sides(mode)
    results = []
    for one in (scenario(name) for name in names):
        absent = one.absent(ready.profile)
        if absent:
            faults = findings.fatal(ready.profile, one) if isinstance(one, Story) else ()
            results.append(
                Result(one.name, ORACLE, ENGINE, mode, Verdict.SKIP, reason=absent, findings=faults)
            )
            continue
        result = judge(sides, one.name, one.script, ready.facts, golden=isinstance(one, Story))
        if isinstance(one, Story) and result.verdict is Verdict.PASS:
            result = replace(result, findings=tuple(findings.seen(sides, one)))
        results.append(result)
    return results

# SPDX-License-Identifier: GPL-2.0-only
"""A run of races: which explorations a plan comes to, and whether each ends as expected.

The current variant of a race must violate no invariant, a historic variant the one that is named with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.differential.unjudged import once
from conformance.differential.verdict import KernelReport, Report, Result, Verdict
from conformance.errors import ConformanceError
from conformance.kernels import BuildError, Cache, Kernel, expand, open_kernel
from conformance.model.changes import CHANGES, Change
from conformance.model.changes import RACES as RACING_CHANGES
from conformance.model.profiles import Profile, profile_of
from conformance.oracles.kvm.build import CannotBuild, build_kvm
from conformance.races.catalogue import races
from conformance.races.judging import SCHEDULES, Finding, RaceTask, judged, variant_name
from conformance.races.race import RACES, SIDES, Race, library_without
from conformance.races.run_exploration import Exploration, Outcome, explore_race
from conformance.sandbox.processes import Ended
from conformance.workers import workers

__all__ = ["LIMITS", "RacePlan", "change_named", "run"]

LIMITS = (
    "Memory is sequentially consistent here; the host's memory management, the processor with its TLB, and "
    "interrupts are ours. Threads switch only before accesses to memory that they share."
)
"""The limits of what a race can show, printed after each run."""

Progress = Callable[[str], None]
Advance = Callable[[Result], None]


@dataclass(frozen=True)
class RacePlan:
    """What to explore.

    ``kernels`` are selectors, ``names`` globs on races, ``on`` sides (empty: both), ``modes`` names (empty:
    all). ``without`` are changes that the model lacks. With these or with ``patches`` only that variant is
    explored, and any violation is a finding. ``schedules`` bounds each exploration, ``seed`` makes it random.
    """

    kernels: tuple[str, ...] = ()
    patches: tuple[Path, ...] = ()
    names: tuple[str, ...] = ()
    on: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    schedules: int = SCHEDULES
    seed: int | None = None
    jobs: int = 2
    current: bool = True
    """Whether the current variants are explored, or only the historic ones."""


def change_named(name: str) -> Change:
    """The change of this name, title or commit. Raises ConformanceError if no change has it."""
    known = {**CHANGES, **RACING_CHANGES}
    for constant, change in known.items():
        if name in (constant, change.title) or (
            change.commit and change.commit.startswith(name) and len(name) > 6
        ):
            return change
    raise ConformanceError(
        f"there is no change {name}; races can do without {', '.join(RACING_CHANGES)}, "
        "and without any commit in the registry of changes."
    )


def run(
    plan: RacePlan, *, progress: Progress, advance: Advance | None = None
) -> tuple[Report, list[Finding]]:
    """Carry out a plan: the report, and every violation that was found, expected or not.

    Raises ConformanceError if the plan names a race, mode or change that does not exist.
    """
    start = time.monotonic()
    chosen = races(plan.names)
    without = tuple(map(change_named, plan.without))
    known = dict.fromkeys(mode for race in RACES.values() for mode in race.modes)
    for mode in plan.modes:
        if mode not in known:
            raise ConformanceError(f"no race has mode {mode}; there are {', '.join(known)}.")
    if without and plan.on == ("kvm",):
        raise ConformanceError("--without is for the model; take a change out of a kernel with --patch.")
    reports: list[KernelReport] = []
    found: list[Finding] = []
    selectors = expand(list(plan.kernels))
    pending: list[RaceTask] = []
    try:
        with workers(plan.jobs) as pool:
            for selector in selectors:
                began = time.monotonic()
                report, tasks = _prepare(selector, plan, chosen, without, progress)
                reports.append(report)
                pending = list(tasks)
                running: list[tuple[RaceTask, Future[Outcome]]] = [
                    (task, pool.submit(explore_race, task.exploration)) for task in tasks
                ]
                progress(f"{report.title}: exploring")
                for task, future in running:
                    outcome = future.result()
                    pending.remove(task)
                    result, finding = judged(task, outcome)
                    report.results.append(result)
                    if finding is not None:
                        found.append(finding)
                    if advance is not None:
                        advance(result)
                report.results[:] = once(report.results, "races")
                report.seconds = time.monotonic() - began
    except Ended as ended:
        why = f"not reached: {ended}"
        for task in pending:
            place = task.name, task.side, task.side, task.exploration.mode
            reports[-1].results.append(Result(*place, Verdict.MISS, reason=why))
        for selector in selectors[len(reports) :]:
            reports.append(KernelReport.unopened(selector, error=f"{selector}: {why}."))
    return Report(reports, plan.seed, time.monotonic() - start), found


def _prepare(
    selector: str, plan: RacePlan, chosen: Sequence[Race], without: tuple[Change, ...], progress: Progress
) -> tuple[KernelReport, list[RaceTask]]:
    """A kernel's report, with SKIPs only so far, and the tasks to explore."""
    try:
        kernel = open_kernel(selector, plan.patches, progress=progress)
        report = KernelReport.of(kernel)
        library = None
        if "kvm" in (plan.on or SIDES) and not without:
            library = build_kvm(kernel, Cache(), progress, racing=True)
    except CannotBuild as why:
        return replace(report, unreached=str(why)), []
    except BuildError as error:
        return KernelReport.unopened(selector, plan.patches, error=str(error)), []
    profile = profile_of(kernel.release)
    tasks: list[RaceTask] = []
    for race in chosen:
        absent = race.absent(profile)
        if absent:
            report.results.append(Result(race.name, "-", "-", "-", Verdict.SKIP, reason=absent))
            continue
        for side in plan.on or SIDES:
            if side == "kvm" and library is None:
                continue
            if side == "model" and plan.patches and not without:
                continue
            tasks += _of_race(race, side, kernel, library, profile, plan, without, report, progress)
    return report, tasks


def _of_race(
    race: Race,
    side: str,
    kernel: Kernel,
    library: Path | None,
    profile: Profile,
    plan: RacePlan,
    without: tuple[Change, ...],
    report: KernelReport,
    progress: Progress,
) -> Iterator[RaceTask]:
    """The tasks for all variants and modes of a race on one side; SKIPs go into the report."""
    modes = [mode for mode in race.modes if not plan.modes or mode in plan.modes]
    if side not in race.sides:
        if modes:
            reason = f"this race runs on the {race.sides[0]} side only"
            report.results.append(Result(race.name, side, "-", "-", Verdict.SKIP, reason=reason))
        return
    patches = [word for patch in plan.patches for word in ("--patch", str(patch))]
    arguments = ("--kernel", kernel.selector, *patches, *kernel.compiler.arguments)
    base = Exploration(
        race=race.name,
        mode="",
        profile=profile,
        library=library if side == "kvm" else None,
        without=without,
        limit=plan.schedules,
        seed=plan.seed,
    )
    for mode in modes if plan.current else ():
        yield RaceTask(replace(base, mode=mode), side, None, kernel.series, arguments)
    if plan.patches or without:
        return
    for historic in race.historic:
        if side not in historic.sides:
            continue
        own = [mode for mode in modes if not historic.modes or mode in historic.modes]
        why = historic.inapplicable(profile, str(kernel.series) if side == "kvm" else None)
        if why:
            name = variant_name(race.name, historic)
            report.results.append(Result(name, side, side, "-", Verdict.SKIP, reason=why))
            continue
        old = base
        if side == "kvm":
            old = replace(old, library=library_without(kernel, race, historic.change, progress))
        else:
            old = replace(old, without=(historic.change,))
        for mode in own:
            exploration = replace(old, mode=mode, invariant=historic.invariant.name)
            yield RaceTask(exploration, side, historic, kernel.series, arguments)

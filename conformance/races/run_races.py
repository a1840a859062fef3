# SPDX-License-Identifier: GPL-2.0-only
"""A whole run of races: today's form must break no promise, each historic one the one that is named."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.differential.unjudged import once, unjudged
from conformance.differential.verdict import Counterexample, KernelReport, Report, Result, Verdict
from conformance.errors import ConformanceError
from conformance.kernels import BuildError, Cache, Kernel, expand, open_kernel
from conformance.model.changes import CHANGES, Change
from conformance.model.changes import RACES as RACING_CHANGES
from conformance.model.profiles import Profile, profile_of
from conformance.oracles.kvm.build import CannotBuild, build_kvm
from conformance.races.exploration import Exploration, Outcome, hold
from conformance.races.picture import as_html, as_text
from conformance.races.race import SHADOW, SIDES, Historic, Race, label_of, library_without, races
from conformance.races.saved import Saved
from conformance.sandbox.processes import Ended
from conformance.scenarios.story import TDP_MODES
from conformance.workers import workers

__all__ = ["LIMITS", "Finding", "RacePlan", "change_named", "run"]

LIMITS = (
    "Memory is sequentially consistent here; the host's memory management, the processor with its TLB, and "
    "interrupts are ours. Threads switch only before accesses to memory that they share."
)
"""What no schedule of ours can show."""

SCHEDULES = 20_000
"""How many schedules of a race are run if no other number is asked for."""

Progress = Callable[[str], None]
Advance = Callable[[Result], None]


@dataclass(frozen=True)
class RacePlan:
    """What to explore.

    ``kernels`` are selectors, ``names`` globs on races, ``on`` sides (none: both), ``modes`` names (none:
    all). ``without`` are changes that the model lacks. With these or with ``patches`` only that form is
    explored, and any broken promise is a finding. ``schedules`` bounds each exploration, ``seed`` makes it
    random.
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
    today: bool = True
    """Whether today's forms are explored, too, or only the historic ones."""


@dataclass(frozen=True)
class Finding:
    """A schedule that was found or followed, as it can be saved, and its picture.

    ``series`` is the kernel's.
    """

    saved: Saved
    outcome: Outcome
    title: str
    series: str | None = None

    def picture(self) -> list[str]:
        """The picture, in lines."""
        return as_text(self.outcome.threads, self.outcome.drawn, dict(self.outcome.sptes), self._end)

    def page(self) -> str:
        """The picture as a page."""
        return as_html(
            self.title, self.outcome.threads, self.outcome.drawn, dict(self.outcome.sptes), self._end
        )

    def lines(self) -> list[str]:
        """A race file's lines, the picture behind the schedule."""
        return self.saved.lines(self.picture())

    def text(self) -> str:
        """The race file."""
        return "\n".join(self.lines()) + "\n"

    @property
    def _end(self) -> str:
        breach = self.outcome.breach
        return f"broken: {breach.promise}: {breach.how}" if breach else "no promise is broken"


def _name(race: str, historic: Historic | None) -> str:
    return f"{race} without {historic.label}" if historic is not None else race


@dataclass(frozen=True)
class _Task:
    """A contest with what is expected of it: a promise that must be broken, or none."""

    contest: Exploration
    side: str
    historic: Historic | None
    series: str | None
    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        """What reports call this form of the race."""
        return _name(self.contest.race, self.historic)


def change_named(name: str) -> Change:
    """The change of this name or commit. Raises ConformanceError about one that there is not."""
    known = {**CHANGES, **RACING_CHANGES}
    for constant, change in known.items():
        if name in (constant, change.title) or (
            change.commit and change.commit.startswith(name) and len(name) > 6
        ):
            return change
    raise ConformanceError(
        f"there is no change {name}; races can do without {', '.join(RACING_CHANGES)}, "
        "and without any commit of the registry."
    )


def run(
    plan: RacePlan, *, progress: Progress, advance: Advance | None = None
) -> tuple[Report, list[Finding]]:
    """Carry out a plan: the report, and every bad schedule that was found, expected or not.

    Raises ConformanceError if the plan names what there is not.
    """
    start = time.monotonic()
    chosen = races(plan.names)
    without = tuple(map(change_named, plan.without))
    for mode in plan.modes:
        if mode not in (*TDP_MODES, SHADOW):
            raise ConformanceError(f"no race has mode {mode}; there are {', '.join((*TDP_MODES, SHADOW))}.")
    if without and plan.on == ("kvm",):
        raise ConformanceError("--without is for the model; take a fix out of the kernel with --patch.")
    reports: list[KernelReport] = []
    found: list[Finding] = []
    selectors = expand(list(plan.kernels))
    owed: list[_Task] = []
    try:
        with workers(plan.jobs) as pool:
            for selector in selectors:
                began = time.monotonic()
                report, tasks = _prepare(selector, plan, chosen, without, progress)
                reports.append(report)
                owed = list(tasks)
                running: list[tuple[_Task, Future[Outcome]]] = [
                    (task, pool.submit(hold, task.contest)) for task in tasks
                ]
                progress(f"{report.title}: exploring")
                for task, future in running:
                    outcome = future.result()
                    owed.remove(task)
                    finding = _find(task, outcome) if outcome.breach is not None and outcome.legs else None
                    result = _judged(task, outcome, finding)
                    report.results.append(result)
                    if finding is not None:
                        found.append(finding)
                    if advance is not None:
                        advance(result)
                report.results[:] = once(report.results, "races")
                report.seconds = time.monotonic() - began
    except Ended as ended:
        why = f"not reached: {ended}"
        for task in owed:
            place = task.name, task.side, task.side, task.contest.mode
            reports[-1].results.append(Result(*place, Verdict.MISS, reason=why))
        for selector in selectors[len(reports) :]:
            reports.append(KernelReport(selector, selector, "", error=f"{selector}: {why}."))
    return Report(reports, plan.seed, time.monotonic() - start), found


def _prepare(
    selector: str, plan: RacePlan, chosen: Sequence[Race], without: tuple[Change, ...], progress: Progress
) -> tuple[KernelReport, list[_Task]]:
    """A kernel's report, still empty but for what is skipped, and what is to be explored."""
    title = " + ".join([selector, *(patch.name for patch in plan.patches)])
    try:
        kernel = open_kernel(selector, plan.patches, progress=progress)
        report = KernelReport(
            selector,
            kernel.title,
            kernel.version,
            kernel.drift,
            notes=kernel.notes,
            compiler=kernel.compiler.text,
        )
        library = None
        if "kvm" in (plan.on or SIDES) and not without:
            library = build_kvm(kernel, Cache(), progress, racing=True)
    except CannotBuild as why:
        return replace(report, unreached=str(why)), []
    except BuildError as error:
        return KernelReport(selector, title, "", error=str(error)), []
    profile = profile_of(kernel.release)
    tasks: list[_Task] = []
    for told in chosen:
        absent = told.absent(profile)
        if absent:
            report.results.append(Result(told.name, "-", "-", "-", Verdict.SKIP, reason=absent))
            continue
        for side in plan.on or SIDES:
            if side == "kvm" and library is None:
                continue
            if side == "model" and plan.patches and not without:
                continue
            tasks += _of_race(told, side, kernel, library, profile, plan, without, report, progress)
    return report, tasks


def _of_race(
    told: Race,
    side: str,
    kernel: Kernel,
    library: Path | None,
    profile: Profile,
    plan: RacePlan,
    without: tuple[Change, ...],
    report: KernelReport,
    progress: Progress,
) -> Iterator[_Task]:
    """All forms and modes of a race on one side; what there is not is skipped in the report."""
    modes = [mode for mode in told.modes if not plan.modes or mode in plan.modes]
    if side == "kvm" and told.shadow:
        if modes:
            report.results.append(
                Result(
                    told.name, side, "-", SHADOW, Verdict.SKIP, reason="shadow paging on the kernel is coming"
                )
            )
        return
    patches = [word for patch in plan.patches for word in ("--patch", str(patch))]
    arguments = ("--kernel", kernel.selector, *patches, *kernel.compiler.arguments)
    base = Exploration(
        race=told.name,
        mode="",
        profile=profile,
        library=library if side == "kvm" else None,
        without=without,
        limit=plan.schedules,
        seed=plan.seed,
    )
    for mode in modes if plan.today else ():
        yield _Task(replace(base, mode=mode), side, None, kernel.series, arguments)
    if plan.patches or without:
        return
    for historic in told.historic:
        own = [mode for mode in modes if not historic.modes or mode in historic.modes]
        why = historic.unseen(profile, str(kernel.series) if side == "kvm" else None)
        if why:
            name = _name(told.name, historic)
            report.results.append(Result(name, side, side, "-", Verdict.SKIP, reason=why))
            continue
        old = base
        if side == "kvm":
            old = replace(old, library=library_without(kernel, told, historic.change, progress))
        else:
            old = replace(old, without=(historic.change,))
        for mode in own:
            contest = replace(old, mode=mode, wanted=historic.promise.name)
            yield _Task(contest, side, historic, kernel.series, arguments)


def _find(task: _Task, outcome: Outcome) -> Finding:
    """A bad schedule with all that is needed to show it again."""
    contest = task.contest
    breach = outcome.breach
    assert breach is not None
    without = task.historic.label if task.historic else " ".join(map(label_of, contest.without))
    saved = Saved(contest.race, task.side, contest.mode, without, breach.promise, outcome.legs)
    return Finding(saved, outcome, f"{task.name}, {contest.mode}, on {task.side}", task.series)


def _judged(task: _Task, outcome: Outcome, finding: Finding | None) -> Result:
    """A result: a promise must be broken where that is expected, and nowhere else."""
    contest, explored, breach = task.contest, outcome.explored, outcome.breach

    def result(verdict: Verdict, reason: str, found: Counterexample | None = None) -> Result:
        return Result(
            task.name,
            task.side,
            task.side,
            contest.mode,
            verdict,
            explored.schedules,
            explored.seconds,
            reason,
            found,
            explored.numbers if breach is None and not outcome.trouble and not outcome.lacking else None,
        )

    if outcome.lacking is not None:
        return unjudged(result(Verdict.ERROR, ""), outcome.lacking)
    if outcome.trouble:
        return result(Verdict.ERROR, outcome.trouble)
    if task.historic is not None and breach is None:
        return result(Verdict.FAIL, f"no schedule breaks '{task.historic.promise}': {explored.bounds}")
    if task.historic is not None and breach is not None and breach.promise == task.historic.promise.name:
        return result(Verdict.PASS, f"breaks '{breach.promise}', as it must: {breach.how}")
    if breach is None:
        return result(Verdict.PASS, f"no promise is broken: {explored.bounds}")
    words = ["explore", "run", contest.race, "--on", task.side, "--mode", contest.mode, *task.arguments]
    words += [word for one in contest.without for word in ("--without", label_of(one))]
    words += ["--schedules", str(contest.limit)] if contest.limit != SCHEDULES else []
    words += ["--seed", str(contest.seed)] if contest.seed is not None else []
    again = shlex.join(["conformance", *words])
    return result(
        Verdict.FAIL,
        f"'{breach.promise}' is broken, after {explored.schedules} schedules",
        Counterexample(
            inputs={},
            decoded={},
            kernel={breach.promise: breach.how},
            model={breach.promise: "it never happens"},
            again=again,
            crash=breach.how if breach.promise == "nothing crashes" else None,
            steps=tuple(map(str, outcome.legs)),
            details=tuple(finding.picture()) if finding is not None else (),
            sides=("kernel" if task.side == "kvm" else "model", "promise"),
        ),
    )

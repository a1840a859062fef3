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
from conformance.differential.verdict import Counterexample, KernelReport, Report, Result, Verdict
from conformance.errors import ConformanceError
from conformance.kernels import expand
from conformance.model.modes import VM_MODES
from conformance.sandbox.processes import Ended
from conformance.scenarios import findings, live_sides, saved
from conformance.scenarios.comparing import Death, Sides
from conformance.scenarios.judging_scenario import ENGINE, again, judge
from conformance.scenarios.live_ready import LivePlan, prepare_any
from conformance.scenarios.modes import STORY_MODES
from conformance.scenarios.ready import Playable
from conformance.scenarios.saved import Saved, is_file_name
from conformance.scenarios.sides import KvmSides
from conformance.scenarios.stories import STORIES
from conformance.scenarios.story import Story, stories
from conformance.workers import workers

__all__ = ["ScenarioPlan", "check_modes", "run", "scenario", "scenarios"]

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
    live: LivePlan | None = None
    """With it, the kernels are booted."""

    @property
    def oracle(self) -> str:
        """The name of the oracle."""
        return live_sides.ORACLE if self.live is not None else "kvm"


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


def run(plan: ScenarioPlan, *, progress: Progress, advance: Advance | None = None) -> Report:
    """Carry out a plan.

    Raises ConformanceError for an unknown name; a kernel that cannot be judged is an error in its report, and
    one that the oracle does not support is skipped.
    """
    start = time.monotonic()
    selectors = expand(list(plan.kernels))
    check_modes(plan.modes)
    chosen = scenarios(plan.names)
    prepared: list[Playable | KernelReport] = []
    reports: dict[str, KernelReport] = {}
    missing = ""
    try:
        for selector in selectors:
            prepared.append(prepare_any(selector, plan.patches, plan.modes, plan.live, progress))
        with workers(plan.jobs) as pool:
            under_way = [
                (ready, _submit(pool, ready, chosen, plan))
                for ready in prepared
                if isinstance(ready, Playable)
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
                report.results += _not_played(report, chosen, plan, missing)
            done.append(report)
    return Report(done, None, time.monotonic() - start)


def _modes(chosen: Sequence[Scenario], selected: Sequence[str]) -> list[str]:
    """The modes in which any of the scenarios is played."""
    of_any = {mode for one in chosen for mode in one.modes}
    return [mode for mode in STORY_MODES if mode in of_any and (not selected or mode in selected)]


def _absent(ready: Playable, chosen: Sequence[Scenario], selected: Sequence[str]) -> list[Result]:
    """For each mode that the kernel does not have, one result for all stories."""
    return [
        Result("stories", ready.oracle, ENGINE, mode, Verdict.SKIP, reason=why)
        for mode in _modes(chosen, selected)
        if (why := ready.absent(mode))
    ]


def _not_played(
    report: KernelReport, chosen: Sequence[Scenario], plan: ScenarioPlan, reason: str
) -> list[Result]:
    """MISS results for the stories that the time limit cut off."""
    seen = {(result.property, result.mode) for result in report.results}
    owed = [(one.name, mode) for one in chosen for mode in _modes(chosen, plan.modes) if mode in one.modes]
    return [
        Result(name, plan.oracle, ENGINE, mode, Verdict.MISS, reason=reason)
        for name, mode in owed
        if (name, mode) not in seen
    ]


def _submit(
    pool: ProcessPoolExecutor, ready: Playable, chosen: Sequence[Scenario], plan: ScenarioPlan
) -> list[Future[list[Result]]]:
    """Hand a kernel's scenarios to the workers, some of one mode at a time.

    Of a live kernel each part is booted once.
    """
    modes = [mode for mode in _modes(chosen, plan.modes) if not ready.absent(mode)]
    futures = []
    for mode in modes:
        names = [one.name for one in chosen if mode in one.modes]
        parts = [names[at : at + CHUNK] for at in range(0, len(names), CHUNK)]
        if plan.live is not None:
            each = max(plan.jobs // len(modes), 1)
            parts = [part for first in range(each) if (part := names[first::each])]
        futures += [pool.submit(_play, ready, mode, part) for part in parts]
    return futures


def _collect(
    report: KernelReport,
    ready: Playable,
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


def _play(ready: Playable, mode: str, names: Sequence[str]) -> list[Result]:
    """Judge some scenarios in one mode; runs in a worker process."""
    chosen = [scenario(name) for name in names]
    skipped = {one.name: _skipped(ready, mode, one, why) for one in chosen if (why := ready.why_not(one))}
    if len(skipped) == len(chosen):
        return [*skipped.values()]
    try:
        with ready.playing(mode) as sides:
            return [skipped.get(one.name) or _judge(ready, sides, one) for one in chosen]
    except Death as death:
        return [*skipped.values(), _not_begun(ready, mode, death)]


def _skipped(ready: Playable, mode: str, one: Scenario, why: str) -> Result:
    """The result of a scenario that is not played."""
    faults = findings.fatal(ready.profile, one) if isinstance(one, Story) else ()
    return Result(one.name, ready.oracle, ENGINE, mode, Verdict.SKIP, reason=why, findings=faults)


def _judge(ready: Playable, sides: Sides, one: Scenario) -> Result:
    """The result of a scenario. Golden transcripts are those of the kvm oracle."""
    golden = isinstance(one, Story) and isinstance(sides, KvmSides)
    result = judge(sides, one.name, one.script, ready.facts, golden=golden)
    if isinstance(one, Story) and result.verdict is Verdict.PASS:
        result = replace(result, findings=tuple(findings.seen(ready.profile, sides.mode, one)))
    return result


def _not_begun(ready: Playable, mode: str, death: Death) -> Result:
    """The kernel ended before a scenario began."""
    command = again(ready.facts, ["scenario", "run", "--mode", mode])
    found = Counterexample({}, {}, {}, {}, command, crash=death.how, details=death.console)
    reason = "the kernel ended before the first scenario"
    return Result("stories", ready.oracle, ENGINE, mode, Verdict.FAIL, reason=reason, counterexample=found)

# SPDX-License-Identifier: GPL-2.0-only
"""A run of lockstep: kernels are prepared, and each mode is walked in a process of its own."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.differential.unjudged import once, unjudged
from conformance.differential.verdict import Counterexample, KernelReport, Report, Result, Verdict
from conformance.interface.observation import Observation
from conformance.interface.steps import KINDS
from conformance.kernels import expand
from conformance.sandbox.processes import Ended
from conformance.scenarios import live_sides, saved
from conformance.scenarios.comparing import Death, Difference, Sides
from conformance.scenarios.findings import known
from conformance.scenarios.judging_scenario import again, counterexample
from conformance.scenarios.live_ready import LivePlan, prepare_any
from conformance.scenarios.lockstep import Walked, walk
from conformance.scenarios.ready import Playable
from conformance.scenarios.shrinking import shorten
from conformance.scenarios.story import Script
from conformance.scenarios.walks import WALKS, Walk, walks
from conformance.workers import workers

__all__ = [
    "NAME",
    "JudgedWalk",
    "LockstepPlan",
    "Outcome",
    "counts",
    "judge_walk",
    "judged",
    "path_of",
    "run",
]

NAME = "lockstep"
Progress = Callable[[str], None]
Advance = Callable[[Result], None]


@dataclass(frozen=True)
class LockstepPlan:
    """Selectors, patches, modes (none: all), seconds per kernel, and where to save a difference.

    Modes share the seconds, ``jobs`` of them at a time.
    """

    kernels: tuple[str, ...] = ()
    patches: tuple[Path, ...] = ()
    modes: tuple[str, ...] = ()
    budget: float = 60.0
    seed: int | None = None
    save: Path | None = None
    jobs: int = 2
    live: LivePlan | None = None
    """With it, the kernels are booted."""

    def walks(self) -> list[Walk]:
        """The kinds of random stories. Raises ConformanceError for an unknown mode."""
        chosen = walks(self.modes)
        return chosen if self.live is None else [replace(kind, live=True) for kind in chosen]


@dataclass(frozen=True)
class Outcome:
    """The report, and the number of steps of each kind that were compared."""

    report: Report
    steps: Counter[str]


@dataclass(frozen=True)
class JudgedWalk:
    """The result of walking in one mode, the steps of each kind, and the story that shows a difference."""

    result: Result
    steps: Counter[str]
    script: Script | None


def run(plan: LockstepPlan, *, progress: Progress, advance: Advance | None = None) -> Outcome:
    """Carry out a plan. Raises ConformanceError for an unknown name."""
    start = time.monotonic()
    selectors = expand(list(plan.kernels))
    chosen = plan.walks()
    oracle = live_sides.ORACLE if plan.live is not None else "kvm"
    seed = random.SystemRandom().getrandbits(32) if plan.seed is None else plan.seed
    reports: list[KernelReport] = []
    steps: Counter[str] = Counter()
    to_save = plan.save
    try:
        with workers(plan.jobs) as pool:
            for selector in selectors:
                modes = [kind.mode for kind in chosen]
                ready = prepare_any(selector, plan.patches, modes, plan.live, progress)
                if isinstance(ready, KernelReport):
                    reports.append(ready)
                    continue
                # As many modes are walked at once as there are jobs.
                absences = {kind.name: ready.absent(kind.mode) or kind.absent for kind in chosen}
                played = [kind for kind in chosen if not absences[kind.name]]
                each = plan.budget / max(math.ceil(len(played) / plan.jobs), 1)
                names = ", ".join(kind.name for kind in played)
                progress(f"{ready.kernel.title}: drawing steps for {each:g} s in each mode: {names}")
                futures = [pool.submit(judge_walk, ready, kind, seed, each, to_save) for kind in played]
                report = ready.report()
                report.known = known(ready.profile, [kind.mode for kind in played])
                reports.append(report)
                for kind in chosen:
                    if absent := absences[kind.name]:
                        report.results.append(_result(oracle, kind.name, Verdict.SKIP, 0, 0.0, absent))
                for future in futures:
                    walked = future.result()
                    steps += walked.steps
                    report.results.append(walked.result)
                    if walked.script is not None and to_save is not None:
                        remark = f"lockstep, kernel {ready.kernel.title}, seed {seed}"
                        saved.write(to_save, walked.script, WALKS[walked.result.mode].mode, remark)
                        to_save = None
                    if advance is not None:
                        advance(walked.result)
                report.results[:] = once(report.results, "random stories")
                report.seconds = time.monotonic() - ready.start
    except Ended as ended:
        for selector in selectors[len(reports) :]:
            reports.append(KernelReport.unopened(selector, error=f"{selector}: not reached: {ended}."))
        for report in reports:
            if not report.seconds and not report.error and report.unreached is None:
                seen = {result.mode for result in report.results}
                for kind in chosen:
                    if kind.name not in seen:
                        missing = _result(oracle, kind.name, Verdict.MISS, 0, 0.0, f"not reached: {ended}")
                        report.results.append(missing)
    return Outcome(Report(reports, seed, time.monotonic() - start), steps)


def judge_walk(ready: Playable, kind: Walk, seed: int, budget: float, save: Path | None = None) -> JudgedWalk:
    """Walk in one mode, in this process; a difference is shortened to a story."""
    try:
        with ready.playing(kind.mode) as sides:
            if isinstance(sides, live_sides.LiveSides):
                kind = replace(kind, without=sides.cannot)
            # Each has its own generator, so that it can be walked again alone.
            walked = walk(sides, kind, seed * len(WALKS) + [*WALKS].index(kind.name), budget)
            if save is None:
                # A mode that is walked alone gets the whole budget.
                words = [NAME, "--mode", kind.name, "--seed", str(seed), "--budget", f"{budget:g}"]
            else:
                words = ["scenario", "run", path_of(save), "--mode", kind.mode]
            return judged(ready, sides, kind, walked, again(ready.facts, words))
    except Death as death:
        command = again(ready.facts, [NAME, "--mode", kind.name])
        found = Counterexample({}, {}, {}, {}, command, crash=death.how, details=death.console)
        ended = _result(
            ready.oracle, kind.name, Verdict.FAIL, 0, 0.0, "the kernel ended before the first step"
        )
        return JudgedWalk(replace(ended, counterexample=found), Counter(), None)


def judged(ready: Playable, sides: Sides, kind: Walk, walked: Walked, command: str) -> JudgedWalk:
    """The result of a walk; ``command`` shows its difference again."""
    total = walked.steps.total()

    def result(verdict: Verdict, reason: str) -> Result:
        return _result(ready.oracle, kind.name, verdict, total, walked.seconds, reason)

    if walked.lacking is not None:
        return JudgedWalk(unjudged(result(Verdict.ERROR, ""), walked.lacking), walked.steps, None)
    if walked.found is None:
        verdict = Verdict.PASS if total else Verdict.ERROR
        return JudgedWalk(result(verdict, walked.summary), walked.steps, None)
    script, played = walked.found

    def permits(shorter: Script, seen: Sequence[Observation]) -> bool:
        return kind.scene(shorter.options).permits(shorter.steps, seen)

    short, shown = shorten(sides, script, played.difference or Difference(0, ()), permits)
    reason = f"after {total} steps, shortened to {len(short.steps)}"
    found = counterexample(sides, short, shown, command)
    return JudgedWalk(replace(result(Verdict.FAIL, reason), counterexample=found), walked.steps, short)


def _result(oracle: str, mode: str, verdict: Verdict, total: int, seconds: float, reason: str) -> Result:
    return Result(NAME, oracle, NAME, mode, verdict, total, seconds, reason)


def path_of(save: Path) -> str:
    """The file as ``scenario run`` takes it: a dot or slash distinguishes it from the name of a story."""
    text = str(save)
    return text if saved.is_file_name(text) else f"./{text}"


def counts(steps: Counter[str]) -> list[str]:
    """The number of steps of each kind that were compared, 0 included."""
    width = max(map(len, KINDS))
    return [f"{kind:{width}}  {steps[kind]:>9,}" for kind in sorted(KINDS, key=lambda kind: -steps[kind])]

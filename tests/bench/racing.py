# SPDX-License-Identifier: GPL-2.0-only
"""Schedules per second: on the model, on the kernel, and with one fork per schedule.

Two processes at once, as in `explore`. A schedule is explored, run and judged. Also the cost of confinement:
a whole search in a forked process, and in a confined one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from figures import Figure, interleaved, per_second

from conformance.kernels import Cache, open_kernel
from conformance.model.changes import NO_PFN_DIRTY
from conformance.model.modes import MODES
from conformance.model.profiles import Profile, profile_of
from conformance.oracles.kvm.build import build_kvm
from conformance.oracles.kvm.race_interface import new_exchange
from conformance.races import server
from conformance.races.dpor import inequivalent_schedules
from conformance.races.explorer import explore
from conformance.races.invariants import violations
from conformance.races.kernel_side import kernel_side
from conformance.races.run_exploration import Exploration, explore_race
from conformance.races.stories import RACES
from conformance.races.subject import Subject
from conformance.sandbox.confinement import confinement

__all__ = ["MODE", "RACE", "racing"]

RACE, MODE = "get_dirty_log_against_writes", "ept-ad"
PROCESSES = 2
SCHEDULES, FORKS, SEARCHED = 2000, 60, 1000
ON_MODEL, ON_KERNEL = 5000, 2000


def racing(repeats: int) -> list[Figure]:
    """The figures of kernel 6.1. Raises RuntimeError if an invariant is violated."""
    kernel = open_kernel("6.1", progress=lambda message: None)
    library = build_kvm(kernel, Cache(), lambda message: None, racing=True)
    profile = profile_of(kernel.release)
    took = interleaved(
        {
            "model": lambda: _at_once(lambda: _explore(profile, None, SCHEDULES)),
            "kernel": lambda: _at_once(lambda: _explore(profile, library, SCHEDULES)),
            "forking": lambda: _at_once(lambda: _fork(profile, library, FORKS)),
        },
        repeats,
    )
    searched = interleaved(
        {
            "bare": lambda: _apart(lambda: _search(profile, library)),
            "confined": lambda: _search_confined(profile, library),
        },
        repeats,
    )
    rate = {name: PROCESSES * (FORKS if name == "forking" else SCHEDULES) / took[name] for name in took}
    return [
        _figure("exploring the model", rate["model"], rate["forking"], ON_MODEL),
        _figure("exploring the kernel's own code", rate["kernel"], rate["forking"], ON_KERNEL),
        Figure("one fork per schedule on the kernel, nothing explored", per_second(rate["forking"]), "1"),
        Figure(f"a search of {SEARCHED} schedules on the kernel", f"{searched['bare']:.3g} s", "1"),
        Figure(
            f"  in {confinement().value}",
            f"{searched['confined']:.3g} s",
            f"{searched['confined'] / searched['bare']:.3g}",
        ),
    ]


def _figure(name: str, rate: float, forking: float, goal: int) -> Figure:
    return Figure(name, per_second(rate), f"{rate / forking:.1f}", f">= {goal} /s", rate >= goal)


def _at_once(work: Callable[[], float]) -> float:
    """The duration of the same work in several processes at once, without their setup."""
    with ThreadPoolExecutor(PROCESSES) as pool:
        return max(future.result() for future in [pool.submit(_apart, work) for _ in range(PROCESSES)])


def _apart(work: Callable[[], float]) -> float:
    """The duration that the work reports, in a separate process."""
    theirs, ours = os.pipe()
    child = os.fork()
    if not child:
        os.write(ours, str(work()).encode())
        os._exit(0)
    os.close(ours)
    with os.fdopen(theirs) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    if not said or float(said) < 0:
        raise RuntimeError("a race came to a bad end")
    return float(said)


def _subject(profile: Profile, library: Path | None) -> Subject:
    exploration = Exploration(RACE, MODE, profile, library)
    if library is None:
        return exploration.on_model()
    host, reports_dirty = MODES[MODE].host(), not profile.has(NO_PFN_DIRTY)
    return kernel_side(RACES[RACE].program, library, host, reports_dirty, new_exchange())


def _explore(profile: Profile, library: Path | None, schedules: int) -> float:
    """Explore a number of schedules, restarting if there are fewer; returns seconds, -1 if one is bad."""
    subject = _subject(profile, library)
    start = time.monotonic()
    left = schedules
    while left > 0:
        for _, execution in islice(inequivalent_schedules(subject), left):
            left -= 1
            if execution is not None and any(violations(execution)):
                return -1
    return time.monotonic() - start


def _search(profile: Profile, library: Path) -> float:
    """Explore as a run does, in this process; seconds, -1 if an invariant is violated."""
    start = time.monotonic()
    found = explore(_subject(profile, library), SEARCHED)
    return -1 if found.violation is not None else time.monotonic() - start


def _search_confined(profile: Profile, library: Path) -> float:
    """The same in a process that is begun for it."""
    start = time.monotonic()
    outcome = explore_race(Exploration(RACE, MODE, profile, library, limit=SEARCHED))
    server.close_idle()
    if outcome.violation is not None or outcome.trouble or outcome.lacking is not None:
        raise RuntimeError("a race came to a bad end")
    return time.monotonic() - start


def _fork(profile: Profile, library: Path, schedules: int) -> float:
    """Run the same schedule many times, each in a forked copy of the process that has set it up."""
    subject = _subject(profile, library)
    start = time.monotonic()
    for _ in range(schedules):
        child = os.fork()
        if not child:
            while enabled := [t for t in range(len(subject.threads)) if subject.enabled(t)]:
                subject.advance(enabled[0])
            subject.finish()
            os._exit(0)
        os.waitpid(child, 0)
    return time.monotonic() - start

# SPDX-License-Identifier: GPL-2.0-only
"""Races for a time: drawn programs in a mode, or one race in all of its modes, on the model and on a kernel.

A program that violates an invariant is shortened to the fewest words, its schedule to the fewest switches.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance.differential.verdict import Result, Verdict
from conformance.kernels import Cache, Kernel, Progress, open_kernel
from conformance.model.profiles import Profile, profile_of
from conformance.oracles.kvm.build import build_kvm
from conformance.races.drawing import Drawing
from conformance.races.judging import Finding, RaceTask, judged
from conformance.races.programs import DrawnProgram
from conformance.races.race import SIDES, Race
from conformance.races.run_exploration import Exploration, Outcome, explore_race

__all__ = ["SCHEDULES", "Drawn", "RacingKernel", "explore_drawn", "explore_for"]

SCHEDULES = 300
"""The limit of schedules of a drawn program on each side."""
IN_VAIN = 8
"""After so many programs that show nothing new, the next one is explored nevertheless."""
_MOST = 1 << 40


@dataclass(frozen=True)
class RacingKernel:
    """A kernel whose racing KVM is built. ``arguments`` name it on the command line."""

    kernel: Kernel
    library: Path
    profile: Profile
    arguments: tuple[str, ...]

    @classmethod
    def made(
        cls, selector: str, patches: list[Path], named: tuple[str, ...], progress: Progress
    ) -> RacingKernel:
        """Open and build a kernel; ``named`` are the patches on the command line. Raises ConformanceError."""
        kernel = open_kernel(selector, patches, progress=progress)
        library = build_kvm(kernel, Cache(), progress, racing=True)
        words = [word for patch in named for word in ("--patch", patch)]
        arguments = ("--kernel", selector, *words, *kernel.compiler.arguments)
        return cls(kernel, library, profile_of(kernel.release), arguments)

    def task(self, race: str, mode: str, side: str, **given: Any) -> RaceTask:
        """The task to explore the current variant of a race; ``given`` are fields of the Exploration."""
        library = self.library if side == "kvm" else None
        exploration = Exploration(race, mode, self.profile, library, **given)
        return RaceTask(exploration, side, None, self.kernel.series, self.arguments)


def explore_for(
    on: RacingKernel, race: Race, modes: tuple[str, ...], seed: int | None, seconds: float
) -> Iterator[tuple[Result, Finding | None]]:
    """Explore the current variant of a race for some time, shared among modes and sides.

    All schedules are searched, or random ones with a ``seed``, as explore() does.
    """
    sides = [side for side in SIDES if side in race.sides]
    for mode in modes:
        for side in sides:
            share = seconds / (len(modes) * len(sides))
            task = on.task(race.name, mode, side, limit=_MOST, seed=seed, seconds=share)
            yield judged(task, explore_race(task.exploration))


@dataclass
class Drawn:
    """What drawn programs of a mode came to.

    ``programs`` were explored, with ``schedules`` on each side; ``violating`` counts those that violate an
    invariant, by side and invariant. ``found`` has the first of each, ``trouble`` what could not be judged.
    """

    drawing: Drawing
    programs: int = 0
    schedules: Counter[str] = field(default_factory=Counter)
    violating: Counter[tuple[str, str]] = field(default_factory=Counter)
    found: list[tuple[Result, Finding | None]] = field(default_factory=list)
    trouble: list[Result] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def details(self) -> dict[str, Any]:
        """The numbers as plain data."""
        return {
            "drawn": self.drawing.drawn,
            "explored": self.programs,
            "kept": len(self.drawing.kept),
            "edges": len(self.drawing.seen),
            "schedules": dict(self.schedules),
            "violating": {f"{side}: {name}": number for (side, name), number in self.violating.items()},
        }


def explore_drawn(on: RacingKernel, mode: str, seed: int, seconds: float) -> Drawn:
    """Draw programs for some time, and explore those that show something new on both sides.

    The first program that violates an invariant on a side is shortened, and becomes a finding.
    """
    start = time.monotonic()
    drawn = Drawn(Drawing(mode, on.profile, seed))
    vain = 0
    while time.monotonic() < start + seconds:
        program, new = drawn.drawing.next()
        vain = 0 if new else vain + 1
        if program is None or (not new and vain <= IN_VAIN):
            continue
        vain = 0
        drawn.programs += 1
        for side in SIDES:
            _explore(drawn, on, program, mode, side)
    drawn.seconds = time.monotonic() - start
    return drawn


def _explore(drawn: Drawn, on: RacingKernel, program: DrawnProgram, mode: str, side: str) -> None:
    task = on.task(str(program), mode, side, limit=SCHEDULES)
    outcome = explore_race(task.exploration)
    drawn.schedules[side] += outcome.explored.schedules
    violation = outcome.violation
    if violation is None:
        result, _ = judged(task, outcome)
        if result.verdict is Verdict.ERROR:
            drawn.trouble.append(result)
        return
    drawn.violating[side, violation.invariant] += 1
    if drawn.violating[side, violation.invariant] == 1:
        drawn.found.append(judged(*_shortened(on, program, task, outcome)))


def _shortened(
    on: RacingKernel, program: DrawnProgram, task: RaceTask, outcome: Outcome
) -> tuple[RaceTask, Outcome]:
    """The exploration of a program without any thread or word that its violation can do without."""
    violation = outcome.violation
    assert violation is not None
    for simpler in program.simpler:
        # Without an invariant, as the command that shows it again will be.
        tried = on.task(str(simpler), task.exploration.mode, task.side, limit=SCHEDULES)
        ended = explore_race(tried.exploration)
        if ended.violation is not None and ended.violation.invariant == violation.invariant:
            return _shortened(on, simpler, tried, ended)
    return task, outcome

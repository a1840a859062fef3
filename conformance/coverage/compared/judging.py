# SPDX-License-Identifier: GPL-2.0-only
"""Judge a mutant: run what executes its line, until something detects it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path

from conformance.coverage.compared.concurrency import CONCURRENCY, ORDERING
from conformance.coverage.compared.detecting import Detector, Keeping, Seen, Sight
from conformance.coverage.compared.equivalence import Equivalence
from conformance.coverage.compared.mutants import Outcome
from conformance.coverage.compared.pieces import Change
from conformance.coverage.compared.racing import RaceDetector
from conformance.differential.properties import PROPERTIES
from conformance.kernels import BuildError, Cache, Kernel
from conformance.model.profiles import profile_of
from conformance.oracles.kvm.members import Layout
from conformance.oracles.kvm.raw_state import RawStateReader
from conformance.races.stories import RACES
from conformance.scenarios.modes import LEGACY_MODES, SHADOW_MODES, STORY_MODES, TDP_MODES
from conformance.scenarios.stories import STORIES

__all__ = ["LIMIT", "Judge", "Libraries", "Task", "Verdict", "begin", "judge"]

LIMIT = 600.0
"""Seconds of wall time after which a mutant is not judged."""


_OUT_OF_REACH = "only another order of accesses makes a difference; what runs here has one order"


@dataclass(frozen=True)
class Libraries:
    """A kernel, and the libraries of it with mutants.

    ``kvm`` is None if there is no whole KVM, ``racing`` is None if races are not run.
    """

    kernel: Kernel
    shim: Path
    kvm: Path | None
    layouts: dict[str, Layout]
    keeping: Keeping | None
    racing: Path | None = None


@dataclass(frozen=True)
class Task:
    """A mutant to judge: its number in the libraries, and the runs that execute its line, likeliest first."""

    number: int
    file: str
    change: Change
    runs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Verdict:
    """The outcome of a mutant, the layer, name and mode of the run that detected it, and how.

    ``lasting``: whether it would be the same the next time.
    """

    outcome: Outcome
    by: tuple[str, str, str] = ("", "", "")
    how: str = ""
    lasting: bool = True


class Judge:
    """Judges mutants in this process, one after the other."""

    def __init__(self, libraries: Libraries) -> None:
        self._libraries = libraries
        profile = profile_of(libraries.kernel.release)
        reader = RawStateReader(libraries.kvm, libraries.layouts) if libraries.kvm is not None else None
        self._detector = Detector(profile, libraries.shim, reader, libraries.keeping)
        self._profile = profile
        self._races = RaceDetector(profile, libraries.racing) if libraries.racing is not None else None

    @cached_property
    def _equivalence(self) -> Equivalence:
        return Equivalence(self._libraries.kernel, Cache())

    def close(self) -> None:
        """End the processes."""
        self._detector.close()

    def judge(self, task: Task) -> Verdict:
        """Run what executes the line; what does not detect the mutant may be equivalent, or kept by KVM.

        Of a mutant that only changes the order of accesses nothing but a property can show anything: the
        others have no other order. Other mutants of concurrency leave the state that KVM keeps as it is
        where one thread runs at a time, as in stories: these show only complaints of the lock checks.
        """
        ordering = task.change.operator in ORDERING
        end = time.monotonic() + LIMIT
        lacking, lasting = "", True
        for layer, name, mode in self._order(task):
            if time.monotonic() > end:
                return Verdict(Outcome.NOT_JUDGED, how=f"{LIMIT:g} s were not enough", lasting=False)
            sight = self._sight(task.number, layer, name, mode)
            if sight.seen is Seen.DIFFERS:
                return Verdict(Outcome.COMPARED, (layer, name, mode), sight.how)
            if sight.seen is Seen.LACKING:
                lacking = lacking or f"{name} ({mode}): {sight.how}"
                lasting = lasting and sight.lasting
        try:
            if self._equivalence.holds(task.file, task.change):
                return Verdict(Outcome.EQUIVALENT)
        except BuildError as error:
            return Verdict(Outcome.NOT_JUDGED, how=str(error), lasting=False)
        if ordering:
            return Verdict(Outcome.OUT_OF_REACH, how=_OUT_OF_REACH)
        for layer, name, mode in self._order(task) if task.change.operator not in CONCURRENCY else ():
            if time.monotonic() > end:
                return Verdict(Outcome.NOT_JUDGED, how=f"{LIMIT:g} s were not enough", lasting=False)
            if layer == "stories":
                sight = self._detector.by_kept_state(task.number, name, mode)
                if sight.seen is Seen.KEPT:
                    return Verdict(Outcome.REVIEWS, (layer, name, mode), sight.how)
        if lacking:
            return Verdict(Outcome.NOT_JUDGED, how=lacking, lasting=lasting)
        return Verdict(Outcome.SURVIVED)

    def _order(self, task: Task) -> Iterator[tuple[str, str, str]]:
        """Properties in all modes, stories by mode, races; races sooner if the mutant is of concurrency."""
        for name in _named(task, "functions"):
            for mode in PROPERTIES[name].modes if name in PROPERTIES else ():
                yield "functions", name, mode
        if task.change.operator in ORDERING:
            return
        stories = [*self._stories(task)]
        sooner = sum(mode == STORY_MODES[0] for _, _, mode in stories)
        if task.change.operator not in CONCURRENCY:
            sooner = len(stories)
        yield from stories[:sooner]
        yield from self._racing(task)
        yield from stories[sooner:]

    def _stories(self, task: Task) -> Iterator[tuple[str, str, str]]:
        ours = [name for name in _named(task, "stories") if name in STORIES]
        modes = {name: _modes(task, STORIES[name].modes) for name in ours}
        for mode in STORY_MODES if self._libraries.kvm is not None else ():
            for name in ours:
                if mode in modes[name]:
                    yield "stories", name, mode

    def _racing(self, task: Task) -> Iterator[tuple[str, str, str]]:
        """Each race in its first mode, then in the others if the mutant is of concurrency."""
        ours = [RACES[name] for name in _named(task, "races") if name in RACES]
        ours = [race for race in ours if "kvm" in race.sides and not race.absent(self._profile)]
        most = None if task.change.operator in CONCURRENCY else 1
        for modes in zip_longest(*(race.modes[:most] for race in ours)) if self._races else ():
            for race, mode in zip(ours, modes, strict=True):
                if mode is not None:
                    yield "races", race.name, mode

    def _sight(self, number: int, layer: str, name: str, mode: str) -> Sight:
        if layer == "races":
            assert self._races is not None
            return self._races.by_race(number, name, mode)
        run = self._detector.by_property if layer == "functions" else self._detector.by_story
        return run(number, name, mode)


def _modes(task: Task, modes: Sequence[str]) -> Sequence[str]:
    """The modes of a story in which it is played: what locks guard does not depend on the format of SPTEs."""
    if task.change.operator not in CONCURRENCY:
        return modes
    kinds = ([mode for mode in modes if mode in kind] for kind in (TDP_MODES, LEGACY_MODES, SHADOW_MODES))
    return [mode for kind in kinds for mode in kind[:1]]


def _named(task: Task, layer: str) -> Iterator[str]:
    """The runs of a layer that execute the line, likeliest first."""
    return (name for of, name in task.runs if of == layer)


_judges: list[Judge] = []
"""The judge of this process."""


def begin(libraries: Libraries) -> None:
    """Prepare a worker process."""
    _judges[:] = [Judge(libraries)]


def judge(task: Task) -> Verdict:
    """Judge a mutant in a worker process."""
    return _judges[0].judge(task)

# SPDX-License-Identifier: GPL-2.0-only
"""Judge a mutant: run what executes its line, until something detects it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from conformance.coverage.compared.detecting import Detector, Keeping, Seen, Sight
from conformance.coverage.compared.equivalence import Equivalence
from conformance.coverage.compared.mutants import Outcome
from conformance.coverage.compared.operators import Change
from conformance.differential.properties import PROPERTIES
from conformance.kernels import BuildError, Cache, Kernel
from conformance.model.profiles import profile_of
from conformance.oracles.kvm.members import Layout
from conformance.oracles.kvm.raw_state import RawStateReader
from conformance.scenarios.modes import STORY_MODES
from conformance.scenarios.stories import STORIES

__all__ = ["LIMIT", "Judge", "Libraries", "Task", "Verdict", "begin", "judge"]

LIMIT = 300.0
"""Seconds of wall time after which a mutant is not judged."""


@dataclass(frozen=True)
class Libraries:
    """A kernel, and the libraries of it with mutants; ``kvm`` is None if there is no whole KVM."""

    kernel: Kernel
    shim: Path
    kvm: Path | None
    layouts: dict[str, Layout]
    keeping: Keeping | None


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

    @cached_property
    def _equivalence(self) -> Equivalence:
        return Equivalence(self._libraries.kernel, Cache())

    def close(self) -> None:
        """End the processes."""
        self._detector.close()

    def judge(self, task: Task) -> Verdict:
        """Run properties and stories; what they do not detect may be equivalent, or kept by KVM."""
        end = time.monotonic() + LIMIT
        lacking, lasting = "", True
        for layer, name, mode in self._order(task.runs):
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
        for layer, name, mode in self._order(task.runs):
            if time.monotonic() > end:
                return Verdict(Outcome.NOT_JUDGED, how=f"{LIMIT:g} s were not enough", lasting=False)
            if layer == "stories":
                sight = self._detector.by_kept_state(task.number, name, mode)
                if sight.seen is Seen.KEPT:
                    return Verdict(Outcome.REVIEWS, (layer, name, mode), sight.how)
        if lacking:
            return Verdict(Outcome.NOT_JUDGED, how=lacking, lasting=lasting)
        return Verdict(Outcome.SURVIVED)

    def _order(self, runs: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
        """Properties in all modes, then stories by mode."""
        for layer, name in runs:
            if layer == "functions" and name in PROPERTIES:
                for mode in PROPERTIES[name].modes:
                    yield layer, name, mode
        for mode in STORY_MODES if self._libraries.kvm is not None else ():
            for layer, name in runs:
                if layer == "stories" and name in STORIES and mode in STORIES[name].modes:
                    yield layer, name, mode

    def _sight(self, number: int, layer: str, name: str, mode: str) -> Sight:
        run = self._detector.by_property if layer == "functions" else self._detector.by_story
        return run(number, name, mode)


_judges: list[Judge] = []
"""The judge of this process."""


def begin(libraries: Libraries) -> None:
    """Prepare a worker process."""
    _judges[:] = [Judge(libraries)]


def judge(task: Task) -> Verdict:
    """Judge a mutant in a worker process."""
    return _judges[0].judge(task)

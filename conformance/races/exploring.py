# SPDX-License-Identifier: GPL-2.0-only
"""Exploring one race on one side: every schedule that differs, or else every one with few preemptions.

Those are a bound that can be exhausted where all that differ are too many. Random ones come on top.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from conformance.races.bounded import FewPreemptions
from conformance.races.dpor import every_schedule
from conformance.races.invariants import Invariant, broken
from conformance.races.pct import DEPTH, guarantee, random_schedules
from conformance.races.subject import Ending, Subject

__all__ = ["MOST_PREEMPTIONS", "Breach", "Explored", "explore"]

MOST_PREEMPTIONS = 3
"""Up to which bound all schedules are looked at, if they cannot be without a bound.

Each historic form shows with so many, and one of them with no fewer.
"""


@dataclass(frozen=True)
class Breach:
    """A schedule that broke a promise, and how."""

    promise: str
    how: str
    choices: tuple[int, ...]


@dataclass
class Explored:
    """What came of it.

    ``exhausted``: there are no schedules that differ from those that were run; ``preemptions``: none with at
    most so many, or None if that is not known of any number. ``differing`` were run in the search for
    all, ``bounded`` to exhaust ``preemptions``, ``beyond`` with one more, which are not all, and ``random``
    ones were drawn for ``threads`` that have ``length`` accesses. ``accesses`` is how many the longest had.
    """

    differing: int = 0
    bounded: int = 0
    beyond: int = 0
    random: int = 0
    accesses: int = 0
    exhausted: bool = False
    preemptions: int | None = None
    threads: int = 0
    length: int = 0
    seconds: float = 0.0
    breach: Breach | None = None

    @property
    def schedules(self) -> int:
        """How many were run to their end."""
        return self.differing + self.bounded + self.beyond + self.random

    @property
    def depth(self) -> int:
        """How many orderings random schedules are good for.

        What can be broken with as few orderings as preemptions are exhausted needs no chance.
        """
        return DEPTH if self.preemptions is None else max(DEPTH, self.preemptions + 2)

    @property
    def numbers(self) -> dict[str, int | bool | None]:
        """What was looked at, for programs."""
        names = "exhausted", "differing", "preemptions", "bounded", "beyond", "random", "accesses"
        return {name: getattr(self, name) for name in names}

    @property
    def bounds(self) -> str:
        """What was looked at, in words."""
        if self.exhausted:
            return f"exhausted, all {self.differing} schedules that differ, of up to {self.accesses} accesses"
        told = []
        if self.differing:
            told.append(f"{self.differing} schedules that differ are not all")
        if self.preemptions is not None:
            told.append(f"exhausted up to {_times(self.preemptions)} ({self.bounded} schedules)")
        if self.beyond:
            most = 0 if self.preemptions is None else self.preemptions + 1
            told.append(f"{self.beyond} more with {_times(most)} are not all")
        if self.random:
            chance = guarantee(self.threads, self.length, self.depth)
            told.append(f"{self.random} at random, {chance}")
        return "; ".join(told)


def _times(preemptions: int) -> str:
    return f"{preemptions} preemption{'' if preemptions == 1 else 's'}"


def explore(
    subject: Subject, limit: int, seed: int | None = None, wanted: Invariant | None = None
) -> Explored:
    """Look for a schedule that breaks a promise, the ``wanted`` one or any, until one is found.

    With a seed schedules are random, ``limit`` of them. Without, all are run that differ, up to ``limit``. If
    these are more, as many follow: first all that have no preemption, then all with one, and so on up to
    MOST_PREEMPTIONS, and for what is left random ones.
    """
    found = Explored(threads=len(subject.threads))
    start = time.monotonic()
    left = limit
    try:
        if seed is None:
            every = _look(found, every_schedule(subject), limit, wanted)
            found.differing, found.exhausted = every.run, every.done
            if not _is_over(found):
                left -= _with_few_preemptions(found, subject, limit, wanted)
        if not _is_over(found) and left:
            found.length = found.accesses or _length(subject)
            schedules = random_schedules(subject, seed or 0, found.length, found.depth)
            found.random = _look(found, schedules, left, wanted).run
    finally:
        found.seconds = time.monotonic() - start
    return found


def _is_over(found: Explored) -> bool:
    """Whether there is nothing more to look for."""
    return found.exhausted or found.breach is not None


def _with_few_preemptions(found: Explored, subject: Subject, limit: int, wanted: Invariant | None) -> int:
    """One bound after the other until ``limit`` schedules were begun; how many that were."""
    search = FewPreemptions(subject, MOST_PREEMPTIONS)
    left = limit
    for bound in range(MOST_PREEMPTIONS + 1):
        looked = _look(found, search.schedules(bound), left, wanted)
        left -= looked.begun
        if looked.done:
            found.preemptions = bound
            found.bounded += looked.run
        else:
            found.beyond = looked.run
        if not looked.done or not left:
            break
    return limit - left


class _Looked(NamedTuple):
    """How many schedules were begun, how many of them run to their end, and whether there are no more."""

    begun: int
    run: int
    done: bool


def _look(
    found: Explored,
    schedules: Iterator[tuple[list[int], Ending | None]] | Iterator[tuple[list[int], Ending]],
    limit: int,
    wanted: Invariant | None,
) -> _Looked:
    """Judge schedules until one is bad, or ``limit`` were begun."""
    begun = run = 0
    for choices, ending in schedules:
        begun += 1
        found.accesses = max(found.accesses, len(choices))
        if ending is not None:
            run += 1
            for promise, how in broken(ending):
                if wanted is None or promise is wanted:
                    found.breach = Breach(promise.name, how, tuple(choices))
                    return _Looked(begun, run, False)
        if begun >= limit:
            return _Looked(begun, run, False)
    return _Looked(begun, run, True)


def _length(subject: Subject) -> int:
    """How many accesses the threads have, one after the other."""
    subject.begin()
    count = 0
    while ready := [t for t in range(len(subject.threads)) if subject.ready(t)]:
        subject.advance(ready[0])
        count += 1
    return count

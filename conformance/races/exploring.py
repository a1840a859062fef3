# SPDX-License-Identifier: GPL-2.0-only
"""Exploring one race on one side: every schedule that differs, or else as many random ones as are wanted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from conformance.races.dpor import every_schedule
from conformance.races.pct import guarantee, random_schedules
from conformance.races.promises import Promise, broken
from conformance.races.subject import Ending, Subject

__all__ = ["Breach", "Explored", "explore"]


@dataclass(frozen=True)
class Breach:
    """A schedule that broke a promise, and how."""

    promise: str
    how: str
    choices: tuple[int, ...]


@dataclass
class Explored:
    """What came of it.

    ``schedules`` were run to their end, ``skipped`` were given up as seen before; ``exhausted``: there are no
    others that differ. ``accesses`` is how many the longest had. ``chance`` is what random ones are worth.
    """

    schedules: int = 0
    skipped: int = 0
    accesses: int = 0
    exhausted: bool = False
    chance: str = ""
    seconds: float = 0.0
    breach: Breach | None = None

    @property
    def bounds(self) -> str:
        """What was looked at, in words."""
        if self.exhausted:
            return f"all {self.schedules} schedules that differ, of up to {self.accesses} accesses"
        return f"{self.schedules} schedules, not all{f'; {self.chance}' if self.chance else ''}"


def explore(subject: Subject, limit: int, seed: int | None = None, wanted: Promise | None = None) -> Explored:
    """Look for a schedule that breaks a promise, the ``wanted`` one or any, until one is found.

    With a seed schedules are random, ``limit`` of them. Without, all are run that differ, and if these are
    more than ``limit``, as many random ones follow.
    """
    found = Explored()
    start = time.monotonic()
    try:
        if seed is None:
            found.exhausted = _look(found, every_schedule(subject), limit, wanted)
        if found.breach is None and not found.exhausted:
            longest = found.accesses or _length(subject)
            found.chance = guarantee(len(subject.threads), longest)
            _look(found, random_schedules(subject, seed or 0, longest), found.schedules + limit, wanted)
    finally:
        found.seconds = time.monotonic() - start
    return found


def _look(
    found: Explored,
    schedules: Iterator[tuple[list[int], Ending | None]] | Iterator[tuple[list[int], Ending]],
    limit: int,
    wanted: Promise | None,
) -> bool:
    """Judge schedules until one is bad; True if there are no more, False if enough were run."""
    for choices, ending in schedules:
        found.accesses = max(found.accesses, len(choices))
        if ending is None:
            found.skipped += 1
            continue
        found.schedules += 1
        for promise, how in broken(ending):
            if wanted is None or promise is wanted:
                found.breach = Breach(promise.name, how, tuple(choices))
                return False
        if found.schedules >= limit:
            return False
    return True


def _length(subject: Subject) -> int:
    """How many accesses the threads have, one after the other."""
    subject.begin()
    count = 0
    while ready := [t for t in range(len(subject.threads)) if subject.ready(t)]:
        subject.advance(ready[0])
        count += 1
    return count

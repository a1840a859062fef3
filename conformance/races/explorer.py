# SPDX-License-Identifier: GPL-2.0-only
"""The explorer: which schedules of a subject are run, until one violates an invariant.

All inequivalent schedules if they are few enough. Otherwise all with few preemptions, and random ones.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from conformance.races.dpor import inequivalent_schedules
from conformance.races.invariants import Invariant, violations
from conformance.races.pct import DEPTH, guarantee, random_schedules
from conformance.races.preemption_bound import PreemptionBoundedSearch
from conformance.races.subject import Execution, Subject

__all__ = ["MOST_PREEMPTIONS", "Explored", "Violation", "explore"]

MOST_PREEMPTIONS = 3
"""The largest preemption bound that is tried.

Every historic variant shows a violation within it; one of them needs all three preemptions.
"""


@dataclass(frozen=True)
class Violation:
    """A schedule that violated ``invariant``, and ``how``, as a sentence."""

    invariant: str
    how: str
    choices: tuple[int, ...]


@dataclass
class Explored:
    """How many schedules were run, of which kind, what that exhausts, and the violation that was found.

    ``differing`` inequivalent schedules were run by DPOR; ``exhausted`` if these are all. ``preemptions`` is
    the largest preemption bound that was exhausted, with ``bounded`` schedules; None if none was. ``beyond``
    schedules have one preemption more and are not all such. ``random`` ones were drawn for ``threads``
    threads with ``length`` accesses. The longest schedule had ``accesses`` accesses.
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
    violation: Violation | None = None

    @property
    def schedules(self) -> int:
        """The number of schedules that were run to their end."""
        return self.differing + self.bounded + self.beyond + self.random

    @property
    def depth(self) -> int:
        """The bug depth for which random schedules are drawn.

        Violations that the exhausted preemption bound covers need no random schedules.
        """
        return DEPTH if self.preemptions is None else max(DEPTH, self.preemptions + 2)

    @property
    def numbers(self) -> dict[str, int | bool | None]:
        """The numbers of schedules and what they exhaust, as JSON reports have them."""
        names = "exhausted", "differing", "preemptions", "bounded", "beyond", "random", "accesses"
        return {name: getattr(self, name) for name in names}

    @property
    def bounds(self) -> str:
        """The numbers of schedules and what they exhaust, as text."""
        if self.exhausted:
            return f"exhausted: all {self.differing} inequivalent schedules, up to {self.accesses} accesses"
        parts = []
        if self.differing:
            parts.append(f"{self.differing} inequivalent schedules are not all")
        if self.preemptions is not None:
            parts.append(f"exhausted up to {_times(self.preemptions)} ({self.bounded} schedules)")
        if self.beyond:
            most = 0 if self.preemptions is None else self.preemptions + 1
            parts.append(f"{self.beyond} more with {_times(most)} are not all")
        if self.random:
            chance = guarantee(self.threads, self.length, self.depth)
            parts.append(f"{self.random} at random, {chance}")
        return "; ".join(parts)


def _times(preemptions: int) -> str:
    return f"{preemptions} preemption{'' if preemptions == 1 else 's'}"


def explore(
    subject: Subject,
    limit: int,
    seed: int | None = None,
    invariant: Invariant | None = None,
    seconds: float | None = None,
) -> Explored:
    """Run schedules until one violates ``invariant``, or any invariant if that is None.

    With a seed ``limit`` random schedules are run. Without, all inequivalent schedules are run, up to
    ``limit``. If these are not all, up to ``limit`` more follow: those without preemptions, then those with
    one, and so on up to MOST_PREEMPTIONS, and random ones for what is left of the limit.

    ``seconds`` end these searches earlier: half of them that of inequivalent schedules. Without a seed no
    random schedules follow then.
    """
    found = Explored(threads=len(subject.threads))
    start = time.monotonic()
    share = math.inf if seconds is None else seconds
    bounds = _Bounds(limit, invariant, start + share / 2 if seed is None else start + share)
    left = limit
    try:
        if seed is None:
            every = _check(found, inequivalent_schedules(subject), bounds)
            found.differing, found.exhausted = every.run, every.done
            bounds = replace(bounds, until=start + share)
            if not _is_over(found):
                left -= _with_few_preemptions(found, subject, bounds)
        if not _is_over(found) and left and (seed is not None or seconds is None):
            found.length = found.accesses or _length(subject)
            schedules = random_schedules(subject, seed or 0, found.length, found.depth)
            found.random = _check(found, schedules, replace(bounds, limit=left)).run
    finally:
        found.seconds = time.monotonic() - start
    return found


def _is_over(found: Explored) -> bool:
    """Whether all schedules were run, or a violation was found."""
    return found.exhausted or found.violation is not None


def _with_few_preemptions(found: Explored, subject: Subject, bounds: _Bounds) -> int:
    """Exhaust one preemption bound after another, within ``bounds``; how many schedules were started."""
    search = PreemptionBoundedSearch(subject, MOST_PREEMPTIONS)
    left = bounds.limit
    for bound in range(MOST_PREEMPTIONS + 1):
        checked = _check(found, search.schedules(bound), replace(bounds, limit=left))
        left -= checked.started
        if checked.done:
            found.preemptions = bound
            found.bounded += checked.run
        else:
            found.beyond = checked.run
        if not checked.done or not left:
            break
    return bounds.limit - left


@dataclass(frozen=True)
class _Bounds:
    """How many schedules a search starts at most, which invariant it checks, and until when it runs."""

    limit: int
    invariant: Invariant | None
    until: float


class _Checked(NamedTuple):
    """How many schedules were started, how many of them ran to their end, and whether these are all."""

    started: int
    run: int
    done: bool


def _check(
    found: Explored,
    schedules: Iterator[tuple[list[int], Execution | None]] | Iterator[tuple[list[int], Execution]],
    bounds: _Bounds,
) -> _Checked:
    """Check schedules until one violates the invariant, or the bounds are reached."""
    started = run = 0
    for choices, execution in schedules:
        started += 1
        found.accesses = max(found.accesses, len(choices))
        if execution is not None:
            run += 1
            for violated, how in violations(execution):
                if bounds.invariant in (None, violated):
                    found.violation = Violation(violated.name, how, tuple(choices))
                    return _Checked(started, run, False)
        if started >= bounds.limit or time.monotonic() >= bounds.until:
            return _Checked(started, run, False)
    return _Checked(started, run, True)


def _length(subject: Subject) -> int:
    """The number of accesses if the threads run one after the other."""
    subject.begin()
    count = 0
    while enabled := [t for t in range(len(subject.threads)) if subject.enabled(t)]:
        subject.advance(enabled[0])
        count += 1
    return count

# SPDX-License-Identifier: GPL-2.0-only
"""What is done with a subject, on either side: explore it, follow a schedule, draw a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from conformance.oracles.lacking import Lacking
from conformance.races.exploring import Breach, Explored, explore
from conformance.races.invariants import PROMISES, broken
from conformance.races.moments import Moment, moments
from conformance.races.schedule import Leg, legs_of, run_legs
from conformance.races.shortening import fewest_switches
from conformance.races.subject import Ending, Subject

__all__ = ["DRAW", "EXPLORE", "REPLAY", "Outcome", "Task", "perform"]

SHORTENING = 4000
"""How many schedules may be tried to find a shorter one."""

EXPLORE, REPLAY, DRAW = "explore", "replay", "draw"


@dataclass(frozen=True)
class Task:
    """What is to be done.

    To EXPLORE: up to ``limit`` schedules, random ones with a ``seed``, for the ``wanted`` promise, or any if
    that is empty. To REPLAY: the ``legs``. To DRAW: the ``choices``, as far as they go.
    """

    kind: str
    wanted: str = ""
    limit: int = 0
    seed: int | None = None
    legs: tuple[Leg, ...] = ()
    choices: tuple[int, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What came of it. If a promise was broken: the schedule, its picture, and its SPTEs in words.

    ``trouble`` says why there is no outcome; ``lacking`` does if the suite or the system lacks something.
    """

    explored: Explored = field(default_factory=Explored)
    threads: tuple[str, ...] = ()
    legs: tuple[Leg, ...] = ()
    drawn: tuple[Moment, ...] = ()
    sptes: tuple[tuple[int, str], ...] = ()
    trouble: str = ""
    lacking: Lacking | None = None

    @property
    def breach(self) -> Breach | None:
        """The promise that was broken."""
        return self.explored.breach


def perform(task: Task, subject: Subject) -> Outcome:
    """Do it. The SPTEs of the outcome are not in words yet."""
    if task.kind == EXPLORE:
        return _explored(task, subject)
    if task.kind == REPLAY:
        return _replayed(task, subject)
    return _drawn(subject, Explored(), task.choices)


def _explored(task: Task, subject: Subject) -> Outcome:
    explored = explore(subject, task.limit, task.seed, PROMISES.get(task.wanted))
    breach = explored.breach
    if breach is None:
        return Outcome(explored, tuple(subject.threads))

    def breaks(ending: Ending) -> bool:
        return any(promise.name == breach.promise for promise, _ in broken(ending))

    choices = fewest_switches(subject, breach.choices, breaks, SHORTENING)
    legs = legs_of(subject, choices)
    _, ending = run_legs(subject, legs)
    how = [how for promise, how in broken(ending) if promise.name == breach.promise]
    explored.breach = replace(breach, how=how[0] if how else breach.how, choices=tuple(choices))
    return _drawn(subject, explored, choices)


def _replayed(task: Task, subject: Subject) -> Outcome:
    choices, ending = run_legs(subject, task.legs)
    explored = Explored(differing=1, accesses=len(choices))
    found = {promise.name: how for promise, how in broken(ending)}
    for name in [task.wanted, *found]:
        if name in found:
            explored.breach = Breach(name, found[name], tuple(choices))
            break
    return _drawn(subject, explored, choices)


def _drawn(subject: Subject, explored: Explored, choices: Sequence[int]) -> Outcome:
    legs, drawn = legs_of(subject, choices), moments(subject, choices)
    return Outcome(explored, tuple(subject.threads), tuple(legs), tuple(drawn))

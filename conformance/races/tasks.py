# SPDX-License-Identifier: GPL-2.0-only
"""The tasks that run on a subject, on either side: explore it, replay a schedule, trace a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from conformance.oracles.lacking import Lacking
from conformance.races.explorer import Explored, Violation, explore
from conformance.races.interactions import Interaction, interactions
from conformance.races.invariants import INVARIANTS, violations
from conformance.races.minimising import minimise
from conformance.races.schedule import Segment, run_segments, segments_of
from conformance.races.subject import Execution, Subject

__all__ = ["EXPLORE", "REPLAY", "TRACE", "Outcome", "Task", "perform"]

MINIMISING = 4000
"""How many schedules are run to minimise one."""

EXPLORE, REPLAY, TRACE = "explore", "replay", "trace"


@dataclass(frozen=True)
class Task:
    """A task.

    EXPLORE runs up to ``limit`` schedules, random ones if there is a ``seed``, for ``seconds`` at most if
    there are any, until one violates ``invariant``, or any invariant if that is empty; the schedule is
    ``minimised``. REPLAY runs the ``segments``. TRACE runs the ``choices``, a prefix of a schedule, for its
    diagram.
    """

    kind: str
    invariant: str = ""
    limit: int = 0
    seed: int | None = None
    seconds: float | None = None
    minimised: bool = True
    segments: tuple[Segment, ...] = ()
    choices: tuple[int, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """The outcome of a task: if an invariant was violated, with the schedule and what a diagram shows.

    ``sptes`` are the SPTEs of the interactions with their decoded text. ``trouble`` says why the task failed;
    ``lacking`` says it if the suite or the system lacks something.
    """

    explored: Explored = field(default_factory=Explored)
    threads: tuple[str, ...] = ()
    segments: tuple[Segment, ...] = ()
    interactions: tuple[Interaction, ...] = ()
    sptes: tuple[tuple[int, str], ...] = ()
    trouble: str = ""
    lacking: Lacking | None = None

    @property
    def violation(self) -> Violation | None:
        """The violation that was found."""
        return self.explored.violation


def perform(task: Task, subject: Subject) -> Outcome:
    """Perform a task. The ``sptes`` of the outcome are left empty."""
    if task.kind == EXPLORE:
        return _explored(task, subject)
    if task.kind == REPLAY:
        return _replayed(task, subject)
    return _traced(subject, Explored(), task.choices)


def _explored(task: Task, subject: Subject) -> Outcome:
    explored = explore(subject, task.limit, task.seed, INVARIANTS.get(task.invariant), task.seconds)
    violation = explored.violation
    if violation is None:
        return Outcome(explored, tuple(subject.threads))

    def violates(execution: Execution) -> bool:
        return any(invariant.name == violation.invariant for invariant, _ in violations(execution))

    choices: Sequence[int] = violation.choices
    if task.minimised:
        choices = minimise(subject, choices, violates, MINIMISING)
    segments = segments_of(subject, choices)
    _, execution = run_segments(subject, segments)
    how = [how for invariant, how in violations(execution) if invariant.name == violation.invariant]
    explored.violation = replace(violation, how=how[0] if how else violation.how, choices=tuple(choices))
    return _traced(subject, explored, choices)


def _replayed(task: Task, subject: Subject) -> Outcome:
    choices, execution = run_segments(subject, task.segments)
    explored = Explored(differing=1, accesses=len(choices))
    found = {invariant.name: how for invariant, how in violations(execution)}
    for name in [task.invariant, *found]:
        if name in found:
            explored.violation = Violation(name, found[name], tuple(choices))
            break
    return _traced(subject, explored, choices)


def _traced(subject: Subject, explored: Explored, choices: Sequence[int]) -> Outcome:
    segments, shown = segments_of(subject, choices), interactions(subject, choices)
    return Outcome(explored, tuple(subject.threads), tuple(segments), tuple(shown))

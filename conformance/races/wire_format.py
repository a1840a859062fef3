# SPDX-License-Identifier: GPL-2.0-only
"""The JSON in which a task goes to the worker process, and its outcome comes back.

The outcome is untrusted: kernel code can write to any memory of the worker. It is accepted if each number,
text and length in it is possible for the task. What the task already says, such as the names of threads, is
not part of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from conformance.oracles.kvm.race_interface import MAX_CHOICES
from conformance.oracles.lacking import Lacking
from conformance.races.explorer import MOST_PREEMPTIONS, Explored, Violation
from conformance.races.interactions import Interaction
from conformance.races.invariants import INVARIANTS, NO_CRASH
from conformance.races.program import Program
from conformance.races.schedule import Segment
from conformance.races.tasks import EXPLORE, TRACE, Outcome, Task

__all__ = [
    "MalformedOutcome",
    "Request",
    "printable",
    "read_choices",
    "read_outcome",
    "read_request",
    "write_outcome",
]

MAX_TEXT = 400
"""Characters of a text in an outcome."""
MAX_INTERACTIONS = 4096
"""How many interactions an outcome holds; later ones are dropped."""
_MAX_WORD = (1 << 64) - 1
_COUNTS = "differing", "bounded", "beyond", "random", "accesses", "length"


class MalformedOutcome(ValueError):
    """The worker sent something that cannot be the outcome of the task."""


@dataclass(frozen=True)
class Request:
    """A task on the kernel's side of a race; see kernel_side() for the other fields."""

    program: Program
    host: Mapping[str, int]
    reports_dirty: bool
    patience: float
    plant: int
    task: Task

    @property
    def threads(self) -> tuple[str, ...]:
        """The names of the threads."""
        return tuple(self.program.threads)

    def written(self) -> dict[str, Any]:
        """The request as JSON."""
        segments = [[one.thread, one.stop, one.nth] for one in self.task.segments]
        return {
            **{name: getattr(self, name) for name in ("host", "reports_dirty", "patience", "plant")},
            **{name: getattr(self.program, name) for name in ("options", "setup", "closing")},
            # A list, since the order of threads counts.
            "threads": list(self.program.threads.items()),
            "task": {**vars(self.task), "segments": segments},
        }


def read_request(written: dict[str, Any]) -> Request:
    """The inverse of Request.written()."""
    segments = tuple(Segment(*one) for one in written["task"]["segments"])
    task = {**written["task"], "segments": segments}
    threads = {name: tuple((kind, given) for kind, given in steps) for name, steps in written["threads"]}
    program = Program(written["options"], tuple(written["setup"]), threads, tuple(written["closing"]))
    facts = {name: written[name] for name in ("host", "reports_dirty", "patience", "plant")}
    return Request(program=program, task=Task(**task), **facts)


def printable(text: str) -> str:
    """``text`` on one line, without control characters, cut to MAX_TEXT."""
    return "".join(one if one.isprintable() else "?" for one in text[:MAX_TEXT])


def write_outcome(outcome: Outcome) -> dict[str, Any]:
    """The outcome as JSON."""
    if outcome.lacking is not None:
        lacking = outcome.lacking
        return {"lacking": [printable(one) for one in (lacking.what, lacking.where, lacking.todo)]}
    if outcome.trouble:
        return {"trouble": printable(outcome.trouble)}
    explored, violation = outcome.explored, outcome.violation
    numbers = {name: getattr(explored, name) for name in (*_COUNTS, "exhausted", "preemptions")}
    number_of = {name: number for number, name in enumerate(outcome.threads)}
    shown = outcome.interactions[:MAX_INTERACTIONS]
    return {
        "explored": numbers,
        "violation": violation and [violation.invariant, printable(violation.how), list(violation.choices)],
        "segments": [[number_of[one.thread], printable(one.stop), one.nth] for one in outcome.segments],
        "interactions": [[one.thread, printable(one.access), one.spte] for one in shown],
    }


def read_outcome(given: Any, request: Request) -> Outcome:
    """The outcome in what the worker sent, which may be any JSON. Raises MalformedOutcome."""
    keys = set(given) if isinstance(given, dict) else set()
    if keys == {"lacking"}:
        what, where, todo = map(_text, _items(given["lacking"], 3, 3))
        return Outcome(lacking=Lacking(what, where, todo))
    if keys == {"trouble"}:
        return Outcome(trouble=_text(given["trouble"]) or "the worker failed without a message")
    _demand(keys == {"explored", "violation", "segments", "interactions"})
    task, threads = request.task, request.threads
    explored = _explored(given["explored"], len(threads))
    segments = [_segment(one, threads) for one in _items(given["segments"], 0, MAX_CHOICES)]
    shown = [_interaction(one, len(threads)) for one in _items(given["interactions"], 0, MAX_INTERACTIONS)]
    if given["violation"] is not None:
        explored.violation = _violation(given["violation"], len(threads))
    violation = explored.violation
    _demand(violation is None if task.kind == TRACE else _is_possible(explored, task))
    if violation is not None or task.kind == TRACE:
        ran = task.choices if violation is None else violation.choices
        _demand([one.thread for one in segments] == [threads[thread] for thread, _ in groupby(ran)])
        _demand(len(shown) <= len(ran))
    elif task.kind == EXPLORE:
        _demand(not segments and not shown)
    return Outcome(explored, threads, tuple(segments), tuple(shown))


def read_choices(given: Iterable[int], threads: int) -> tuple[int, ...]:
    """The threads chosen, from memory that kernel code can write; empty if one of them does not exist."""
    choices = tuple(given)
    return choices if all(choice < threads for choice in choices) else ()


def _is_possible(explored: Explored, task: Task) -> bool:
    """Whether the task can have these numbers."""
    counts = explored.differing, explored.bounded, explored.beyond, explored.random
    violation = explored.violation
    if task.kind != EXPLORE:
        return counts == (1, 0, 0, 0) and not explored.exhausted
    if violation is not None:
        return (
            max(counts) <= task.limit and not explored.exhausted and violation.invariant in _checked_by(task)
        )
    searched = explored.bounded + explored.beyond
    if task.seed is not None:
        enough = explored.random == task.limit or (task.seconds is not None and explored.random < task.limit)
        return enough and not (explored.exhausted or explored.differing or searched)
    if explored.exhausted:
        return 0 < explored.differing <= task.limit and not (searched or explored.random)
    return explored.differing <= task.limit and searched + explored.random <= task.limit


def _checked_by(task: Task) -> Iterable[str]:
    return [task.invariant] if task.invariant else INVARIANTS


def _explored(given: Any, threads: int) -> Explored:
    _demand(isinstance(given, dict) and set(given) == {*_COUNTS, "exhausted", "preemptions"})
    _demand(isinstance(given["exhausted"], bool))
    most = None if given["preemptions"] is None else _number(given["preemptions"], MOST_PREEMPTIONS)
    explored = Explored(exhausted=given["exhausted"], preemptions=most, threads=threads)
    for name in _COUNTS:
        setattr(explored, name, _number(given[name], _MAX_WORD))
    _demand(max(explored.accesses, explored.length) <= MAX_CHOICES)
    return explored


def _violation(given: Any, threads: int) -> Violation:
    invariant, how, choices = _items(given, 3, 3)
    _demand(isinstance(invariant, str) and invariant in INVARIANTS and invariant != NO_CRASH.name)
    chosen = [_number(choice, threads - 1) for choice in _items(choices, 1, MAX_CHOICES)]
    return Violation(invariant, _text(how), tuple(chosen))


def _segment(given: Any, threads: tuple[str, ...]) -> Segment:
    thread, stop, nth = _items(given, 3, 3)
    return Segment(threads[_number(thread, len(threads) - 1)], _text(stop), _number(nth, MAX_CHOICES))


def _interaction(given: Any, threads: int) -> Interaction:
    thread, access, spte = _items(given, 3, 3)
    return Interaction(
        _number(thread, threads - 1), _text(access), None if spte is None else _number(spte, _MAX_WORD)
    )


def _items(given: Any, fewest: int, most: int) -> list[Any]:
    _demand(isinstance(given, list) and fewest <= len(given) <= most)
    found: list[Any] = given
    return found


def _number(given: Any, most: int) -> int:
    # bool is an int for Python.
    _demand(type(given) is int and 0 <= given <= most)
    return int(given)


def _text(given: Any) -> str:
    _demand(isinstance(given, str) and len(given) <= MAX_TEXT and given.isprintable())
    return str(given)


def _demand(truth: bool) -> None:
    if not truth:
        raise MalformedOutcome

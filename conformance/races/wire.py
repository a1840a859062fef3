# SPDX-License-Identifier: GPL-2.0-only
"""How a task goes to the process in which kernel code races, and its outcome comes back: as JSON.

What comes back may be anything, since kernel code could write to the memory of that process. An outcome is
taken if each number, text and length in it is possible for the task; what the task itself tells, like
the names of threads, is not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from conformance.oracles.kvm.race_interface import MAX_CHOICES
from conformance.oracles.lacking import Lacking
from conformance.races.exploring import MOST_PREEMPTIONS, Breach, Explored
from conformance.races.form import Form
from conformance.races.invariants import NO_CRASH, PROMISES
from conformance.races.moments import Moment
from conformance.races.schedule import Leg
from conformance.races.tasks import DRAW, EXPLORE, Outcome, Task

__all__ = [
    "NotAnOutcome",
    "Request",
    "printable",
    "read_choices",
    "read_outcome",
    "read_request",
    "write_outcome",
]

MAX_TEXT = 400
"""Characters of a text in an outcome."""
MAX_MOMENTS = 4096
"""How many moments of a picture are kept, the first ones."""
_MAX_WORD = (1 << 64) - 1
_COUNTS = "differing", "bounded", "beyond", "random", "accesses", "length"


class NotAnOutcome(ValueError):
    """What came back is not the outcome of the task."""


@dataclass(frozen=True)
class Request:
    """A task on the kernel's side of a race: see kernel_side()."""

    form: Form
    host: Mapping[str, int]
    tells_dirty: bool
    patience: float
    task: Task

    @property
    def threads(self) -> tuple[str, ...]:
        """The names of the threads."""
        return tuple(self.form.threads)

    def written(self) -> dict[str, Any]:
        """It as JSON."""
        return {
            **{name: getattr(self, name) for name in ("host", "tells_dirty", "patience")},
            **{name: getattr(self.form, name) for name in ("options", "setup", "closing")},
            # A list, since the order of threads counts.
            "threads": list(self.form.threads.items()),
            "task": {**vars(self.task), "legs": [[leg.thread, leg.stop, leg.nth] for leg in self.task.legs]},
        }


def read_request(told: dict[str, Any]) -> Request:
    """The inverse of Request.written()."""
    task = {**told["task"], "legs": tuple(Leg(*leg) for leg in told["task"]["legs"])}
    threads = {name: tuple((kind, given) for kind, given in steps) for name, steps in told["threads"]}
    form = Form(told["options"], tuple(told["setup"]), threads, tuple(told["closing"]))
    return Request(form, told["host"], told["tells_dirty"], told["patience"], Task(**task))


def printable(text: str) -> str:
    """A text as reports can show it: on one line, without control characters, of a bounded length."""
    return "".join(one if one.isprintable() else "?" for one in text[:MAX_TEXT])


def write_outcome(outcome: Outcome) -> dict[str, Any]:
    """It as JSON."""
    if outcome.lacking is not None:
        lacking = outcome.lacking
        return {"lacking": [printable(one) for one in (lacking.what, lacking.where, lacking.todo)]}
    if outcome.trouble:
        return {"trouble": printable(outcome.trouble)}
    explored, breach = outcome.explored, outcome.breach
    numbers = {name: getattr(explored, name) for name in (*_COUNTS, "exhausted", "preemptions")}
    number_of = {name: number for number, name in enumerate(outcome.threads)}
    return {
        "explored": numbers,
        "breach": breach and [breach.promise, printable(breach.how), list(breach.choices)],
        "legs": [[number_of[leg.thread], printable(leg.stop), leg.nth] for leg in outcome.legs],
        "drawn": [[one.thread, printable(one.did), one.spte] for one in outcome.drawn[:MAX_MOMENTS]],
    }


def read_outcome(told: Any, request: Request) -> Outcome:
    """The outcome that kernel code's process tells. Raises NotAnOutcome, whatever it is."""
    keys = set(told) if isinstance(told, dict) else set()
    if keys == {"lacking"}:
        what, where, todo = map(_text, _items(told["lacking"], 3, 3))
        return Outcome(lacking=Lacking(what, where, todo))
    if keys == {"trouble"}:
        return Outcome(trouble=_text(told["trouble"]) or "the race ended without a word")
    _demand(keys == {"explored", "breach", "legs", "drawn"})
    task, threads = request.task, request.threads
    explored = _explored(told["explored"], len(threads))
    legs = [_leg(one, threads) for one in _items(told["legs"], 0, MAX_CHOICES)]
    drawn = [_moment(one, len(threads)) for one in _items(told["drawn"], 0, MAX_MOMENTS)]
    if told["breach"] is not None:
        explored.breach = _breach(told["breach"], len(threads))
    breach = explored.breach
    _demand(breach is None if task.kind == DRAW else _is_possible(explored, task))
    if breach is not None or task.kind == DRAW:
        ran = task.choices if breach is None else breach.choices
        _demand([leg.thread for leg in legs] == [threads[thread] for thread, _ in groupby(ran)])
        _demand(len(drawn) <= len(ran))
    elif task.kind == EXPLORE:
        _demand(not legs and not drawn)
    return Outcome(explored, threads, tuple(legs), tuple(drawn))


def read_choices(told: Iterable[int], threads: int) -> tuple[int, ...]:
    """The threads chosen, as they stand in memory that kernel code can write; none if they are not."""
    choices = tuple(told)
    return choices if all(choice < threads for choice in choices) else ()


def _is_possible(explored: Explored, task: Task) -> bool:
    """Whether the numbers can be those of the task."""
    counts = explored.differing, explored.bounded, explored.beyond, explored.random
    breach = explored.breach
    if task.kind != EXPLORE:
        return counts == (1, 0, 0, 0) and not explored.exhausted
    if breach is not None:
        return max(counts) <= task.limit and not explored.exhausted and breach.promise in _looked_for(task)
    searched = explored.bounded + explored.beyond
    if task.seed is not None:
        return explored.random == task.limit and not (explored.exhausted or explored.differing or searched)
    if explored.exhausted:
        return 0 < explored.differing <= task.limit and not (searched or explored.random)
    return explored.differing <= task.limit and searched + explored.random <= task.limit


def _looked_for(task: Task) -> Iterable[str]:
    return [task.wanted] if task.wanted else PROMISES


def _explored(told: Any, threads: int) -> Explored:
    _demand(isinstance(told, dict) and set(told) == {*_COUNTS, "exhausted", "preemptions"})
    _demand(isinstance(told["exhausted"], bool))
    most = None if told["preemptions"] is None else _number(told["preemptions"], MOST_PREEMPTIONS)
    explored = Explored(exhausted=told["exhausted"], preemptions=most, threads=threads)
    for name in _COUNTS:
        setattr(explored, name, _number(told[name], _MAX_WORD))
    _demand(max(explored.accesses, explored.length) <= MAX_CHOICES)
    return explored


def _breach(told: Any, threads: int) -> Breach:
    promise, how, choices = _items(told, 3, 3)
    _demand(isinstance(promise, str) and promise in PROMISES and promise != NO_CRASH.name)
    chosen = [_number(choice, threads - 1) for choice in _items(choices, 1, MAX_CHOICES)]
    return Breach(promise, _text(how), tuple(chosen))


def _leg(told: Any, threads: tuple[str, ...]) -> Leg:
    thread, stop, nth = _items(told, 3, 3)
    return Leg(threads[_number(thread, len(threads) - 1)], _text(stop), _number(nth, MAX_CHOICES))


def _moment(told: Any, threads: int) -> Moment:
    thread, did, spte = _items(told, 3, 3)
    return Moment(
        _number(thread, threads - 1), _text(did), None if spte is None else _number(spte, _MAX_WORD)
    )


def _items(told: Any, fewest: int, most: int) -> list[Any]:
    _demand(isinstance(told, list) and fewest <= len(told) <= most)
    found: list[Any] = told
    return found


def _number(told: Any, most: int) -> int:
    # bool is an int for Python.
    _demand(type(told) is int and 0 <= told <= most)
    return int(told)


def _text(told: Any) -> str:
    _demand(isinstance(told, str) and len(told) <= MAX_TEXT and told.isprintable())
    return str(told)


def _demand(truth: bool) -> None:
    if not truth:
        raise NotAnOutcome

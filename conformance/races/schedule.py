# SPDX-License-Identifier: GPL-2.0-only
"""Schedules as people write them: who runs, up to before which access of its own.

    vcpu0  until  fast_page_fault updates spte 4K gfn=0x102
    host   to its end
    vcpu0  to its end

An access is named by what is done where, not by its number: a schedule still means the same when there is one
more access elsewhere. One that does it more than once has ``#2`` and so on behind it. A thread that is
barred on its way waits while others go on; what nothing is said of runs in the threads' order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from conformance.races.subject import Ending, Subject

__all__ = ["Leg", "legs_of", "read_legs", "run_legs"]

_LEG = re.compile(r"(\S+)\s+(?:to its end|until\s+(.+?)(?:\s+#([0-9]{1,9}))?)")


@dataclass(frozen=True)
class Leg:
    """A thread runs until it is about to do ``stop`` for the ``nth`` time; to its end if that is empty."""

    thread: str
    stop: str = ""
    nth: int = 1

    def __str__(self) -> str:
        again = f" #{self.nth}" if self.nth > 1 else ""
        return f"{self.thread:<6} until  {self.stop}{again}" if self.stop else f"{self.thread:<6} to its end"


def read_legs(lines: Iterable[str]) -> list[Leg]:
    """The legs that lines tell; the inverse of str(). Raises ValueError with a line that is none."""
    legs = []
    for line in lines:
        found = _LEG.fullmatch(line.strip())
        if found is None:
            raise ValueError(f"{line.strip()!r} is no line of a schedule")
        legs.append(Leg(found[1], found[2] or "", int(found[3] or 1)))
    return legs


def legs_of(subject: Subject, choices: Sequence[int]) -> list[Leg]:
    """A schedule, given as threads in their order, in legs. Runs it once."""
    subject.begin()
    done: list[Counter[str]] = [Counter() for _ in subject.threads]
    legs: list[Leg] = []
    for at, thread in enumerate(choices):
        if at and choices[at - 1] != thread:
            legs.append(_stopped(subject, choices[at - 1], done))
        done[thread][subject.name(thread)] += 1
        subject.advance(thread)
    if choices:
        legs.append(_stopped(subject, choices[-1], done))
    return legs


def _stopped(subject: Subject, thread: int, done: Sequence[Counter[str]]) -> Leg:
    """The leg that ends where the thread now stands."""
    if subject.pending(thread) is None:
        return Leg(subject.threads[thread])
    stop = subject.name(thread)
    return Leg(subject.threads[thread], stop, done[thread][stop] + 1)


def run_legs(subject: Subject, legs: Sequence[Leg]) -> tuple[list[int], Ending]:
    """Run a schedule: the threads in their order, and its end. Raises ValueError about an unknown thread."""
    numbers = {name: t for t, name in enumerate(subject.threads)}
    for leg in legs:
        if leg.thread not in numbers:
            known = ", ".join(subject.threads)
            raise ValueError(f"there is no thread {leg.thread} in this race; there are {known}")
    subject.begin()
    choices: list[int] = []
    done: list[Counter[str]] = [Counter() for _ in subject.threads]

    def go(thread: int) -> None:
        done[thread][subject.name(thread)] += 1
        choices.append(thread)
        subject.advance(thread)

    for leg in legs:
        thread = numbers[leg.thread]
        while subject.pending(thread) is not None:
            if leg.stop and subject.name(thread) == leg.stop and done[thread][leg.stop] + 1 >= leg.nth:
                break
            if not subject.ready(thread):
                others = [t for t in numbers.values() if t != thread and subject.ready(t)]
                if not others:
                    break
                go(others[0])
            else:
                go(thread)
    while ready := [t for t in numbers.values() if subject.ready(t)]:
        go(ready[0])
    return choices, subject.finish()

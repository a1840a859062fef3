# SPDX-License-Identifier: GPL-2.0-only
"""Schedules as text: which thread runs, up to before which of its accesses.

    vcpu0  until  fast_page_fault updates spte 4K gfn=0x102
    host   to its end
    vcpu0  to its end

Each line is a segment. An access is named by the function and the object, not by its index, so a schedule
stays valid if the kernel gains an access elsewhere. ``#2`` and so on behind an access stands for its second
occurrence in the thread. While the thread of a segment is blocked, enabled threads run in its place. After
the last segment all threads run to their end, in their order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from conformance.races.subject import Execution, Subject

__all__ = ["Segment", "read_segments", "run_segments", "segments_of"]

_SEGMENT = re.compile(r"(\S+)\s+(?:to its end|until\s+(.+?)(?:\s+#([0-9]{1,9}))?)")


@dataclass(frozen=True)
class Segment:
    """``thread`` runs until its ``nth`` access named ``stop`` is pending; to its end if ``stop`` is empty."""

    thread: str
    stop: str = ""
    nth: int = 1

    def __str__(self) -> str:
        again = f" #{self.nth}" if self.nth > 1 else ""
        return f"{self.thread:<6} until  {self.stop}{again}" if self.stop else f"{self.thread:<6} to its end"


def read_segments(lines: Iterable[str]) -> list[Segment]:
    """The segments of lines; the inverse of str(). Raises ValueError with a line that is no segment."""
    segments = []
    for line in lines:
        found = _SEGMENT.fullmatch(line.strip())
        if found is None:
            raise ValueError(f"{line.strip()!r} is no line of a schedule")
        segments.append(Segment(found[1], found[2] or "", int(found[3] or 1)))
    return segments


def segments_of(subject: Subject, choices: Sequence[int]) -> list[Segment]:
    """The segments of a schedule, given as the threads in their order. Runs the schedule once."""
    subject.begin()
    done: list[Counter[str]] = [Counter() for _ in subject.threads]
    segments: list[Segment] = []
    for at, thread in enumerate(choices):
        if at and choices[at - 1] != thread:
            segments.append(_segment_to(subject, choices[at - 1], done))
        done[thread][subject.name(thread)] += 1
        subject.advance(thread)
    if choices:
        segments.append(_segment_to(subject, choices[-1], done))
    return segments


def _segment_to(subject: Subject, thread: int, done: Sequence[Counter[str]]) -> Segment:
    """The segment that ends before the thread's pending access."""
    if subject.pending(thread) is None:
        return Segment(subject.threads[thread])
    stop = subject.name(thread)
    return Segment(subject.threads[thread], stop, done[thread][stop] + 1)


def run_segments(subject: Subject, segments: Sequence[Segment]) -> tuple[list[int], Execution]:
    """Run a schedule; the threads in their order, and the execution. Raises ValueError on unknown threads."""
    numbers = {name: t for t, name in enumerate(subject.threads)}
    for segment in segments:
        if segment.thread not in numbers:
            known = ", ".join(subject.threads)
            raise ValueError(f"there is no thread {segment.thread} in this race; there are {known}")
    subject.begin()
    choices: list[int] = []
    done: list[Counter[str]] = [Counter() for _ in subject.threads]

    def advance(thread: int) -> None:
        done[thread][subject.name(thread)] += 1
        choices.append(thread)
        subject.advance(thread)

    for segment in segments:
        thread, stop = numbers[segment.thread], segment.stop
        while subject.pending(thread) is not None:
            if stop and subject.name(thread) == stop and done[thread][stop] + 1 >= segment.nth:
                break
            if not subject.enabled(thread):
                others = [t for t in numbers.values() if t != thread and subject.enabled(t)]
                if not others:
                    break
                advance(others[0])
            else:
                advance(thread)
    while enabled := [t for t in numbers.values() if subject.enabled(t)]:
        advance(enabled[0])
    return choices, subject.finish()

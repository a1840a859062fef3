# SPDX-License-Identifier: GPL-2.0-only
"""Shortening a schedule that breaks a promise: as few switches between threads as it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise

from conformance.races.subject import Ending, Subject

__all__ = ["fewest_switches", "switches"]

Run = tuple[int, int]
"""A thread, and how many accesses it has before another one goes on."""


def switches(choices: Sequence[int]) -> int:
    """How often a thread goes on after another one."""
    return sum(one != other for one, other in pairwise(choices))


def fewest_switches(
    subject: Subject, choices: Sequence[int], breaks: Callable[[Ending], bool], limit: int
) -> list[int]:
    """A schedule with as few switches as can be found in about ``limit`` tries that still ``breaks``.

    First runs are left out, as long as that does; then all schedules with one switch less are tried, from the
    first access on, so what is found is the first of the shortest.
    """
    best = list(choices)
    tries = 0
    while True:
        for runs in _simpler(best):
            tries += 1
            tried, ending = _follow(subject, runs)
            if switches(tried) < switches(best) and breaks(ending):
                best = tried
                break
        else:
            break
    for allowed in range(1, switches(best)):
        for tried, ending in _with_switches(subject, allowed):
            tries += 1
            if breaks(ending):
                return tried
            if tries > limit:
                return best
    return best


def _simpler(choices: Sequence[int]) -> Iterator[list[Run]]:
    """The schedule without one of its runs: what it did is done when its thread goes on the next time."""
    runs = [(thread, len([*group])) for thread, group in groupby(choices)]
    for left_out in range(len(runs)):
        yield runs[:left_out] + runs[left_out + 1 :]


def _follow(subject: Subject, runs: Sequence[Run]) -> tuple[list[int], Ending]:
    """Let threads go on for as many accesses as given, as far as they can, and then all to their end."""
    subject.begin()
    choices: list[int] = []
    for thread, count in runs:
        for _ in range(count):
            if not subject.ready(thread):
                break
            choices.append(thread)
            subject.advance(thread)
    current = choices[-1] if choices else 0
    threads = range(len(subject.threads))
    while ready := [t for t in threads if subject.ready(t)]:
        current = current if current in ready else ready[0]
        choices.append(current)
        subject.advance(current)
    return choices, subject.finish()


def _with_switches(subject: Subject, allowed: int) -> Iterator[tuple[list[int], Ending]]:
    """Every schedule with at most so many switches, those that have them early first."""
    threads = range(len(subject.threads))
    waiting: list[tuple[list[Run], int]] = [([(t, 1 << 30)], allowed) for t in reversed(threads)]
    while waiting:
        runs, left = waiting.pop()
        subject.begin()
        choices: list[int] = []
        branches: list[tuple[list[Run], int]] = []
        for thread, count in runs:
            went = 0
            last = thread == runs[-1][0] and count == 1 << 30
            while went < count and subject.ready(thread):
                others = [t for t in threads if t != thread and subject.ready(t)] if last and went else []
                branches += [([*runs[:-1], (thread, went), (t, 1 << 30)], left - 1) for t in others if left]
                choices.append(thread)
                subject.advance(thread)
                went += 1
        rest = [t for t in threads if subject.ready(t)]
        if rest and left:
            waiting += [([*runs, (t, 1 << 30)], left - 1) for t in reversed(rest)]
        elif not rest:
            yield choices, subject.finish()
        waiting += reversed(branches)

# SPDX-License-Identifier: GPL-2.0-only
"""Minimising a schedule that violates an invariant: as few context switches as possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise

from conformance.races.subject import Execution, Subject

__all__ = ["context_switches", "minimise"]

Run = tuple[int, int]
"""A thread, and the number of accesses that it performs before another thread runs."""

_TO_ITS_END = 1 << 30


def context_switches(choices: Sequence[int]) -> int:
    """The number of context switches of a schedule."""
    return sum(one != other for one, other in pairwise(choices))


def minimise(
    subject: Subject, choices: Sequence[int], violates: Callable[[Execution], bool], limit: int
) -> list[int]:
    """A schedule with the fewest context switches found in about ``limit`` tries that still ``violates``.

    First runs of threads are removed while the violation stays. Then all schedules with fewer switches are
    tried, in order of the access before which they switch, so the result is the first of the shortest.
    """
    best = list(choices)
    tries = 0
    while True:
        for runs in _simpler(best):
            tries += 1
            tried, execution = _follow(subject, runs)
            if context_switches(tried) < context_switches(best) and violates(execution):
                best = tried
                break
        else:
            break
    for allowed in range(1, context_switches(best)):
        for tried, ended in _with_switches(subject, allowed):
            tries += 1
            if ended is not None and violates(ended):
                return tried
            if tries > limit:
                return best
    return best


def _simpler(choices: Sequence[int]) -> Iterator[list[Run]]:
    """The schedule without one of its runs, for each run; its accesses move to the thread's next run."""
    runs = [(thread, len([*group])) for thread, group in groupby(choices)]
    for removed in range(len(runs)):
        yield runs[:removed] + runs[removed + 1 :]


def _follow(subject: Subject, runs: Sequence[Run]) -> tuple[list[int], Execution]:
    """Perform the runs, each as long as its thread is enabled, and then run all threads to their end."""
    subject.begin()
    choices: list[int] = []
    for thread, count in runs:
        for _ in range(count):
            if not subject.enabled(thread):
                break
            choices.append(thread)
            subject.advance(thread)
    current = choices[-1] if choices else 0
    threads = range(len(subject.threads))
    while enabled := [t for t in threads if subject.enabled(t)]:
        current = current if current in enabled else enabled[0]
        choices.append(current)
        subject.advance(current)
    return choices, subject.finish()


def _with_switches(subject: Subject, allowed: int) -> Iterator[tuple[list[int], Execution | None]]:
    """Run every schedule with at most ``allowed`` context switches, those that switch early first.

    None where threads are left that only more switches would run to their end.
    """
    threads = range(len(subject.threads))
    queue: list[tuple[list[Run], int]] = [([(t, _TO_ITS_END)], allowed) for t in reversed(threads)]
    while queue:
        runs, left = queue.pop()
        subject.begin()
        choices: list[int] = []
        branches: list[tuple[list[Run], int]] = []
        for thread, count in runs:
            went = 0
            last = thread == runs[-1][0] and count == _TO_ITS_END
            while went < count and subject.enabled(thread):
                others = [t for t in threads if t != thread and subject.enabled(t)] if last and went else []
                start = [*runs[:-1], (thread, went)]
                branches += [([*start, (t, _TO_ITS_END)], left - 1) for t in others if left]
                choices.append(thread)
                subject.advance(thread)
                went += 1
        rest = [t for t in threads if subject.enabled(t)]
        if rest and left:
            queue += [([*runs, (t, _TO_ITS_END)], left - 1) for t in reversed(rest)]
        else:
            yield choices, None if rest else subject.finish()
        queue += reversed(branches)

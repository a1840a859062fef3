# SPDX-License-Identifier: GPL-2.0-only
"""Probabilistic concurrency testing: random schedules with a guaranteed chance of finding a bug.

After Burckhardt, Kothari, Musuvathi and Nagarakatte (ASPLOS 2010): each thread has a random priority, and the
enabled thread of highest priority runs. At ``depth`` - 1 random points the running thread's priority is
lowered below all others. Each schedule finds a bug that needs ``depth`` ordering constraints with a chance of
at least 1 in n·k^(depth-1), for n threads and k accesses.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from conformance.races.subject import Execution, Subject

__all__ = ["DEPTH", "guarantee", "random_schedules"]

DEPTH = 3


def guarantee(threads: int, accesses: int, depth: int = DEPTH) -> str:
    """The guarantee of each random schedule, as text."""
    chance = threads * max(1, accesses) ** (depth - 1)
    return f"each finds a bug of depth {depth} with a chance of at least 1 in {chance}"


def random_schedules(
    subject: Subject, seed: int, accesses: int, depth: int = DEPTH
) -> Iterator[tuple[list[int], Execution]]:
    """Run random schedules without end; yields the threads in their order, and the execution.

    ``accesses`` is the expected number of accesses of a schedule. Equal seeds give equal schedules.
    """
    rng = random.Random(seed)
    threads = range(len(subject.threads))
    while True:
        priority = dict(enumerate(rng.sample([depth + t for t in threads], len(threads))))
        change_points = {rng.randrange(1, max(2, accesses + 1)): rank for rank in range(1, depth)}
        subject.begin()
        choices: list[int] = []
        while enabled := [t for t in threads if subject.enabled(t)]:
            thread = max(enabled, key=priority.__getitem__)
            choices.append(thread)
            subject.advance(thread)
            if len(choices) in change_points:
                priority[thread] = change_points[len(choices)]
        yield choices, subject.finish()

# SPDX-License-Identifier: GPL-2.0-only
"""Random schedules with a guarantee, where all are too many: probabilistic concurrency testing.

After Burckhardt, Kothari, Musuvathi and Nagarakatte (ASPLOS 2010): threads have random priorities, the
highest that is ready runs, and at a few random points the running one falls behind all others. A bug that
needs ``depth`` orderings is found by each schedule with a chance of at least 1 in n·k^(depth-1), of n
threads and k accesses.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from conformance.races.subject import Ending, Subject

__all__ = ["DEPTH", "guarantee", "random_schedules"]

DEPTH = 3


def guarantee(threads: int, accesses: int, depth: int = DEPTH) -> str:
    """What every random schedule is good for."""
    chance = threads * max(1, accesses) ** (depth - 1)
    return f"each finds a bug of {depth} orderings with a chance of at least 1 in {chance}"


def random_schedules(
    subject: Subject, seed: int, accesses: int, depth: int = DEPTH
) -> Iterator[tuple[list[int], Ending]]:
    """Random schedules for ever, as the threads in their order and its end.

    ``accesses`` is how many there may be. The same seed gives the same schedules.
    """
    rng = random.Random(seed)
    threads = range(len(subject.threads))
    while True:
        priority = dict(enumerate(rng.sample([depth + t for t in threads], len(threads))))
        falls = {rng.randrange(1, max(2, accesses + 1)): rank for rank in range(1, depth)}
        subject.begin()
        choices: list[int] = []
        while ready := [t for t in threads if subject.ready(t)]:
            thread = max(ready, key=priority.__getitem__)
            choices.append(thread)
            subject.advance(thread)
            if len(choices) in falls:
                priority[thread] = falls[len(choices)]
        yield choices, subject.finish()

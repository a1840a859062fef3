# SPDX-License-Identifier: GPL-2.0-only
"""Deadlines on the monotonic clock, which all processes share, and the command's time limit."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from types import FrameType

from conformance.sandbox.processes import Ended, interrupt

__all__ = ["Deadline", "TimeLimitReached", "disarm", "threads", "time_limit", "unfinished"]


class TimeLimitReached(Ended):
    """The command's time limit is over."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the time limit of {seconds:g} s ended")


class Deadline:
    """A deadline in ``seconds`` from now, never without them. ``until`` is its time on the clock."""

    def __init__(self, seconds: float = math.inf, *, until: float | None = None) -> None:
        self.seconds = seconds
        self.until = time.monotonic() + seconds if until is None else until

    @property
    def left(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(self.until - time.monotonic(), 0.0)

    def more_time(self) -> bool:
        """Whether the deadline is still ahead."""
        return time.monotonic() < self.until

    def part(self, share: float) -> Deadline:
        """The deadline after this share of the remaining time."""
        left = self.left
        return Deadline(until=self.until - left * (1 - share)) if math.isfinite(left) else self


_ended = False


@contextlib.contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise TimeLimitReached in the main thread if the body takes longer than ``seconds``."""
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        global _ended
        _ended = True
        interrupt(TimeLimitReached(seconds))

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        disarm()
        signal.signal(signal.SIGALRM, before)


def disarm() -> None:
    """Cancel the time limit, so that it does not interrupt the report of partial results."""
    signal.setitimer(signal.ITIMER_REAL, 0)


@contextlib.contextmanager
def threads(jobs: int) -> Iterator[Executor]:
    """A pool of threads. If the command ends they are not waited for, since threads cannot be killed."""
    pool = ThreadPoolExecutor(jobs)
    try:
        yield pool
    except Ended:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    except BaseException:
        pool.shutdown()
        raise
    pool.shutdown()


def unfinished() -> bool:
    """Whether the time limit is over and threads are still working."""
    return _ended and any(not thread.daemon for thread in threading.enumerate()[1:])

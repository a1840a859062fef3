# SPDX-License-Identifier: GPL-2.0-only
"""Locks and read-side critical sections. The scheduler decides when they are taken, and who waits."""

from __future__ import annotations

from types import TracebackType

from conformance.model.vm.places import LOCKS, place, word_of
from conformance.model.vm.scheduler import current

__all__ = ["Lock", "ReadSections"]


class _Held:
    """A lock held for read or write as long as a ``with`` block lasts."""

    def __init__(self, lock: Lock, shared: bool) -> None:
        self.lock, self.shared = lock, shared

    def __enter__(self) -> None:
        current.scheduler.lock(self.lock, self.shared)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A thread that is abandoned, or that crashed, releases nothing.
        if kind is None:
            current.scheduler.unlock(self.lock)


class Lock:
    """A lock that one thread may hold for write, or several for read; a mutex if it is never held for read.

    A waiting writer does not keep new readers out, as it does in the kernel, so more can happen here.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.where = place(LOCKS, word=word_of(name))
        self.for_write, self.for_read = _Held(self, False), _Held(self, True)

    def held(self, shared: bool) -> _Held:
        """The lock for read if ``shared``, else for write."""
        return self.for_read if shared else self.for_write

    def let_others_run(self) -> bool:
        """Release it and take it again: cond_resched_rwlock_read() or _write().

        Return whether other threads may have run in between.
        """
        return current.scheduler.relock(self)


class ReadSections:
    """RCU, or an SRCU domain: readers never wait; who frees something waits until those inside have left."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.where = place(LOCKS, word=word_of(name))

    def __enter__(self) -> None:
        current.scheduler.read_lock(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            current.scheduler.read_unlock(self)

    def lock(self) -> None:
        """Begin to read."""
        current.scheduler.read_lock(self)

    def unlock(self) -> None:
        """End it."""
        current.scheduler.read_unlock(self)

    def synchronize(self) -> None:
        """Wait until everyone who is inside now has left."""
        current.scheduler.synchronize(self)

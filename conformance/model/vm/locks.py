# SPDX-License-Identifier: GPL-2.0-only
"""Locks and grace periods: what makes a thread wait for others. They do nothing while nobody else runs."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from conformance.model.vm.points import LOCK, LOCK_SHARED, LOCKS, UNLOCK, WAIT, place, points, word_of

__all__ = ["Lock", "ReadSections"]


class _Held:
    """A lock held for read or write as long as a ``with`` block lasts."""

    def __init__(self, lock: Lock, shared: bool) -> None:
        self.lock, self.shared = lock, shared

    def __enter__(self) -> None:
        if points.on:
            self.lock.acquire(self.shared)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A thread that is given up in the middle gives nothing back, neither does one that has crashed.
        if points.on and kind is None:
            self.lock.release()


class Lock:
    """A lock that one may hold for write, or several for read: a mutex, if nobody does.

    A waiting writer does not keep new readers out, which real ones do; so more can happen here.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.where = place(LOCKS, word=word_of(name))
        self.writer: Any = None
        self.readers = 0
        self.for_write, self.for_read = _Held(self, False), _Held(self, True)

    def held(self, shared: bool) -> _Held:
        """The lock for read if ``shared``, else for write."""
        return self.for_read if shared else self.for_write

    def acquire(self, shared: bool, when: Callable[[], bool] | None = None) -> None:
        """Wait for the lock, and for ``when`` to hold, and take it."""
        if when is not None:
            points.wait(self.where, lambda: self._free() and when(), LOCK)
            self.writer = points.thread
        elif shared:
            points.wait(self.where, self._no_writer, LOCK_SHARED)
            self.readers += 1
        else:
            points.wait(self.where, self._free, LOCK)
            self.writer = points.thread

    def release(self) -> None:
        """Give it back."""
        points.access(UNLOCK, self.where)
        if self.writer is not None:
            self.writer = None
        else:
            self.readers -= 1

    def let_others_run(self) -> None:
        """Give it back and take it again: cond_resched_rwlock_read() or _write()."""
        if points.on:
            shared = self.writer is None
            self.release()
            self.acquire(shared)

    def _no_writer(self) -> bool:
        return self.writer is None

    def _free(self) -> bool:
        return self.writer is None and not self.readers


class ReadSections:
    """RCU, or an SRCU domain: readers never wait, and whoever frees waits until those inside have left.

    Nothing is announced unless somebody may wait: ``waited_for``.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.where = place(LOCKS, word=word_of(name))
        self.waited_for = False
        self.inside: dict[Any, list[int]] = {}
        """Threads in a section: how deep, and which of their sections it is."""
        self.entered = 0

    def __enter__(self) -> None:
        self.lock()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.unlock()

    def lock(self) -> None:
        """Begin to read."""
        if not points.on or not self.waited_for:
            return
        held = self.inside.get(points.thread)
        if held is not None:
            held[0] += 1
            return
        points.access(LOCK_SHARED, self.where)
        self.entered += 1
        self.inside[points.thread] = [1, self.entered]

    def unlock(self) -> None:
        """End it."""
        if not points.on or not self.waited_for:
            return
        held = self.inside[points.thread]
        if held[0] == 1:
            points.access(UNLOCK, self.where)
            del self.inside[points.thread]
        else:
            held[0] -= 1

    def synchronize(self) -> None:
        """Wait until everyone who is inside now has left."""
        if not points.on:
            return
        before = {thread: held[1] for thread, held in self.inside.items()}

        def left() -> bool:
            inside = self.inside
            return all(thread not in inside or inside[thread][1] != n for thread, n in before.items())

        points.wait(self.where, left, WAIT)

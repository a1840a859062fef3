# SPDX-License-Identifier: GPL-2.0-only
"""The schedulers of a race: one that stops a thread before each access, and one that only notes events.

A stopped thread waits for its greenlet to be switched to again. Its ``pending`` says what it does then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from conformance.interface.memory_access import Access
from conformance.model.vm.locks import Lock, ReadSections
from conformance.model.vm.places import EVENTS
from conformance.model.vm.scheduler import Scheduler

__all__ = ["Event", "EventLog", "RacingScheduler"]

Event = tuple[Any, ...]


def _lasting(events: Iterable[Event], if_still: Callable[[Event], bool] | None) -> Iterable[Event]:
    return events if if_still is None else filter(if_still, events)


class _LockState:
    """The thread that holds a lock for write, and the number of those that hold it for read."""

    __slots__ = ("readers", "writer")

    def __init__(self) -> None:
        self.writer: Any = None
        self.readers = 0

    def allows_readers(self) -> bool:
        return self.writer is None

    def is_free(self) -> bool:
        return self.writer is None and not self.readers


class EventLog(Scheduler):
    """Runs one thread, as for the closing steps, and notes events."""

    def __init__(self, events: list[Event]) -> None:
        self.events = events

    def note(
        self,
        *events: Event,
        if_still: Callable[[Event], bool] | None = None,
        frames: tuple[int, int] | None = None,
    ) -> None:
        """Note events at once."""
        self.events.extend(_lasting(events, if_still))


class RacingScheduler(Scheduler):
    """Stops ``thread`` before each access that another thread can observe.

    ``pages`` are the gfns, or the pages of addresses, that guests access: entries for others are not
    announced. If these are gfns (``by_gfn``), no other frames matter. ``waited_for`` names the read-side
    sections that a thread may wait for; entering others is not announced.
    """

    has_others = True
    max_exits = 8
    """Each retry is caused by another thread, which causes only so many."""

    thread: Any
    """The RacingThread that runs."""
    stop: Callable[[], object]
    """Switches to the explorer, until the thread is resumed."""

    def __init__(self, pages: frozenset[int], by_gfn: bool, waited_for: frozenset[str]) -> None:
        self.pages, self.by_gfn, self.waited_for = pages, by_gfn, waited_for
        self.locks: dict[Lock, _LockState] = {}
        self.inside: dict[ReadSections, dict[Any, list[int]]] = {}
        """For each section the threads inside: how deep, and which of their sections it is."""
        self.entered = 0
        self.events: list[Event] = []
        self.ahead = 0
        """How many accesses the running thread performs without stopping, as in an earlier schedule."""

    def begin(self, stop: Callable[[], object], events: Iterable[Event]) -> None:
        """Forget a schedule: no lock is held, and only these events were noted."""
        self.locks.clear()
        self.inside.clear()
        self.events = [*events]
        self.stop = stop

    def access(self, kind: int, where: int) -> None:
        """Stop; the access is done when the thread is resumed."""
        if self.ahead:
            self.ahead -= 1
            self.thread.fresh = False
            return
        self.thread.pending = (kind, where)
        self.stop()

    def access_of_frames(self, kind: int, where: int, first: int, end: int) -> None:
        """The same, if the race accesses any of these frames."""
        if self._watches(first, end):
            self.access(kind, where)

    def wait(self, kind: int, where: int, condition: Callable[[], bool]) -> None:
        """Stop until ``condition`` holds."""
        thread = self.thread
        if self.ahead:
            if not condition():
                raise ValueError(f"{thread.name} cannot go on")
            self.ahead -= 1
            thread.fresh = False
            return
        thread.condition = condition
        thread.pending = (kind, where)
        self.stop()
        if not condition():
            raise ValueError(f"{thread.name} cannot go on")
        thread.condition = None

    def lock(self, lock: Lock, shared: bool, when: Callable[[], bool] | None = None) -> None:
        """Stop until the lock is free, and ``when`` holds."""
        state = self.locks.get(lock) or self.locks.setdefault(lock, _LockState())
        if shared:
            self.wait(Access.LOCK_SHARED, lock.where, state.allows_readers)
            state.readers += 1
            return
        free = state.is_free
        self.wait(Access.LOCK, lock.where, free if when is None else lambda: free() and when())
        state.writer = self.thread

    def unlock(self, lock: Lock) -> None:
        """Release it."""
        self.access(Access.UNLOCK, lock.where)
        state = self.locks[lock]
        if state.writer is not None:
            state.writer = None
        else:
            state.readers -= 1

    def relock(self, lock: Lock) -> bool:
        """Release it, and take it again as it was held."""
        shared = self.locks[lock].writer is None
        self.unlock(lock)
        self.lock(lock, shared)
        return True

    def read_lock(self, domain: ReadSections) -> None:
        """Enter a section, if a thread may wait for it; only the outermost counts."""
        if domain.name not in self.waited_for:
            return
        inside = self.inside.setdefault(domain, {})
        section = inside.get(self.thread)
        if section is not None:
            section[0] += 1
            return
        self.access(Access.LOCK_SHARED, domain.where)
        self.entered += 1
        inside[self.thread] = [1, self.entered]

    def read_unlock(self, domain: ReadSections) -> None:
        """Leave it."""
        if domain.name not in self.waited_for:
            return
        inside = self.inside[domain]
        section = inside[self.thread]
        if section[0] == 1:
            self.access(Access.UNLOCK, domain.where)
            del inside[self.thread]
        else:
            section[0] -= 1

    def synchronize(self, domain: ReadSections) -> None:
        """Stop until every section that is entered now is left."""
        inside = self.inside.setdefault(domain, {})
        before = {thread: section[1] for thread, section in inside.items()}

        def left() -> bool:
            return all(thread not in inside or inside[thread][1] != n for thread, n in before.items())

        self.wait(Access.WAIT, domain.where, left)

    def change_callbacks(self, domain: ReadSections, where: int) -> None:
        """Stop before the list changes, if a thread waits for it."""
        if domain.name in self.waited_for:
            self.access(Access.RMW, where)

    def stall(self, where: int, over: Callable[[], bool]) -> None:
        """Remember why the running thread must retry its fault."""
        self.thread.obstacle = where, over

    def retry(self, stalled: bool) -> bool:
        """Wait until what stalled the fault is over, or no other thread is left to end it."""
        thread = self.thread
        if thread.obstacle is not None:
            where, over = thread.obstacle
            thread.obstacle = None
            self.wait(Access.WAIT, where, lambda: over() or thread.alone())
        return True

    def note(
        self,
        *events: Event,
        if_still: Callable[[Event], bool] | None = None,
        frames: tuple[int, int] | None = None,
    ) -> None:
        """Note events, in an order with those of other threads where that can be observed."""
        if not events:
            return
        if frames is None or self._watches(*frames):
            # Accesses may be noted in any order; everything else is before or after each of them.
            self.access(Access.MARK if events[0][0] == "access" else Access.WRITE, EVENTS)
        self.events.extend(_lasting(events, if_still))

    def new_serial(self, memory: Any) -> int:
        """The same number in every schedule: each thread has its own."""
        serial: int = self.thread.new_serial()
        return serial

    def watched(self, table: Any) -> frozenset[int]:
        """The entries for what guests access."""
        entries: frozenset[int] = table.entries_for(self.pages)
        return entries

    def _watches(self, first: int, end: int) -> bool:
        return not self.by_gfn or any(first <= gfn < end for gfn in self.pages)

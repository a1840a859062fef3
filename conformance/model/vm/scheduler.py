# SPDX-License-Identifier: GPL-2.0-only
"""The scheduler that memory, locks and waits ask before they take effect.

The machine is written as if it ran alone. What several CPUs may use asks ``current.scheduler`` first; this
module's Scheduler runs one thread to its end, so that every answer is immediate. One that runs several
threads is installed from outside. Only the modules of memory and locks ask: ``cells``, ``frames``,
``host``, ``kvm_vcpu``, ``locks``, ``memslots``, ``mmu_pages``, ``shadow_state``, ``vm``; the processor notes
the guest's accesses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Scheduler", "current", "installed"]

Event = tuple[Any, ...]


class Scheduler:
    """Decides when the running thread goes on. This one has no other thread to choose.

    Places and kinds of accesses are those of ``places``.
    """

    has_others = False
    """Whether another thread can bring about what this one waits for."""
    max_exits = 4
    """After how many exits an instruction of the guest is given up."""

    def access(self, kind: int, where: int) -> None:
        """Return when the running thread may access the place; it does so at once."""

    def access_of_frames(self, kind: int, where: int, first: int, end: int) -> None:
        """The same for a place that concerns only the guest frames [``first``, ``end``)."""

    def wait(self, kind: int, where: int, condition: Callable[[], bool]) -> None:
        """Return when ``condition`` holds. ValueError if it never will."""
        if not condition():
            raise ValueError("KVM would wait for ever")

    def lock(self, lock: Any, shared: bool, when: Callable[[], bool] | None = None) -> None:
        """Take a ``locks.Lock`` for read or write, once ``when`` holds as well."""

    def unlock(self, lock: Any) -> None:
        """Release it."""

    def relock(self, lock: Any) -> bool:
        """Release it and take it again: cond_resched_rwlock_read() or _write().

        Return whether other threads may have run in between.
        """
        return False

    def read_lock(self, domain: Any) -> None:
        """Enter a read-side critical section of a ``locks.ReadSections``."""

    def read_unlock(self, domain: Any) -> None:
        """Leave it."""

    def synchronize(self, domain: Any) -> None:
        """Wait until every section that has begun is left."""

    def change_callbacks(self, domain: Any, where: int) -> None:
        """Return when the list of callbacks at ``where``, which wait for a grace period, may be changed."""

    def stall(self, where: int, over: Callable[[], bool]) -> None:
        """Note why a fault must be retried: until ``over`` holds, the guest would only fault again."""

    def retry(self, stalled: bool) -> bool:
        """Whether to let the guest fault again; ``stalled``: an invalidation is in progress."""
        return not stalled

    def note(
        self,
        *events: Event,
        if_still: Callable[[Event], bool] | None = None,
        frames: tuple[int, int] | None = None,
    ) -> None:
        """Note events by which invariants are judged: those for which ``if_still`` holds by then.

        ``frames``: the order of the events matters only to accesses to these, [first, last + 1).
        """

    def new_serial(self, memory: Any) -> int:
        """A serial number for a table of ``mmu_pages.TableMemory``."""
        memory.last_serial += 1
        serial: int = memory.last_serial
        return serial

    def watched(self, table: Any) -> frozenset[int]:
        """The entries of a table that several threads may use."""
        return frozenset()


class _Current:
    """Where the scheduler is installed."""

    scheduler = Scheduler()


current = _Current()


@contextmanager
def installed(scheduler: Scheduler) -> Iterator[None]:
    """Have ``scheduler`` asked as long as the block lasts."""
    before, current.scheduler = current.scheduler, scheduler
    try:
        yield
    finally:
        current.scheduler = before

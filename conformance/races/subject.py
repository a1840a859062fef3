# SPDX-License-Identifier: GPL-2.0-only
"""The system under test as the explorer sees it: threads that stop before each access to shared state.

The model's machine and a real KVM both implement Subject. The explorer knows nothing else of either, and
they know nothing of how schedules are chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple, Protocol

from conformance.interface.memory_access import Access
from conformance.interface.observation import Observation
from conformance.races.guest_tables import GuestTables

__all__ = ["Access", "Execution", "Memslot", "Op", "Spte", "Subject", "conflict"]


Op = tuple[int, int]
"""The kind of an access, and the object accessed. Every thread has the same number for an object."""

_WRITES = frozenset({Access.WRITE, Access.RMW})
_ACQUIRES = frozenset({Access.LOCK, Access.LOCK_SHARED, Access.WAIT})


def _kinds_conflict(one: int, other: int) -> bool:
    if Access.UNLOCK in (one, other):
        return False
    if one in _WRITES or other in _WRITES:
        return True
    if one in _ACQUIRES and other in _ACQUIRES:
        return (one, other) not in ((Access.LOCK_SHARED, Access.LOCK_SHARED), (Access.WAIT, Access.WAIT))
    return False


_CONFLICTING = frozenset(
    (one, other) for one, other in product(range(len(Access.NAMES)), repeat=2) if _kinds_conflict(one, other)
)


def conflict(one: Op, other: Op) -> bool:
    """Whether two operations of different threads are dependent: their order may matter.

    Releasing a lock depends on nothing: a thread that waits for the lock is not enabled before.
    """
    return one[1] == other[1] and (one[0], other[0]) in _CONFLICTING


@dataclass(frozen=True)
class Memslot:
    """A memslot present when the threads start: number, gfns, whether writes are logged, first host page.

    ``huge``: the host has huge pages behind it.
    """

    id: int
    gfn: int
    npages: int
    logged: bool
    page: int = 0
    huge: bool = False


@dataclass(frozen=True)
class Execution:
    """What was observed of one schedule; invariants are checked on it.

    ``events`` are, in order, ("access", vcpu, gfn, kind, pfn); for host frames ("released", pfn), ("taken",
    pfn) when the frame is in use again, ("protected", pfn), ("writable", pfn), ("moved", pfn, page); for
    userspace ("logged", slot, gfns), ("cleared", slot, ...), ("slot gone", slot); and ("step", thread, text).
    Where the guest has page tables of its own, the gfn of an access is the page of its address.

    ``complaints`` are WARNs and the reports of lockdep and of the memory checks, ``deadlocked`` the threads
    that were blocked when no thread was enabled, ``crash`` how kernel code ended its process, or "".
    ``dirty`` are the frames that were reported dirty to the host. ``reports_dirty`` is False if the kernel
    reports a frame dirty when it maps it, not when it unmaps it. ``leaked`` counts the objects, pages and
    references to host pages that are left after the VM was destroyed; empty if it was not destroyed.

    If the guest has page tables that KVM shadows, ``tables`` are those when the threads start, and ``final``
    is the observation after the closing steps.
    """

    events: tuple[tuple[Any, ...], ...] = ()
    complaints: tuple[str, ...] = ()
    deadlocked: tuple[str, ...] = ()
    crash: str = ""
    memslots: tuple[Memslot, ...] = ()
    dirty: frozenset[int] = frozenset()
    reports_dirty: bool = False
    leaked: tuple[int, ...] = ()
    tables: GuestTables | None = None
    final: Observation | None = None

    @cached_property
    def by_gfn(self) -> tuple[tuple[Any, ...], ...]:
        """The events, with the gfns of accesses: the guest may have page tables of its own."""
        if self.tables is None:
            return self.events
        gfns = {pfn: gfn for gfn, pfn in self.tables.frames.items()}
        found = []
        for event in self.events:
            if event[0] == "moved":
                gfns |= [(event[1], gfn) for gfn in self._gfns_at(event[2])]
            elif event[0] == "access":
                event = (*event[:2], gfns.get(event[4], -1), *event[3:])
            found.append(event)
        return tuple(found)

    def _gfns_at(self, page: int) -> Iterator[int]:
        """The gfns that a page of the host backs."""
        for slot in self.memslots:
            if slot.page <= page < slot.page + slot.npages:
                yield slot.gfn + page - slot.page

    def slot_of(self, gfn: int) -> int | None:
        """The number of the memslot that backed ``gfn`` when the threads started."""
        for slot in self.memslots:
            if slot.gfn <= gfn < slot.gfn + slot.npages:
                return slot.id
        return None

    def is_logged(self, gfn: int) -> bool:
        """Whether writes to ``gfn`` were logged when the threads started."""
        return any(slot.logged and slot.gfn <= gfn < slot.gfn + slot.npages for slot in self.memslots)


class Spte(NamedTuple):
    """An SPTE: the level and gfn of its entry, and its current value."""

    level: int
    gfn: int
    value: int


class Subject(Protocol):
    """Threads that run one access at a time, and can be reset."""

    @property
    def threads(self) -> Sequence[str]:
        """The names of the threads; elsewhere a thread is its index here."""

    def begin(self, choices: Sequence[int] = ()) -> None:
        """Reset: restore the state after the setup, with every thread before its first access.

        Then perform an operation of each of these threads, as an earlier schedule did.
        """

    def pending(self, thread: int) -> Op | None:
        """The thread's next operation; None if it has ended."""

    def enabled(self, thread: int) -> bool:
        """Whether the thread can run: it has not ended and is not blocked."""

    def advance(self, thread: int) -> None:
        """Perform the thread's pending operation, and run it up to the next one."""

    def name(self, thread: int) -> str:
        """The pending operation as text: ``fast_page_fault reads spte 4K gfn=0x10``."""

    def spte(self, thread: int) -> Spte | None:
        """The SPTE that the pending operation accesses; None if it accesses something else."""

    def peek(self, name: int) -> int:
        """The current value of the object ``name``, which is an SPTE."""

    def finish(self) -> Execution:
        """The execution. If all threads have ended, the closing steps are run first."""

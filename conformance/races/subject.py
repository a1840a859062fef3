# SPDX-License-Identifier: GPL-2.0-only
"""What an explorer drives: threads that stop before each access to what they share.

Both sides, the model's machine and a real KVM, are subjects. Only these words pass between them and
the explorer, so that neither knows how it is explored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from conformance.oracles.kvm.race_interface import Access

__all__ = ["Access", "Ending", "Memslot", "Op", "Spte", "Subject", "conflict"]


Op = tuple[int, int]
"""An access and its object: the same object means the same thing to every thread."""

_WRITES = frozenset({Access.WRITE, Access.RMW})
_ACQUIRES = frozenset({Access.LOCK, Access.LOCK_SHARED, Access.WAIT})


def conflict(one: Op, other: Op) -> bool:
    """Whether it matters which of two threads' next accesses comes first.

    To release a lock never does: who waits for it cannot go on before.
    """
    if one[1] != other[1]:
        return False
    kinds = one[0], other[0]
    if Access.UNLOCK in kinds:
        return False
    if kinds[0] in _WRITES or kinds[1] in _WRITES:
        return True
    if kinds[0] in _ACQUIRES and kinds[1] in _ACQUIRES:
        return kinds not in ((Access.LOCK_SHARED, Access.LOCK_SHARED), (Access.WAIT, Access.WAIT))
    return False


@dataclass(frozen=True)
class Memslot:
    """Guest memory that the setup of a race leaves: its number, its frames, and whether writes are logged."""

    id: int
    gfn: int
    npages: int
    logged: bool


@dataclass(frozen=True)
class Ending:
    """How a schedule ended: what promises are judged by.

    ``events`` are, in order, ("access", vcpu, gfn, kind, pfn); of the host's frames ("released", pfn),
    ("taken", pfn) again, ("protected", pfn), ("writable", pfn) again; of userspace ("logged", slot, gfns),
    ("cleared", slot, ...), ("slot gone", slot); and ("step", thread, text).

    ``complaints`` are WARNs and what lockdep and the memory checks said, ``stuck`` the threads that could
    not on, ``died`` how kernel code ended the process, "" if it did not. ``dirty`` are the frames that
    the host was told of; where ``tells_dirty`` is False it is told when a page is mapped, not when it is
    lost. ``leaked`` are objects, pages and references to the host's pages that outlived the VM, if it was
    destroyed in the end.
    """

    events: tuple[tuple[Any, ...], ...] = ()
    complaints: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    died: str = ""
    memslots: tuple[Memslot, ...] = ()
    dirty: frozenset[int] = frozenset()
    tells_dirty: bool = False
    leaked: tuple[int, ...] = ()

    def slot_of(self, gfn: int) -> int | None:
        """The number of the memslot that backed ``gfn`` before the race."""
        for slot in self.memslots:
            if slot.gfn <= gfn < slot.gfn + slot.npages:
                return slot.id
        return None

    def is_logged(self, gfn: int) -> bool:
        """Whether writes to ``gfn`` were logged when the race began."""
        return any(slot.logged and slot.gfn <= gfn < slot.gfn + slot.npages for slot in self.memslots)


class Spte(NamedTuple):
    """An SPTE of the tables: where it stands, and what is in it now."""

    level: int
    gfn: int
    value: int


class Subject(Protocol):
    """Threads that can be run access by access, and put back to where they began."""

    @property
    def threads(self) -> Sequence[str]:
        """Their names."""

    def begin(self) -> None:
        """Back to the beginning: every thread stands before its first access."""

    def pending(self, thread: int) -> Op | None:
        """What the thread does when it goes on; None if it has ended."""

    def ready(self, thread: int) -> bool:
        """Whether it can go on: it has not ended, and waits for nothing."""

    def advance(self, thread: int) -> None:
        """Let it do what it was about to do, and run to its next access."""

    def name(self, thread: int) -> str:
        """What it is about to do, for people: ``fast_page_fault reads spte 4K gfn=0x10``."""

    def spte(self, thread: int) -> Spte | None:
        """The SPTE that it is about to access, if it is one."""

    def peek(self, name: int) -> int:
        """What is in the object of that name now, if that is an SPTE."""

    def finish(self) -> Ending:
        """The end of a schedule: if all threads have ended, the closing steps are taken one by one."""

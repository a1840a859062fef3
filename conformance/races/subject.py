# SPDX-License-Identifier: GPL-2.0-only
"""What an explorer drives: threads that stop before each access to what they share.

Both sides, the model's machine and a real KVM, are subjects. Only these words pass between them and
the explorer, so that neither knows how it is explored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

__all__ = ["Access", "Ending", "Op", "Subject", "conflict"]


class Access(IntEnum):
    """What a thread is about to do to an object."""

    READ = 0
    WRITE = 1
    """A plain store, or WRITE_ONCE()."""
    RMW = 2
    """One that reads and writes at once: xchg, cmpxchg, lock or."""
    LOCK = 3
    LOCK_SHARED = 4
    UNLOCK = 5
    WAIT = 6
    """Go on once a condition holds that others bring about: a grace period, an interrupt answered."""
    MARK = 7
    """Something that a promise is about happens: an access of the guest goes through."""


Op = tuple[int, int]
"""An access and its object: the same object means the same thing to every thread."""

_WRITES = frozenset({Access.WRITE, Access.RMW})
_READS = frozenset({Access.READ, Access.WAIT, Access.MARK})
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
class Ending:
    """How a schedule ended.

    ``events`` are what promises are judged by, in order (see promises.py). ``complaints`` are WARNs and what
    lockdep and the memory checks said, ``stuck`` the threads that could not go on, ``died`` how
    kernel code ended the process, "" if it did not.
    """

    events: tuple[tuple[object, ...], ...] = ()
    complaints: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    died: str = ""
    state: tuple[object, ...] = field(default=(), repr=False)
    """What can be seen of the VM at the end."""


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

    def finish(self) -> Ending:
        """The end of a schedule: the closing steps are taken, one after the other."""

# SPDX-License-Identifier: GPL-2.0-only
"""Points: where threads touch shared memory, so that whoever explores them can let another one go first.

While threads are explored, everything that reads or writes what others see announces it here before it does
it, and another thread may run in between. Else nothing is announced, and the question costs next to nothing.
What is touched is named by an int, its place: the same place, the same memory.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any, Generic, TypeVar, overload

__all__ = [
    "BITMAPS",
    "EVENTS",
    "GUEST_PTES",
    "HOST_PTES",
    "LOCK",
    "LOCKS",
    "LOCK_SHARED",
    "MARK",
    "READ",
    "RMW",
    "SPTES",
    "TABLES",
    "UNLOCK",
    "VCPUS",
    "VM",
    "WAIT",
    "WORDS",
    "WRITE",
    "Access",
    "Points",
    "Shared",
    "UseAfterFree",
    "place",
    "points",
    "spot",
    "word_of",
]

ENTRIES = 512


class Access(IntEnum):
    """What is about to be done."""

    READ = 0
    WRITE = 1
    """A plain store, or WRITE_ONCE()."""
    RMW = 2
    """An atomic exchange, compare-and-exchange, or bit operation."""
    LOCK = 3
    LOCK_SHARED = 4
    UNLOCK = 5
    WAIT = 6
    """Going on when a condition holds."""
    MARK = 7
    """An event by which promises are judged."""


READ, WRITE, RMW, LOCK, LOCK_SHARED, UNLOCK, WAIT, MARK = Access

SPTES, TABLES, VCPUS, VM, LOCKS, HOST_PTES, BITMAPS, GUEST_PTES = range(1, 9)
"""What there is, each kind with numbers of its own."""

_KIND_SHIFT, _NUMBER_SHIFT = 56, 16


def place(kind: int, number: int = 0, word: int = 0) -> int:
    """The place of ``word`` of the ``number``-th thing of its ``kind``."""
    return kind << _KIND_SHIFT | number << _NUMBER_SHIFT | word


def spot(where: int) -> tuple[int, int, int]:
    """Kind, number and word of a place."""
    return (
        where >> _KIND_SHIFT,
        where >> _NUMBER_SHIFT & (1 << _KIND_SHIFT - _NUMBER_SHIFT) - 1,
        where & 0xFFFF,
    )


EVENTS = place(VM, 1)
"""Where all events are noted, so that their order counts."""


class UseAfterFree(Exception):
    """A table was touched whose memory had been given back."""


class Points:
    """The announcements of all threads of the one machine that is being explored at a time."""

    on = False
    """Whether a thread is running that is being explored."""
    thread: Any = None
    """Which one: a greenlet, that is resumed to do what it has announced."""
    stand_still: Callable[[], object]
    """Lets whoever explores go on, until the thread is resumed."""
    events: list[tuple[Any, ...]] | None = None
    """Where events go while the closing steps are taken."""
    watched: frozenset[int] | None = None
    """The frames that the guest accesses; entries for no other are not announced, for nobody races there."""

    def access(self, kind: int, where: int) -> None:
        """Announce an access; it is done when this returns."""
        self.thread.pending = (kind, where)
        self.stand_still()

    def wait(self, where: int, condition: Callable[[], bool], kind: int = WAIT) -> None:
        """Go on when ``condition`` holds, which others must bring about."""
        thread = self.thread
        thread.condition = condition
        thread.pending = (kind, where)
        self.stand_still()
        if not condition():
            raise ValueError(f"{thread.name} cannot go on")
        thread.condition = None

    def tell(
        self,
        *events: tuple[Any, ...],
        if_still: Callable[[tuple[Any, ...]], bool] | None = None,
        in_order: bool = True,
    ) -> None:
        """Note events, in the order of all threads, or those that still hold by then.

        Not ``in_order``: it makes no difference what happens before.
        """
        if not self.telling or not events:
            return
        if self.on and in_order:
            # Accesses may come in any order, everything else before or after each of them.
            self.access(MARK if events[0][0] == "access" else WRITE, EVENTS)
        noted: Any = self.thread.race.events if self.on else self.events
        noted.extend(filter(if_still, events) if if_still is not None else events)

    @property
    def telling(self) -> bool:
        """Whether anybody wants to know of events."""
        return self.on or self.events is not None

    def retry_when(self, where: int, condition: Callable[[], bool]) -> None:
        """Say what keeps a fault from being handled: until it changes the guest would only fault again."""
        if self.on:
            self.thread.obstacle = where, condition

    def before_retry(self) -> None:
        """Let the guest fault again, once what kept it from going on has changed or nobody can change it."""
        if not self.on or self.thread.obstacle is None:
            return
        where, condition = self.thread.obstacle
        self.thread.obstacle = None
        alone = self.thread.alone
        self.wait(where, lambda: condition() or alone())

    def watches(self, first: int, end: int) -> bool:
        """Whether the guest accesses any of the frames."""
        return self.watched is None or any(first <= gfn < end for gfn in self.watched)

    def watched_indexes(self, gfn: int, level: int) -> frozenset[int]:
        """The entries of a table at ``level`` for frames from ``gfn`` on that are announced."""
        shift = 9 * (level - 1)
        if self.watched is None:
            return frozenset(range(ENTRIES))
        inside = (frame - gfn >> shift for frame in self.watched)
        return frozenset(index for index in inside if 0 <= index < ENTRIES)


points = Points()
"""The only one: threads of one machine are explored at a time."""

WORDS: list[str] = [""]
"""Names of the shared words of structures, by number."""

T = TypeVar("T")


def word_of(name: str) -> int:
    """A number for a word that no Shared field stands for: lists, sets, pointers."""
    if name not in WORDS:
        WORDS.append(name)
    return WORDS.index(name)


class Shared(Generic[T]):
    """A field that other threads read or write: to use it is to announce it.

    The owner says by ``where`` at which place it is.
    """

    def __init__(self, default: T) -> None:
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.word = len(WORDS)
        WORDS.append(name)

    @overload
    def __get__(self, owner: None, cls: type) -> T: ...
    @overload
    def __get__(self, owner: object, cls: type) -> T: ...
    def __get__(self, owner: Any, cls: type) -> T:
        if owner is None:
            return self.default
        if points.on:
            points.access(READ, owner.where | self.word)
        value: T = owner.__dict__[self.name]
        return value

    def __set__(self, owner: Any, value: T) -> None:
        if points.on and self.name in owner.__dict__:
            points.access(WRITE, owner.where | self.word)
        owner.__dict__[self.name] = value

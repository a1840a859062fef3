# SPDX-License-Identifier: GPL-2.0-only
"""The happens-before relation of one schedule, by vector clocks that grow and shrink with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, overload

from conformance.races.subject import Access, Op

__all__ = ["VectorClocks"]

_READS = frozenset({Access.READ, Access.MARK})
_WRITES = frozenset({Access.WRITE, Access.RMW})
_EXCLUDES = frozenset({Access.LOCK, Access.WAIT})

Clock = tuple[int, ...]
"""For each thread, one more than the depth of its last access that happens before; 0 if none does."""


class _Object(NamedTuple):
    """The last accesses to an object: their depths by thread, and the clocks that a later access joins.

    It is replaced, never modified, and so are its dicts.
    """

    write: int = -1
    reads: Mapping[int, int] = {}
    lock: int = -1
    shared: Mapping[int, int] = {}
    after_writes: Clock | None = None
    after_all: Clock | None = None
    after_unlock: Clock | None = None
    after_unlocks: Clock | None = None


_UNUSED = _Object()


class VectorClocks:
    """The accesses of one schedule, their happens-before order, and their reversible races.

    The depth of an access is its index in the schedule.
    """

    def __init__(self, threads: int) -> None:
        self._of: list[Clock] = [(0,) * threads for _ in range(threads)]
        self._objects: dict[int, _Object] = {}
        self._by: list[int] = []
        self._nth: list[int] = []
        self._at: list[Clock] = []
        self._undo: list[tuple[Clock, int, _Object | None]] = []

    def reversible_races(self, thread: int, op: Op) -> list[int]:
        """The depths of accesses that conflict with the thread's next ``op`` and do not happen before it."""
        kind, name = op
        found = self._objects.get(name)
        if found is None or kind == Access.UNLOCK:
            return []
        if kind in _READS:
            candidates: tuple[int, ...] = (found.write,)
        elif kind in _WRITES:
            candidates = (found.write, found.lock, *found.reads.values(), *found.shared.values())
        elif kind == Access.LOCK_SHARED:
            candidates = (found.write, found.lock)
        else:
            candidates = (found.write, found.lock, *found.shared.values())
        mine, by = self._of[thread], self._by
        return [d for d in candidates if d >= 0 and by[d] != thread and mine[by[d]] <= d]

    def initials(self, depth: int, thread: int, op: Op) -> set[int]:
        """The initials of the accesses that reverse the race between ``depth`` and the thread's next ``op``.

        Those accesses are all after ``depth`` that the access there does not happen before, followed by
        ``op``. Its initials are the threads whose first access among them no other one happens before.
        """
        if len(self._of) == 2:
            return {thread}
        first = self._by[depth]
        independent: list[tuple[int, int]] = []
        initials: set[int] = set()
        for at in range(depth + 1, len(self._by)):
            clock = self._at[at]
            if clock[first] <= depth:
                if all(clock[other] <= other_at for other_at, other in independent):
                    initials.add(self._by[at])
                independent.append((at, self._by[at]))
        mine = self._joining(self._of[thread], op)
        if all(mine[other] <= other_at for other_at, other in independent):
            initials.add(thread)
        return initials

    def append(self, thread: int, op: Op) -> None:
        """Append an access of the thread to the schedule."""
        kind, name = op
        depth = len(self._by)
        before = self._of[thread]
        mine = self._joining(before, op)
        mine = self._of[thread] = (*mine[:thread], depth + 1, *mine[thread + 1 :])
        self._nth.append(1 + (self._nth[before[thread] - 1] if before[thread] else 0))
        self._by.append(thread)
        self._at.append(mine)
        found = self._objects.get(name)
        self._undo.append((before, name, found))
        self._objects[name] = _after(_UNUSED if found is None else found, kind, thread, depth, mine)

    def causes(self, thread: int) -> tuple[int, ...]:
        """For each thread, how many of its accesses happen before the last access of ``thread``, or are it.

        Equivalent schedules give equal numbers.
        """
        return tuple([self._nth[depth - 1] if depth else 0 for depth in self._of[thread]])

    def truncate(self, depth: int) -> None:
        """Remove all accesses from ``depth`` on."""
        while len(self._by) > depth:
            before, name, found = self._undo.pop()
            self._nth.pop()
            self._at.pop()
            self._of[self._by.pop()] = before
            if found is None:
                del self._objects[name]
            else:
                self._objects[name] = found

    def _joining(self, clock: Clock, op: Op) -> Clock:
        """``clock`` with the accesses to the object of ``op`` that happen before ``op``."""
        kind, name = op
        found = self._objects.get(name)
        if found is None or kind == Access.UNLOCK:
            return clock
        if kind in _WRITES:
            return _joined(_joined(found.after_all, clock), found.after_unlocks)
        clock = _joined(found.after_writes, clock)
        if kind == Access.LOCK_SHARED:
            return _joined(found.after_unlock, clock)
        if kind in _EXCLUDES:
            return _joined(found.after_unlocks, clock)
        return clock


def _after(found: _Object, kind: int, thread: int, depth: int, mine: Clock) -> _Object:
    """An object after an access at ``depth`` by a thread, whose clock is ``mine`` then."""
    write, reads, lock, shared, after_writes, after_all, after_unlock, after_unlocks = found
    if kind in _READS:
        reads = {**reads, thread: depth}
    elif kind in _WRITES:
        return _Object(depth, {}, lock, shared, mine, mine, after_unlock, after_unlocks)
    elif kind == Access.UNLOCK:
        if thread not in shared:
            after_unlock = mine
        after_unlocks = _joined(after_unlocks, mine)
        return _Object(write, reads, lock, shared, after_writes, after_all, after_unlock, after_unlocks)
    elif kind == Access.LOCK_SHARED:
        shared = {**shared, thread: depth}
    else:
        lock, shared = depth, {}
        if kind == Access.WAIT:
            reads = {**reads, thread: depth}
            after_unlock = after_unlocks = _joined(after_unlocks, mine)
    after_all = _joined(after_all, mine)
    return _Object(write, reads, lock, shared, after_writes, after_all, after_unlock, after_unlocks)


@overload
def _joined(one: Clock | None, other: Clock) -> Clock: ...
@overload
def _joined(one: Clock, other: Clock | None) -> Clock: ...
def _joined(one: Clock | None, other: Clock | None) -> Clock | None:
    """For each thread the later of both."""
    if one is None or other is None:
        return other if one is None else one
    return tuple(map(max, one, other))

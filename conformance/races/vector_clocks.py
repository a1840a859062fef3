# SPDX-License-Identifier: GPL-2.0-only
"""The happens-before relation of one schedule, by vector clocks that grow and shrink with it."""

from __future__ import annotations

from dataclasses import dataclass, field

from conformance.races.subject import Access, Op

__all__ = ["VectorClocks"]

_READS = frozenset({Access.READ, Access.MARK})
_WRITES = frozenset({Access.WRITE, Access.RMW})
_EXCLUDES = frozenset({Access.LOCK, Access.WAIT})

Clock = list[int]
"""For each thread, one more than the depth of its last access that happens before; 0 if none does."""


@dataclass
class _Object:
    """The last accesses to an object: their depths by thread, and the clocks that a later access joins."""

    write: int = -1
    reads: dict[int, int] = field(default_factory=dict)
    lock: int = -1
    shared: dict[int, int] = field(default_factory=dict)
    after_writes: Clock | None = None
    after_all: Clock | None = None
    after_unlock: Clock | None = None
    after_unlocks: Clock | None = None

    def copy(self) -> _Object:
        """A copy that may share clocks: these are replaced, never modified."""
        other = _Object.__new__(_Object)
        other.__dict__.update(self.__dict__)
        other.reads, other.shared = self.reads.copy(), self.shared.copy()
        return other


class VectorClocks:
    """The accesses of one schedule, their happens-before order, and their reversible races.

    The depth of an access is its index in the schedule.
    """

    def __init__(self, threads: int) -> None:
        self._of: list[Clock] = [[0] * threads for _ in range(threads)]
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
        mine = self._of[thread][:]
        self._join_object(mine, op)
        if all(mine[other] <= other_at for other_at, other in independent):
            initials.add(thread)
        return initials

    def append(self, thread: int, op: Op) -> None:
        """Append an access of the thread to the schedule."""
        kind, name = op
        depth = len(self._by)
        before = self._of[thread]
        mine = self._of[thread] = before[:]
        self._join_object(mine, op)
        mine[thread] = depth + 1
        self._nth.append(1 + (self._nth[before[thread] - 1] if before[thread] else 0))
        self._by.append(thread)
        self._at.append(mine)
        found = self._objects.get(name)
        self._undo.append((before, name, None if found is None else found.copy()))
        if found is None:
            found = self._objects[name] = _Object()
        if kind in _READS:
            found.reads[thread] = depth
        elif kind in _WRITES:
            found.write = depth
            found.reads.clear()
            found.after_writes = found.after_all = mine
            return
        elif kind == Access.UNLOCK:
            if thread not in found.shared:
                found.after_unlock = mine
            found.after_unlocks = _joined(found.after_unlocks, mine)
            return
        elif kind == Access.LOCK_SHARED:
            found.shared[thread] = depth
        else:
            found.lock = depth
            found.shared.clear()
            if kind == Access.WAIT:
                found.reads[thread] = depth
                found.after_unlock = found.after_unlocks = _joined(found.after_unlocks, mine)
        found.after_all = _joined(found.after_all, mine)

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

    def _join_object(self, clock: Clock, op: Op) -> None:
        """Join into ``clock`` the accesses to the object of ``op`` that happen before ``op``."""
        kind, name = op
        found = self._objects.get(name)
        if found is None or kind == Access.UNLOCK:
            return
        if kind in _WRITES:
            _join(clock, found.after_all)
            _join(clock, found.after_unlocks)
            return
        _join(clock, found.after_writes)
        if kind == Access.LOCK_SHARED:
            _join(clock, found.after_unlock)
        elif kind in _EXCLUDES:
            _join(clock, found.after_unlocks)


def _join(clock: Clock, other: Clock | None) -> None:
    """Join ``other`` into ``clock``, in place."""
    if other is not None:
        for thread, count in enumerate(other):
            if count > clock[thread]:
                clock[thread] = count


def _joined(one: Clock | None, other: Clock) -> Clock:
    return other if one is None else [max(pair) for pair in zip(one, other, strict=True)]

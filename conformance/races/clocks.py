# SPDX-License-Identifier: GPL-2.0-only
"""What happened before what: vector clocks over one schedule, as far as it has come."""

from __future__ import annotations

from dataclasses import dataclass, field

from conformance.races.subject import Access, Op

__all__ = ["Clocks"]

Clock = list[int]
"""Of each thread, how many accesses of the schedule had come when its last one that counts was done."""


@dataclass
class _Object:
    """Who did last what to an object: depths by thread, and what is known of all that came before."""

    write: int = -1
    reads: dict[int, int] = field(default_factory=dict)
    lock: int = -1
    shared: dict[int, int] = field(default_factory=dict)
    after_writes: Clock | None = None
    after_all: Clock | None = None
    after_unlock: Clock | None = None
    after_unlocks: Clock | None = None

    def copy(self) -> _Object:
        """As it is now; clocks are never changed, only replaced."""
        other = _Object.__new__(_Object)
        other.__dict__.update(self.__dict__)
        other.reads, other.shared = self.reads.copy(), self.shared.copy()
        return other


class Clocks:
    """The order of one schedule's accesses, and where it could have been another."""

    def __init__(self, threads: int) -> None:
        self._of: list[Clock] = [[0] * threads for _ in range(threads)]
        self._objects: dict[int, _Object] = {}
        self._by: list[int] = []
        self._nth: list[int] = []
        self._at: list[Clock] = []
        self._undo: list[tuple[Clock, int, _Object | None]] = []

    def rivals(self, thread: int, op: Op) -> list[int]:
        """The accesses that conflict with what the thread does next, and need not have come before it."""
        kind, name = op
        found = self._objects.get(name)
        if found is None or kind == Access.UNLOCK:
            return []
        if kind == Access.READ or kind == Access.MARK:
            candidates: tuple[int, ...] = (found.write,)
        elif kind == Access.WRITE or kind == Access.RMW:
            candidates = (found.write, found.lock, *found.reads.values(), *found.shared.values())
        elif kind == Access.LOCK_SHARED:
            candidates = (found.write, found.lock)
        else:
            candidates = (found.write, found.lock, *found.shared.values())
        mine, by = self._of[thread], self._by
        return [d for d in candidates if d >= 0 and by[d] != thread and mine[by[d]] <= d]

    def first_without(self, depth: int, thread: int, op: Op) -> set[int]:
        """Who can go on at ``depth`` if what was done there, and what came of it, is left for later.

        That is, the threads with which those accesses after ``depth`` can begin that do not come behind it,
        to which the thread's next one, ``op``, belongs.
        """
        if len(self._of) == 2:
            return {thread}
        first = self._by[depth]
        left: list[tuple[int, int]] = []
        begins: set[int] = set()
        for at in range(depth + 1, len(self._by)):
            clock = self._at[at]
            if clock[first] <= depth:
                if all(clock[other] <= other_at for other_at, other in left):
                    begins.add(self._by[at])
                left.append((at, self._by[at]))
        mine = self._of[thread][:]
        self._learn(mine, op)
        if all(mine[other] <= other_at for other_at, other in left):
            begins.add(thread)
        return begins

    def happened(self, thread: int, op: Op) -> None:
        """The thread has done it: the next depth is reached."""
        kind, name = op
        depth = len(self._by)
        before = self._of[thread]
        mine = self._of[thread] = before[:]
        self._learn(mine, op)
        mine[thread] = depth + 1
        self._nth.append(1 + (self._nth[before[thread] - 1] if before[thread] else 0))
        self._by.append(thread)
        self._at.append(mine)
        found = self._objects.get(name)
        self._undo.append((before, name, None if found is None else found.copy()))
        if found is None:
            found = self._objects[name] = _Object()
        if kind == Access.READ or kind == Access.MARK:
            found.reads[thread] = depth
        elif kind == Access.WRITE or kind == Access.RMW:
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

    def behind(self, thread: int) -> tuple[int, ...]:
        """Of each thread, how many of its accesses come before this one's last, or are it.

        These numbers are the same in all schedules that are the same.
        """
        return tuple([self._nth[depth - 1] if depth else 0 for depth in self._of[thread]])

    def back_to(self, depth: int) -> None:
        """Forget all that happened from ``depth`` on."""
        while len(self._by) > depth:
            before, name, found = self._undo.pop()
            self._nth.pop()
            self._at.pop()
            self._of[self._by.pop()] = before
            if found is None:
                del self._objects[name]
            else:
                self._objects[name] = found

    def _learn(self, clock: Clock, op: Op) -> None:
        """Add to a clock all that comes before an access by the object that it is to."""
        kind, name = op
        found = self._objects.get(name)
        if found is None or kind == Access.UNLOCK:
            return
        if kind == Access.WRITE or kind == Access.RMW:
            _join(clock, found.after_all)
            _join(clock, found.after_unlocks)
            return
        _join(clock, found.after_writes)
        if kind == Access.LOCK_SHARED:
            _join(clock, found.after_unlock)
        elif kind == Access.LOCK or kind == Access.WAIT:
            _join(clock, found.after_unlocks)


def _join(clock: Clock, other: Clock | None) -> None:
    """Add to a clock what another knows."""
    if other is not None:
        for thread, count in enumerate(other):
            if count > clock[thread]:
                clock[thread] = count


def _joined(one: Clock | None, other: Clock) -> Clock:
    return other if one is None else [max(pair) for pair in zip(one, other, strict=True)]

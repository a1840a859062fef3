# SPDX-License-Identifier: GPL-2.0-only
"""Every schedule with few preemptions, where all that differ are too many.

A preemption is a switch away from a thread that could go on. When a thread has ended or has to wait, another
one follows for free. Most bugs need few (Musuvathi and Qadeer, "Iterative context bounding for systematic
testing of multithreaded programs", PLDI 2007).

What is claimed when a bound is done: each end that a schedule with at most so many preemptions has, was seen.
Of schedules that are the same, in the sense of dpor.py, one is run, and one stands for others in three ways:

- A thread is preempted only before an access that matters to what another one still does in any schedule that
  was run. Before any other access the switch may as well come later. What threads do is learned on the
  way, and preemptions that turn out to matter are made up for: in the end none is missing.
- A thread that was preempted goes on only when something has happened that its next access depends on. If
  nothing has, the switch may as well have come after that access.
- Where the same accesses happened, in the same order as far as that matters, and the same thread goes on with
  as many preemptions left, the rest was seen (Musuvathi and Qadeer, "Partial-order reduction for
  context-bounded state exploration", MSR-TR-2007-12).

None of these exchanges costs a preemption more. That is why giving a lock back matters here to those who take
it, as it does not in dpor.py: who finds it taken switches for free, who comes later must be preempted there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from conformance.races.clocks import Clocks
from conformance.races.subject import Access, Ending, Op, Subject, conflict

__all__ = ["FewPreemptions"]

_ACQUIRES = frozenset({Access.LOCK, Access.LOCK_SHARED, Access.WAIT})


_Key = tuple[object, ...]


def _key(thread: int, asleep: dict[int, Op], state: tuple[int, ...]) -> _Key:
    return (thread, *sorted(asleep), state)


@dataclass(frozen=True)
class _Branch:
    """A schedule to be run: as another one up to a depth, and then a thread goes on.

    ``state`` tells what has happened by then, in 64 bits for each thread. ``asleep`` are threads that were
    preempted before these accesses, with which nothing had to do since.
    """

    choices: list[int]
    depth: int
    thread: int
    preemptions: int
    asleep: dict[int, Op]
    state: tuple[int, ...]

    @property
    def key(self) -> _Key:
        """The same for branches with the same future, but for how many preemptions are left."""
        return _key(self.thread, self.asleep, self.state)


@dataclass(frozen=True)
class _Idle:
    """Preemptions before an access that matters to nobody, as far as is known.

    ``done`` is how many accesses each thread has behind it there.
    """

    thread: int
    op: Op
    done: tuple[int, ...]
    branches: list[_Branch]


class FewPreemptions:
    """The search in a subject, for schedules with up to ``most`` preemptions."""

    def __init__(self, subject: Subject, most: int) -> None:
        self._subject = subject
        self._threads = range(len(subject.threads))
        self._most = most
        self._clocks = Clocks(len(subject.threads))
        self._choices: list[int] = []
        self._done = [0 for _ in self._threads]
        self._states = [(0,) * len(subject.threads)]
        self._waiting: list[list[_Branch]] = [[] for _ in range(most + 1)]
        self._begun: dict[_Key, int] = {}
        self._latest: dict[int, dict[tuple[int, int], int]] = defaultdict(dict)
        self._idle: dict[int, list[_Idle]] = defaultdict(list)
        self._plan([self._branch(thread, 0, {}) for thread in self._threads])

    def schedules(self, bound: int) -> Iterator[tuple[list[int], Ending | None]]:
        """Run all with at most so many preemptions that were not run yet; otherwise as every_schedule()."""
        while branch := next((found.pop() for found in self._waiting[: bound + 1] if found), None):
            ended = self._run(branch)
            yield self._choices, ended

    def _run(self, branch: _Branch) -> Ending | None:
        """Run on to the end, a thread as long as it can; None if what is left is seen elsewhere."""
        self._go_to(branch)
        subject, current = self._subject, branch.thread
        preemptions, asleep, switched = branch.preemptions, branch.asleep, True
        while True:
            ready = [t for t in self._threads if subject.ready(t)]
            if not ready:
                for thread in self._threads:
                    self._learn(thread)
                return subject.finish()
            if current not in ready:
                asleep = self._woken(asleep)
                branches = [self._branch(t, preemptions, asleep) for t in ready if t not in asleep]
                self._plan(branches[1:])
                if not branches or not self._is_first(branches[0]):
                    return None
                current, switched = branches[0].thread, True
            self._learn(current)
            if not switched:
                if self._was_begun(_key(current, asleep, self._states[-1]), preemptions):
                    return None
                self._preempt(current, ready, preemptions, asleep)
            op = self._advance(current)
            asleep = {t: other for t, other in asleep.items() if not _matters(other, op)}
            switched = False

    def _go_to(self, branch: _Branch) -> None:
        """Begin again, and come to where a branch begins."""
        self._subject.begin()
        shared = 0
        for one, other in zip(branch.choices[: branch.depth], self._choices, strict=False):
            if one != other:
                break
            shared += 1
        self._clocks.back_to(shared)
        del self._states[shared + 1 :]
        self._choices = branch.choices[:shared]
        self._done = [self._choices.count(thread) for thread in self._threads]
        for thread in self._choices:
            self._subject.advance(thread)
        for thread in branch.choices[shared : branch.depth]:
            self._advance(thread)

    def _advance(self, thread: int) -> Op:
        """Let a thread go on; what it did."""
        op = self._subject.pending(thread)
        assert op is not None
        self._clocks.happened(thread, op)
        state = [*self._states[-1]]
        state[thread] = hash((state[thread], self._clocks.behind(thread)))
        self._states.append((*state,))
        self._choices.append(thread)
        self._done[thread] += 1
        self._subject.advance(thread)
        return op

    def _branch(self, thread: int, preemptions: int, asleep: dict[int, Op]) -> _Branch:
        """That a thread goes on where the search stands."""
        return _Branch(self._choices, len(self._choices), thread, preemptions, asleep, self._states[-1])

    def _was_begun(self, key: _Key, preemptions: int) -> bool:
        """Whether the same was begun, with as few preemptions."""
        return self._begun.get(key, self._most + 1) <= preemptions

    def _is_first(self, branch: _Branch) -> bool:
        """Note that something begins; False if it was begun before."""
        key = branch.key
        if self._was_begun(key, branch.preemptions):
            return False
        self._begun[key] = branch.preemptions
        return True

    def _plan(self, branches: Sequence[_Branch]) -> None:
        """Have schedules run, the first of them first."""
        for branch in reversed(branches):
            if self._is_first(branch):
                self._waiting[branch.preemptions].append(branch)

    def _preempt(self, current: int, ready: list[int], preemptions: int, asleep: dict[int, Op]) -> None:
        """Have the others go on before the thread's next access, now or when it turns out to matter."""
        op = self._subject.pending(current)
        others = [t for t in ready if t != current and t not in asleep]
        if op is None or not others or preemptions == self._most:
            return
        branches = [self._branch(t, preemptions + 1, {**asleep, current: op}) for t in others]
        idle = _Idle(current, op, tuple(self._done), branches)
        if self._is_minded(idle):
            self._plan(branches)
        else:
            self._idle[op[1]].append(idle)

    def _is_minded(self, idle: _Idle) -> bool:
        """Whether some other thread still does something to which the access matters."""
        name = idle.op[1]
        return any(
            thread != idle.thread and at >= idle.done[thread] and _matters((other, name), idle.op)
            for (thread, other), at in self._latest[name].items()
        )

    def _learn(self, thread: int) -> None:
        """Take note of what a thread is about to do, and make up for preemptions to which it matters."""
        op = self._subject.pending(thread)
        if op is None:
            return
        kind, name = op
        latest, at = self._latest[name], self._done[thread]
        if latest.get((thread, kind), -1) >= at:
            return
        latest[thread, kind] = at
        idle, self._idle[name] = self._idle[name], []
        for one in idle:
            if self._is_minded(one):
                self._plan(one.branches)
            else:
                self._idle[name].append(one)

    def _woken(self, asleep: dict[int, Op]) -> dict[int, Op]:
        """Who sleeps on when the others cannot go on: not those who release what is waited for."""
        barred = [
            op for t in self._threads if not self._subject.ready(t) and (op := self._subject.pending(t))
        ]
        return {t: op for t, op in asleep.items() if not any(_matters(op, one) for one in barred)}


def _matters(one: Op, other: Op) -> bool:
    """Whether two accesses conflict, or one releases what the other waits for."""
    if one[1] != other[1]:
        return False
    kinds = {one[0], other[0]}
    return conflict(one, other) or (Access.UNLOCK in kinds and bool(kinds & _ACQUIRES))

# SPDX-License-Identifier: GPL-2.0-only
"""Iterative preemption bounding: every schedule with at most N preemptions, for N = 0, 1, 2, ...

A preemption is a switch away from a thread that is still enabled. Switches are free where the running
thread has ended or is blocked. Most bugs need few preemptions (Musuvathi and Qadeer, "Iterative context
bounding for systematic testing of multithreaded programs", PLDI 2007), so a bound can be exhausted where the
set of all schedules cannot.

When a bound is exhausted, every final state that some schedule within the bound reaches was reached. Of
equivalent schedules (see dpor.py) one is run. Three reductions apply:

- A thread is preempted only before an access that conflicts with a later access of another thread in some
  schedule that was run. Before any other access the preemption can be delayed. The accesses of the threads
  are learned during the search; a preemption point that turns out to matter is scheduled then.
- A preempted thread is put into the sleep set: it is resumed only after an access that conflicts with its
  pending one. Otherwise the preemption could as well have happened after that access.
- States are cached: where the same accesses happened in an equivalent order, and the same thread runs next
  with as many preemptions left, the continuation was already explored (Musuvathi and Qadeer, "Partial-order
  reduction for context-bounded state exploration", MSR-TR-2007-12).

None of these exchanges adds a preemption. For that reason an unlock conflicts with a lock here, unlike in
dpor.py: a thread that blocks on the lock costs no preemption, one that arrives later does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from conformance.races.subject import Access, Execution, Op, Subject, conflict
from conformance.races.vector_clocks import VectorClocks

__all__ = ["PreemptionBoundedSearch"]

_ACQUIRES = frozenset({Access.LOCK, Access.LOCK_SHARED, Access.WAIT})
_RELEASES = frozenset(
    (kind, other)
    for acquired in _ACQUIRES
    for kind, other in ((acquired, Access.UNLOCK), (Access.UNLOCK, acquired))
)
"""Pairs of kinds of which one releases a lock and the other acquires it."""

_Key = tuple[object, ...]


def _key(thread: int, sleep_set: dict[int, Op], state: tuple[int, ...]) -> _Key:
    return (thread, *sorted(sleep_set), state)


@dataclass(frozen=True)
class _Branch:
    """A schedule to run: the first ``depth`` entries of ``choices``, then ``thread``.

    ``state`` identifies the accesses up to there and their happens-before order, in 64 bits for each thread.
    ``sleep_set`` holds the preempted threads with their pending operations.
    """

    choices: list[int]
    depth: int
    thread: int
    preemptions: int
    sleep_set: dict[int, Op]
    state: tuple[int, ...]

    @property
    def key(self) -> _Key:
        """Equal for branches whose continuations are equal, whatever number of preemptions is left."""
        return _key(self.thread, self.sleep_set, self.state)


@dataclass(frozen=True)
class _Deferred:
    """A preemption point before an access that conflicts with no access known so far.

    ``done`` is the number of accesses that each thread has performed there.
    """

    thread: int
    op: Op
    done: tuple[int, ...]
    branches: list[_Branch]


class PreemptionBoundedSearch:
    """The search on a subject for schedules with up to ``most`` preemptions."""

    def __init__(self, subject: Subject, most: int) -> None:
        self._subject = subject
        self._threads = range(len(subject.threads))
        self._most = most
        self._clocks = VectorClocks(len(subject.threads))
        self._choices: list[int] = []
        self._done = [0 for _ in self._threads]
        self._states = [(0,) * len(subject.threads)]
        self._queue: list[list[_Branch]] = [[] for _ in range(most + 1)]
        self._visited: dict[_Key, int] = {}
        self._latest: dict[int, dict[tuple[int, int], int]] = defaultdict(dict)
        self._deferred: dict[int, list[_Deferred]] = defaultdict(list)
        self._schedule([self._branch(thread, 0, {}) for thread in self._threads])

    def schedules(self, bound: int) -> Iterator[tuple[list[int], Execution | None]]:
        """Run every schedule with at most ``bound`` preemptions that was not run yet.

        Yields the threads in their order, and the execution; None if its continuation was explored before.
        """
        while branch := next((queue.pop() for queue in self._queue[: bound + 1] if queue), None):
            execution = self._run(branch)
            yield self._choices, execution

    def _run(self, branch: _Branch) -> Execution | None:
        """Run to the end, each thread as long as it is enabled; None if the rest was explored before."""
        self._go_to(branch)
        subject, current = self._subject, branch.thread
        preemptions, sleep_set, switched = branch.preemptions, branch.sleep_set, True
        while True:
            enabled = [t for t in self._threads if subject.enabled(t)]
            if not enabled:
                for thread in self._threads:
                    self._learn(thread)
                return subject.finish()
            if current not in enabled:
                sleep_set = self._without_releasers(sleep_set)
                branches = [self._branch(t, preemptions, sleep_set) for t in enabled if t not in sleep_set]
                self._schedule(branches[1:])
                if not branches or not self._mark_visited(branches[0]):
                    return None
                current, switched = branches[0].thread, True
            self._learn(current)
            if not switched:
                if self._was_visited(_key(current, sleep_set, self._states[-1]), preemptions):
                    return None
                self._preempt(current, enabled, preemptions, sleep_set)
            op = self._advance(current)
            sleep_set = {t: other for t, other in sleep_set.items() if not _dependent(other, op)}
            switched = False

    def _go_to(self, branch: _Branch) -> None:
        """Reset the subject and run it to the start of ``branch``; clocks of a common prefix are kept."""
        shared = 0
        for one, other in zip(branch.choices[: branch.depth], self._choices, strict=False):
            if one != other:
                break
            shared += 1
        self._clocks.truncate(shared)
        del self._states[shared + 1 :]
        self._choices = branch.choices[:shared]
        self._done = [self._choices.count(thread) for thread in self._threads]
        self._subject.begin(self._choices)
        for thread in branch.choices[shared : branch.depth]:
            self._advance(thread)

    def _advance(self, thread: int) -> Op:
        """Run a thread for one access, and return that access."""
        op = self._subject.pending(thread)
        assert op is not None
        self._clocks.append(thread, op)
        state = [*self._states[-1]]
        state[thread] = hash((state[thread], self._clocks.causes(thread)))
        self._states.append((*state,))
        self._choices.append(thread)
        self._done[thread] += 1
        self._subject.advance(thread)
        return op

    def _branch(self, thread: int, preemptions: int, sleep_set: dict[int, Op]) -> _Branch:
        """The branch in which ``thread`` runs next in the current state."""
        return _Branch(self._choices, len(self._choices), thread, preemptions, sleep_set, self._states[-1])

    def _was_visited(self, key: _Key, preemptions: int) -> bool:
        """Whether an equal state was visited with as few preemptions."""
        return self._visited.get(key, self._most + 1) <= preemptions

    def _mark_visited(self, branch: _Branch) -> bool:
        """Mark the start of a branch as visited; False if it was visited before."""
        key = branch.key
        if self._was_visited(key, branch.preemptions):
            return False
        self._visited[key] = branch.preemptions
        return True

    def _schedule(self, branches: Sequence[_Branch]) -> None:
        """Queue those branches that were not visited; the first of them runs first."""
        for branch in reversed(branches):
            if self._mark_visited(branch):
                self._queue[branch.preemptions].append(branch)

    def _preempt(self, current: int, enabled: list[int], preemptions: int, sleep_set: dict[int, Op]) -> None:
        """Preempt ``current`` before its pending access; deferred until that access is known to matter."""
        op = self._subject.pending(current)
        others = [t for t in enabled if t != current and t not in sleep_set]
        if op is None or not others or preemptions == self._most:
            return
        branches = [self._branch(t, preemptions + 1, {**sleep_set, current: op}) for t in others]
        deferred = _Deferred(current, op, tuple(self._done), branches)
        if self._matters(deferred):
            self._schedule(branches)
        else:
            self._deferred[op[1]].append(deferred)

    def _matters(self, deferred: _Deferred) -> bool:
        """Whether another thread, from there on, performs a known access that depends on the deferred one."""
        name = deferred.op[1]
        return any(
            thread != deferred.thread
            and at >= deferred.done[thread]
            and _dependent((other, name), deferred.op)
            for (thread, other), at in self._latest[name].items()
        )

    def _learn(self, thread: int) -> None:
        """Note the thread's pending access, and schedule the deferred preemptions that depend on it."""
        op = self._subject.pending(thread)
        if op is None:
            return
        kind, name = op
        latest, at = self._latest[name], self._done[thread]
        if latest.get((thread, kind), -1) >= at:
            return
        latest[thread, kind] = at
        deferred, self._deferred[name] = self._deferred[name], []
        for one in deferred:
            if self._matters(one):
                self._schedule(one.branches)
            else:
                self._deferred[name].append(one)

    def _without_releasers(self, sleep_set: dict[int, Op]) -> dict[int, Op]:
        """The sleep set without threads whose pending access a blocked thread waits for."""
        blocked = [
            op for t in self._threads if not self._subject.enabled(t) and (op := self._subject.pending(t))
        ]
        return {t: op for t, op in sleep_set.items() if not any(_dependent(op, one) for one in blocked)}


def _dependent(one: Op, other: Op) -> bool:
    """Whether two operations conflict, or one releases the lock that the other acquires."""
    return one[1] == other[1] and (conflict(one, other) or (one[0], other[0]) in _RELEASES)

# SPDX-License-Identifier: GPL-2.0-only
"""A small Subject: threads that read, write, lock and wait on numbered objects; and a strategy for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from hypothesis import strategies as st

from conformance.races.subject import Access, Execution, Op

READ, WRITE, RMW, LOCK, LOCK_SHARED, UNLOCK, WAIT, MARK = range(8)


class Toy:
    """Threads given as lists of accesses. The final state holds what each thread read.

    A WRITE stores a number that no other access stores; a WAIT blocks while the object's lock is held; a
    MARK is an event.
    """

    def __init__(self, *programs: Sequence[Op]) -> None:
        self.programs = programs
        self.threads = [f"thread{n}" for n in range(len(programs))]
        self.advances = 0

    def begin(self, choices: Sequence[int] = ()) -> None:
        self.at = [0] * len(self.programs)
        self.memory: dict[int, int] = {}
        self.holders: dict[int, list[tuple[int, int]]] = {}
        self.seen: list[list[int]] = [[] for _ in self.programs]
        self.events: list[tuple[object, ...]] = []
        for thread in choices:
            self.advance(thread)

    def pending(self, thread: int) -> Op | None:
        program = self.programs[thread]
        return program[self.at[thread]] if self.at[thread] < len(program) else None

    def enabled(self, thread: int) -> bool:
        op = self.pending(thread)
        if op is None:
            return False
        held = self.holders.get(op[1], [])
        if op[0] in (LOCK, WAIT):
            return not held
        return op[0] != LOCK_SHARED or all(kind == LOCK_SHARED for kind, _ in held)

    def advance(self, thread: int) -> None:
        kind, name = self.programs[thread][self.at[thread]]
        self.advances += 1
        new = 1 + thread * 100 + self.at[thread]
        if kind in (READ, RMW):
            self.seen[thread].append(self.memory.get(name, 0))
        if kind in (WRITE, RMW):
            self.memory[name] = new
        if kind in (LOCK, LOCK_SHARED):
            self.holders.setdefault(name, []).append((kind, thread))
        if kind == UNLOCK:
            self.holders[name] = [one for one in self.holders[name] if one[1] != thread]
        if kind == MARK:
            self.events.append(("mark", thread, self.memory.get(name, 0)))
        self.at[thread] += 1

    def name(self, thread: int) -> str:
        op = self.pending(thread)
        return "ends" if op is None else f"{Access.NAMES[op[0]].lower()} {op[1]}"

    def finish(self) -> Execution:
        deadlocked = tuple(self.threads[t] for t in range(len(self.threads)) if self.pending(t) is not None)
        state = ("state", *map(tuple, self.seen), tuple(sorted(self.memory.items())))
        return Execution(events=(*self.events, state), deadlocked=deadlocked)

    def spte(self, thread: int) -> None:
        return None

    def peek(self, name: int) -> int:
        return self.memory.get(name, 0)


def by_force(toy: Toy, most: int = 1 << 30) -> Iterator[Execution]:
    """Every schedule with at most ``most`` preemptions, equivalent ones included."""
    waiting: list[tuple[list[int], int]] = [([], most)]
    while waiting:
        choices, left = waiting.pop()
        toy.begin()
        for thread in choices:
            toy.advance(thread)
        enabled = [t for t in range(len(toy.threads)) if toy.enabled(t)]
        if not enabled:
            yield toy.finish()
        for thread in enabled:
            preempts = bool(choices) and choices[-1] != thread and choices[-1] in enabled
            if preempts <= left:
                waiting.append(([*choices, thread], left - preempts))


def state(execution: Execution) -> tuple[object, ...]:
    """What every thread read, followed by the contents of memory."""
    return execution.events[-1][1:]


def seen(executions: Iterable[Execution]) -> set[tuple[object, ...]]:
    """The final states, without the order of events, which the threads cannot observe."""
    return {
        (state(execution), execution.deadlocked, frozenset(execution.events[:-1])) for execution in executions
    }


def _plain(most: int) -> st.SearchStrategy[list[Op]]:
    return st.lists(
        st.tuples(st.sampled_from([READ, WRITE, RMW, MARK]), st.sampled_from([1, 2])), max_size=most
    )


@st.composite
def _program(draw: st.DrawFn) -> list[Op]:
    """Accesses, some of them inside locks; nested locks are taken in either order."""
    steps = draw(_plain(3))
    if draw(st.booleans()):
        lock, other = draw(st.permutations([8, 9]))
        taking = st.sampled_from([LOCK, LOCK_SHARED])
        inside = draw(_plain(3))
        if draw(st.integers(0, 3)) == 0:
            inside = [*inside, (draw(taking), other), *draw(_plain(1)), (UNLOCK, other)]
        steps = [*steps, (draw(taking), lock), *inside, (UNLOCK, lock)]
    elif draw(st.booleans()):
        steps = [*steps, (WAIT, draw(st.sampled_from([8, 9]))), *draw(_plain(1))]
    return steps


def programs(accesses: int) -> st.SearchStrategy[list[list[Op]]]:
    """Two or three threads with at most ``accesses`` accesses in total."""
    interactions = st.lists(_program(), min_size=2, max_size=3)
    return interactions.filter(lambda programs: sum(map(len, programs)) <= accesses)

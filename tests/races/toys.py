# SPDX-License-Identifier: GPL-2.0-only
"""A subject of a few lines: threads that read, write, lock and wait, on numbered objects; and drawn ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from hypothesis import strategies as st

from conformance.races.subject import Access, Ending, Op

READ, WRITE, RMW, LOCK, LOCK_SHARED, UNLOCK, WAIT, MARK = Access


class Toy:
    """Threads given as lists of accesses. What each one read is what is seen in the end.

    A WRITE stores a number that no other stores; a WAIT waits until nobody holds the object's lock; a MARK
    is an event.
    """

    def __init__(self, *programs: Sequence[Op]) -> None:
        self.programs = programs
        self.threads = [f"thread{n}" for n in range(len(programs))]
        self.advances = 0

    def begin(self) -> None:
        self.at = [0] * len(self.programs)
        self.memory: dict[int, int] = {}
        self.holders: dict[int, list[tuple[int, int]]] = {}
        self.seen: list[list[int]] = [[] for _ in self.programs]
        self.events: list[tuple[object, ...]] = []

    def pending(self, thread: int) -> Op | None:
        program = self.programs[thread]
        return program[self.at[thread]] if self.at[thread] < len(program) else None

    def ready(self, thread: int) -> bool:
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
        return "ends" if op is None else f"{Access(op[0]).name.lower()} {op[1]}"

    def finish(self) -> Ending:
        stuck = tuple(self.threads[t] for t in range(len(self.threads)) if self.pending(t) is not None)
        state = ("state", *map(tuple, self.seen), tuple(sorted(self.memory.items())))
        return Ending(events=(*self.events, state), stuck=stuck)

    def spte(self, thread: int) -> None:
        return None

    def peek(self, name: int) -> int:
        return self.memory.get(name, 0)


def by_force(toy: Toy, most: int = 1 << 30) -> Iterator[Ending]:
    """Every schedule with at most so many preemptions, whether anybody could tell it from others or not."""
    waiting: list[tuple[list[int], int]] = [([], most)]
    while waiting:
        choices, left = waiting.pop()
        toy.begin()
        for thread in choices:
            toy.advance(thread)
        ready = [t for t in range(len(toy.threads)) if toy.ready(t)]
        if not ready:
            yield toy.finish()
        for thread in ready:
            preempts = bool(choices) and choices[-1] != thread and choices[-1] in ready
            if preempts <= left:
                waiting.append(([*choices, thread], left - preempts))


def state(ending: Ending) -> tuple[object, ...]:
    """What every thread read, and last what was in memory."""
    return ending.events[-1][1:]


def seen(endings: Iterable[Ending]) -> set[tuple[object, ...]]:
    """The ends. Of events that follow each other unnoticed by the threads, one order stands for all."""
    return {(state(ending), ending.stuck, frozenset(ending.events[:-1])) for ending in endings}


def _plain(most: int) -> st.SearchStrategy[list[Op]]:
    return st.lists(
        st.tuples(st.sampled_from([READ, WRITE, RMW, MARK]), st.sampled_from([1, 2])), max_size=most
    )


@st.composite
def _program(draw: st.DrawFn) -> list[Op]:
    """Accesses, some of them inside locks, in the order in which locks are taken everywhere or not."""
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
    """Two or three threads with so many accesses at most."""
    drawn = st.lists(_program(), min_size=2, max_size=3)
    return drawn.filter(lambda programs: sum(map(len, programs)) <= accesses)

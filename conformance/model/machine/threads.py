# SPDX-License-Identifier: GPL-2.0-only
"""Threads: several lists of steps taken at a time, each stopped before every access to shared memory.

A thread is a greenlet: it announces what it is going to touch and stands still until whoever explores has it go on.
So every interleaving can be had, and each exactly, as often as one likes. Memory is sequentially consistent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from greenlet import getcurrent, greenlet

from conformance.model.changes import CHANGE_PTE_WRAPPED
from conformance.model.machine.machine import Machine
from conformance.model.machine.naming import name_of_point, spte_at
from conformance.model.machine.observation import observe
from conformance.model.machine.points import UseAfterFree, points
from conformance.model.machine.snapshot import Snapshot
from conformance.model.machine.steps import take_step
from conformance.model.machine.vm import Marks
from conformance.model.modes import Mode
from conformance.model.profiles import Profile

__all__ = ["Ending", "RacingMachine", "Steps"]

Steps = Sequence[tuple[str, Mapping[str, int]]]

SERIALS = 1 << 12
"""How many tables a thread may make."""


@dataclass(frozen=True)
class Ending:
    """What came of a schedule: ``events`` in order, and what is to be seen after the closing steps.

    ``outcomes`` are those of the closing steps, ``dirty`` and ``accessed`` the frames that KVM has told the
    host of, ``complaints`` its WARNs and BUGs, and uses of freed tables.
    """

    events: list[tuple[Any, ...]]
    outcomes: list[list[int]]
    observation: dict[str, Any]
    dirty: frozenset[int]
    accessed: frozenset[int]
    complaints: tuple[str, ...]


class RacingThread(greenlet):
    """One thread, from its first step to its last."""

    def __init__(self, race: RacingMachine, number: int) -> None:
        super().__init__()
        self.race, self.number = race, number
        self.pending: tuple[int, int] | None = None
        self.condition: Callable[[], bool] | None = None
        self.obstacle: tuple[int, Callable[[], bool]] | None = None
        self.serial = race.first_serial + number * SERIALS

    def run(self) -> None:
        """Take the steps; whatever goes wrong ends the thread with a complaint."""
        race = self.race
        vm, name = race.vm, race.threads[self.number]
        for step, arguments, text in race.steps[self.number]:
            try:
                outcome = take_step(vm, step, arguments)
            except UseAfterFree as error:
                race.crashes.append(f"MEMORY {error}")
                break
            race.events.append(("step", name, f"{text}: {' '.join(map(str, outcome))}"))
        self.pending = None

    def new_serial(self) -> int:
        """A number for a table, the same in every schedule."""
        self.serial += 1
        return self.serial

    def alone(self) -> bool:
        """Whether all other threads have ended."""
        return all(thread is self or thread.pending is None for thread in self.race.running)


class RacingMachine:
    """The race of ``threads``, of a kernel with ``profile`` on the host of ``mode``.

    ``setup`` is done once, one step after the other, and ``closing`` at the end of each schedule. begin() puts
    every thread at its first point; then advance() has one do what it has announced, if it is ready().
    """

    def __init__(
        self,
        profile: Profile,
        mode: Mode,
        options: Mapping[str, int],
        *,
        setup: Steps = (),
        threads: Mapping[str, Steps],
        closing: Steps = (),
    ) -> None:
        self.threads = tuple(threads)
        self.steps = [
            [(step, dict(given), _text(step, given)) for step, given in threads[t]] for t in threads
        ]
        self.closing = [(step, dict(given)) for step, given in closing]
        self.events: list[tuple[Any, ...]] = []
        self.crashes: list[str] = []
        self.running: list[RacingThread] = []
        machine = Machine(profile, mode, **options)
        vm = self.vm = machine.vm
        vm.marks = Marks()
        vm.caches_upper_levels = True
        vm.host.wraps_change_pte = not vm.k.lacks(CHANGE_PTE_WRAPPED)
        points.on, points.events = False, None
        for step, given in setup:
            machine.step(step, **given)
        vm.k.events.clear()
        if vm.reader is not None:
            raise ValueError("no reader can be left in the tables where threads race")
        self._prepare()

    def _prepare(self) -> None:
        """Find out what can be raced for, so that nothing else is announced, and note the state."""
        vm = self.vm
        names = {step for steps in self.steps for step, _, _ in steps}
        vm.memory.rcu.waited_for = "grace_period" in names
        vm.srcu.waited_for = "set_memory_region" in names
        taken = [(step, given) for steps in self.steps for step, given, _ in steps] + self.closing
        self.watched = frozenset(given["gfn"] for step, given in taken if step == "access")
        points.watched = self.watched
        for table in vm.memory.by_serial.values():
            table.watched = points.watched_indexes(table.gfn, table.level)
        self.first_serial = vm.memory.last_serial + 1
        vm.memory.last_serial += 1 + SERIALS * len(self.threads)
        self._state = Snapshot(vm)

    def begin(self) -> None:
        """Go back to the state after the setup, with every thread at its first point."""
        points.on = False
        self.running = []
        self._state.restore()
        self.vm.k.events.clear()
        self.events, self.crashes = [], []
        points.events, points.watched, points.hub = self.events, self.watched, getcurrent()
        self.running = [RacingThread(self, number) for number in range(len(self.threads))]
        for number in range(len(self.threads)):
            self._run(number)

    def pending(self, t: int) -> tuple[int, int] | None:
        """What thread ``t`` is going to do, as (kind, place); None if it has ended."""
        return self.running[t].pending

    def ready(self, t: int) -> bool:
        """Whether it can: not if it has ended, or has to wait for a lock or for others."""
        thread = self.running[t]
        if thread.pending is None:
            return False
        return thread.condition is None or thread.condition()

    def advance(self, t: int) -> None:
        """Have it do so, and run to its next point."""
        if not self.ready(t):
            raise ValueError(f"{self.threads[t]} cannot go on")
        self._run(t)

    def _run(self, t: int) -> None:
        thread = self.running[t]
        points.thread, points.events, points.watched = thread, self.events, self.watched
        points.on = True
        try:
            thread.switch()
        finally:
            points.on = False

    def name(self, t: int) -> str:
        """That in words, with the function that is going to do it."""
        thread = self.running[t]
        if thread.pending is None:
            return f"{self.threads[t]}: has ended"
        return f"{self.threads[t]}: {name_of_point(self.vm, thread.gr_frame, thread.pending)}"

    def spte(self, t: int) -> tuple[int, int, int] | None:
        """Level, gfn and value of the SPTE that it is going to touch, if it is one."""
        pending = self.running[t].pending
        return spte_at(self.vm, pending[1]) if pending is not None else None

    def finish(self) -> Ending:
        """Take the closing steps, and see what has become of the machine."""
        points.events = self.events
        outcomes = [take_step(self.vm, step, given) for step, given in self.closing]
        points.events = None
        vm = self.vm
        assert vm.marks is not None
        told = [event for event, truth in vm.k.events if truth and event.startswith(("WARN ", "BUG "))]
        return Ending(
            events=self.events,
            outcomes=outcomes,
            observation=observe(vm, [], told),
            dirty=frozenset(vm.marks.dirty),
            accessed=frozenset(vm.marks.accessed),
            complaints=(*told, *self.crashes),
        )


def _text(step: str, given: Mapping[str, int]) -> str:
    """The step as people read it."""
    arguments = (f"{name}={value:#x}" if value > 9 else f"{name}={value}" for name, value in given.items())
    return " ".join((step, *arguments))

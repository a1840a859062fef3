# SPDX-License-Identifier: GPL-2.0-only
"""Threads: lists of steps that run concurrently, each stopped before every access to shared memory.

A thread is a greenlet. It announces its next access and stops until the explorer resumes it, so that every
interleaving can be run, and reproduced exactly. Memory is sequentially consistent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from greenlet import getcurrent, greenlet

from conformance.interface.observation import Observation
from conformance.model.changes import CHANGE_PTE_WRAPPED, NO_PFN_DIRTY
from conformance.model.layout import PAGE_SHIFT
from conformance.model.machine.machine import Machine
from conformance.model.machine.observation import observe
from conformance.model.machine.step_table import take_step
from conformance.model.machine.stepped_vm import SteppedVm
from conformance.model.modes import Mode
from conformance.model.profiles import Profile
from conformance.model.vm.host_pages import PageFlags
from conformance.model.vm.mmu_pages import UseAfterFree
from conformance.model.vm.scheduler import current, installed
from conformance.races.model.naming import name_of_point, spte_at
from conformance.races.model.remembering import remembering_make_spte
from conformance.races.model.saved_states import SavedStates, State
from conformance.races.model.scheduler import Event, EventLog, RacingScheduler
from conformance.races.model.snapshot import Snapshot

__all__ = ["Ending", "RacingMachine", "Steps"]

Steps = Sequence[tuple[str, Mapping[str, int]]]
TakenSteps = Sequence[tuple[str, dict[str, int], str]]
"""Steps with their texts."""

SERIALS = 1 << 12
"""How many tables a thread may make."""


@dataclass(frozen=True)
class Ending:
    """The result of a schedule: its ``events`` in order, and the state after the closing steps.

    ``outcomes`` are those of the closing steps, ``dirty`` and ``accessed`` the frames that KVM reported to
    the host, ``complaints`` its WARNs and BUGs, and uses of freed tables. ``observe()`` returns the
    observation; it is valid until the next schedule begins.
    """

    events: list[Event]
    outcomes: list[list[int]]
    observe: Callable[[], Observation] = field(compare=False, repr=False)
    dirty: frozenset[int]
    accessed: frozenset[int]
    complaints: tuple[str, ...]

    @property
    def observation(self) -> Observation:
        """What observe() returns."""
        return self.observe()


class RacingThread(greenlet):
    """One thread, from its first step to its last."""

    def __init__(self, race: RacingMachine, number: int) -> None:
        super().__init__()
        self.race, self.number, self.name = race, number, race.threads[number]
        self.pending: tuple[int, int] | None = None
        self.condition: Callable[[], bool] | None = None
        self.obstacle: tuple[int, Callable[[], bool]] | None = None
        self.serial = self.step = 0
        self.fresh = True
        """Whether the thread has performed no access of its step yet."""

    def run(self) -> None:
        """Take the steps, schedule after schedule."""
        while True:
            self.take_steps()
            self.pending = None
            self.race.hub.switch()

    def begin(self, step: int, serial: int) -> None:
        """Reset the thread to before a step. ``serial`` is the number of the last table that it made."""
        self.condition = self.obstacle = self.pending = None
        self.step, self.serial, self.fresh = step, serial, True

    @property
    def over(self) -> bool:
        """Whether all steps were taken."""
        return self.step == len(self.race.steps[self.number])

    def take_steps(self) -> None:
        """Take the steps that are left; a use of what was freed ends the thread with a complaint."""
        race, steps = self.race, self.race.steps[self.number]
        while not self.over:
            step, arguments, text = steps[self.step]
            self.fresh = True
            try:
                outcome = race.take(step, arguments)
            except UseAfterFree as error:
                race.crashes.append(f"MEMORY {error}")
                self.step = len(steps)
                return
            race.events.append(("step", self.name, f"{text}: {outcome}"))
            self.step += 1
            race.between_steps(self)

    def new_serial(self) -> int:
        """A number for a table, the same in every schedule."""
        self.serial += 1
        return self.serial

    def alone(self) -> bool:
        """Whether all other threads have ended."""
        return all(thread is self or thread.pending is None for thread in self.race.running)


class RacingMachine:
    """The race of ``threads`` after a ``setup``, of a kernel with ``profile`` on the host of ``mode``.

    The steps of ``setup`` run once, in order; those of ``closing`` run after each schedule. begin() runs
    every thread to its first access; advance() lets one perform the access that it announced, if ready().
    ``early`` are the observations of the setup's steps.
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
            [(step, dict(given), text_of(step, given)) for step, given in steps] for steps in threads.values()
        ]
        self.closing = [(step, dict(given), text_of(step, given)) for step, given in closing]
        self._idle = current.scheduler
        self.crashes: list[str] = []
        self.running: list[RacingThread] = []
        self._replayed: tuple[int, ...] | None = None
        """The threads up to the access at which the running one stops, while a schedule is run again."""
        self.hub = getcurrent()
        machine = Machine(profile, mode, **options)
        vm = self.vm = machine.vm
        self.k, self.memory = vm.k, vm.memory
        vm.exits_after_each_instruction = True
        vm.make_spte = remembering_make_spte()
        for vcpu in vm.vcpus:
            vcpu.caches_upper_levels = True
        vm.host.wraps_change_pte = vm.k.has(CHANGE_PTE_WRAPPED)
        self.early = [machine.step(step, **given) for step, given in setup]
        if vm.reader is not None:
            raise ValueError("no reader can be left in the tables where threads race")
        if not vm.k.has(NO_PFN_DIRTY):
            # Dirty and accessed frames of the setup do not count.
            vm.host.flags = PageFlags()
        self.scheduler = scheduler_for(vm, [*self.steps, self.closing])
        self._note_state()

    @property
    def events(self) -> list[Event]:
        """The events of the schedule so far."""
        return self.scheduler.events

    def take(self, step: str, given: dict[str, int]) -> list[int]:
        """Take one step of the machine's."""
        return [*map(int, take_step(self.vm, step, given))]

    def observe(self) -> Observation:
        """The observation of the machine."""
        return observe(self.vm, [], [])

    def _note_state(self) -> None:
        """Save the state after the setup, to which begin() returns."""
        self.k.events.clear()
        for table in self.memory.by_serial.values():
            table.watched = self.scheduler.watched(table)
        first_serial = self.memory.last_serial + 1
        self.memory.last_serial += 1 + SERIALS * len(self.threads)
        positions = [(0, first_serial + number * SERIALS) for number in range(len(self.threads))]
        self._saved = SavedStates(State(Snapshot(self.vm), positions, [], [], []))

    def begin(self, choices: Sequence[int] = ()) -> None:
        """Restore the state after the setup, run every thread to its first access, then run ``choices``."""
        known = tuple(choices)
        end, state = self._saved.latest(known)
        self._restore(state)
        for thread, run in groupby(known[end:]):
            count = len([*run])
            end += count
            self._replayed = known[:end]
            self.scheduler.ahead = count - 1
            self.advance(thread)
        self._replayed = None

    def _restore(self, state: State) -> None:
        """Go back to a state, and run every thread to its next access."""
        state.of_vm.restore()
        self.k.events[:] = state.complaints
        self.crashes = [*state.crashes]
        self.hub = getcurrent()
        self.scheduler.begin(self.hub.switch, state.events)
        # A thread that was stopped in the middle of its steps cannot be restarted.
        self.running = [
            thread if thread.pending is None else RacingThread(self, thread.number) for thread in self.running
        ] or [RacingThread(self, number) for number in range(len(self.threads))]
        for thread, (step, serial) in zip(self.running, state.positions, strict=True):
            thread.begin(step, serial)
        for number, thread in enumerate(self.running):
            if not thread.over:
                self.advance(number)

    def between_steps(self, thread: RacingThread) -> None:
        """Have the state saved if a schedule is run again, and all other threads are between steps, too."""
        others = (one for one in self.running if one is not thread)
        if self._replayed is not None and all(one.fresh or one.over for one in others):
            self._saved.reached(self._replayed[: len(self._replayed) - self.scheduler.ahead], self._state)

    def _state(self) -> State:
        """The state now."""
        positions = [(one.step, one.serial) for one in self.running]
        return State(Snapshot(self.vm), positions, [*self.events], [*self.k.events], [*self.crashes])

    def pending(self, t: int) -> tuple[int, int] | None:
        """The access that thread ``t`` performs next, as (kind, place); None if it has ended."""
        return self.running[t].pending

    def ready(self, t: int) -> bool:
        """Whether thread ``t`` can run: it has not ended, and waits for no lock or other thread."""
        thread = self.running[t]
        if thread.pending is None:
            return False
        return thread.condition is None or thread.condition()

    def advance(self, t: int) -> None:
        """Let thread ``t`` perform its access and run to the next. Only one race is explored at a time."""
        thread = self.running[t]
        thread.fresh = False
        self.scheduler.thread = thread
        current.scheduler = self.scheduler
        try:
            thread.switch()
        finally:
            current.scheduler = self._idle

    def name(self, t: int) -> str:
        """The next access of thread ``t`` as text, with the function that performs it."""
        thread = self.running[t]
        if thread.pending is None:
            return f"{self.threads[t]}: has ended"
        return f"{self.threads[t]}: {name_of_point(self.memory, thread.gr_frame, thread.pending)}"

    def spte(self, t: int) -> tuple[int, int, int] | None:
        """Level, gfn and value of the SPTE that thread ``t`` accesses next; None if it accesses no SPTE."""
        pending = self.running[t].pending
        return spte_at(self.memory, pending[1]) if pending is not None else None

    def peek(self, where: int) -> int:
        """The value of the SPTE at a place; 0 if no SPTE is there."""
        found = spte_at(self.memory, where)
        return found[2] if found is not None else 0

    def _close(self, step: str, given: dict[str, int], text: str) -> list[int]:
        """Take a closing step."""
        outcome = self.take(step, given)
        self.events.append(("step", "closing", f"{text}: {outcome}"))
        return outcome

    def finish(self) -> Ending:
        """Take the closing steps if all threads have ended, and return the result of the schedule."""
        ended = all(thread.pending is None for thread in self.running)
        with installed(EventLog(self.scheduler.events)):
            outcomes = [self._close(*step) for step in self.closing] if ended else []
        complaints = [
            event for event, truth in self.k.events if truth and event.startswith(("WARN ", "BUG "))
        ]
        flags = self.vm.host.flags
        return Ending(
            events=self.scheduler.events,
            outcomes=outcomes,
            observe=self.observe,
            dirty=frozenset(flags.dirty),
            accessed=frozenset(flags.accessed),
            complaints=(*complaints, *self.crashes),
        )


def scheduler_for(vm: SteppedVm, threads: Sequence[TakenSteps]) -> RacingScheduler:
    """The scheduler of threads, the last of which are the closing steps."""
    # Read-side sections that no thread waits for are not announced.
    names = {step for steps in threads[:-1] for step, _, _ in steps}
    waits = {vm.memory.rcu.name: "grace_period", vm.srcu.name: "set_memory_region"}
    waited_for = frozenset(name for name, step in waits.items() if step in names)
    taken = [(step, given) for steps in threads for step, given, _ in steps]
    gfns = {given["gfn"] for step, given in taken if step == "access"}
    pages = {given["address"] >> PAGE_SHIFT for step, given in taken if step == "execute"}
    return RacingScheduler(frozenset(gfns | pages), not pages, waited_for)


def text_of(step: str, given: Mapping[str, int]) -> str:
    """The step as people read it."""
    return " ".join((step, *(f"{name}={value:#x}" for name, value in given.items())))

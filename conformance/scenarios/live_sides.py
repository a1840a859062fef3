# SPDX-License-Identifier: GPL-2.0-only
"""A live kernel and the model, side by side: both show what a live kernel lets be observed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property

from conformance.errors import KernelCodeDied
from conformance.interface.access import End
from conformance.interface.live import (
    CR0_ET,
    HOST_STEPS,
    NOT_LIVE,
    PAGING_STEPS,
    STUB_GFN,
    WRITTEN_REGISTERS,
    live_place,
    processor_lacks,
)
from conformance.interface.observation import MemoryWord, Observation, ShadowView
from conformance.model.changes import FLUSH_BY_RANGE_WITH_HYPERV
from conformance.model.layout import SPTE_BASE_ADDR_MASK
from conformance.model.machine import KernelBug
from conformance.model.machine import Machine as ModelMachine
from conformance.model.modes import Mode, kernel_in
from conformance.model.profiles import Profile
from conformance.model.semantics import Semantics
from conformance.oracles.live.booted import Booted
from conformance.oracles.live.deaths import LiveDied
from conformance.oracles.live.emulator import CannotTake
from conformance.oracles.live.machine import LiveMachine
from conformance.oracles.live.memory import Unreadable
from conformance.scenarios.comparing import Death, Incomparable
from conformance.scenarios.live_frames import with_frames_of
from conformance.scenarios.machines import Machine
from conformance.scenarios.story import Script

__all__ = ["UNOBSERVED", "LiveSides", "why_not_live"]

ORACLE = "live"

_X2M = 512
"""Pages of 2 MiB."""
_PG = 1 << 31

UNOBSERVED = frozenset({"cached", "retired", "leaks"})
"""What a live kernel does not show: processors' TLBs, tables awaiting RCU, memory that was not freed."""

_WITHOUT_OUTCOME = {"destroy", "grace_period"}
"""Steps whose outcome is of that kind."""


def why_not_live(script: Script) -> str:
    """Why a script cannot be played on a live kernel; "" if it can."""
    found: dict[str, list[str]] = {}
    for kind in dict.fromkeys(step.kind for step in script.steps):
        if kind in NOT_LIVE:
            found.setdefault(NOT_LIVE[kind], []).append(kind)
    reasons = [f"{reason} ({', '.join(kinds)})" for reason, kinds in found.items()]
    of_processor = (processor_lacks(step.kind, step.arguments) for step in script.steps)
    reasons += dict.fromkeys(filter(None, of_processor))
    kinds = {step.kind for step in script.steps}
    if "set_nr_mmu_pages" in kinds and kinds & PAGING_STEPS:
        reasons.append("the guest's own code needs shadow pages too (set_nr_mmu_pages)")
    if _splits_large_areas(script):
        reasons.append("the host invalidates 2 MiB around a page that it treats apart in a large area")
    if not _has_tables(script):
        reasons.append("the guest's own code cannot be mapped without a root table in memory")
    if not all(live_place(step.arguments) for step in script.steps):
        reasons.append(f"the guest's own memory lies at gfn {STUB_GFN:#x}")
    return "; ".join(reasons)


def _splits_large_areas(script: Script) -> bool:
    """Whether the host has to split an area where a huge page could be, to treat a part apart."""
    areas: list[range] = []
    for step in script.steps:
        page, npages = step.arguments.get("page", 0), step.arguments.get("npages", 1)
        if step.kind == "mmap":
            areas.append(range(page, page + npages))
        if step.kind in {"wrprotect", "ksm_merge"}:
            for bound in (page, page + npages):
                first = bound - bound % _X2M
                if first != bound and any(a.start <= first and first + _X2M <= a.stop for a in areas):
                    return True
    return False


def _has_tables(script: Script) -> bool:
    """Whether a memslot has the root table of each guest that pages."""
    slots: dict[tuple[int, int], range] = {}
    for step in script.steps:
        given = step.arguments
        if step.kind == "set_memory_region":
            slots[given["as_id"], given["slot"]] = range(given["gfn"], given["gfn"] + given["npages"])
        if step.kind == "set_sregs" and given["cr0"] & _PG:
            root = (given["cr3"] & SPTE_BASE_ADDR_MASK) >> 12
            if not any(root in gfns for (as_id, _), gfns in slots.items() if not as_id):
                return False
    return True


@dataclass
class LiveSides:
    """A booted kernel, and the model with the same profile. A context manager, which ends the machine.

    ``boot`` boots the kernel: when a VM is first needed, and again after the machine has died.
    """

    profile: Profile
    mode: Mode
    boot: Callable[[], Booted]
    oracle: str = ORACLE
    unobserved: frozenset[str] = UNOBSERVED
    _booted: Booted | None = None
    _model: Observation | None = field(default=None, init=False)
    """The model's observation after the step that the kernel takes next."""

    def __enter__(self) -> LiveSides:
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()

    def end(self) -> None:
        """End the machine."""
        booted, self._booted = self._booted, None
        if booted is not None:
            booted.close()

    @cached_property
    def k(self) -> Semantics:
        """The masks of this kernel in this mode, for reading SPTEs."""
        return kernel_in(self.mode, self.profile)

    def booted(self) -> Booted:
        """The machine, booted now if it does not run. Raises ConformanceError, Lacking, Death."""
        if self._booted is None:
            try:
                self._booted = self.boot()
            except LiveDied as died:
                raise _death(died) from died
        return self._booted

    @property
    def cannot(self) -> frozenset[str]:
        """The kinds of steps that this machine cannot be made to take, besides NOT_LIVE."""
        return frozenset(() if self.booted().damon.there else ("clear_young",))

    @contextmanager
    def kernel(self, options: dict[str, int]) -> Iterator[Machine]:
        """A VM in the live kernel."""
        booted = self.booted()
        try:
            with LiveMachine(booted, options, initial=self.k.layout.nonpresent_value) as machine:
                yield _KernelSide(machine, self)
        except (LiveDied, Unreadable) as died:
            raise self.died(died) from died

    def model(self, options: dict[str, int]) -> Machine:
        """A VM on the model, whose host offers no flush by range, as it runs under no Hyper-V.

        The agent's guest halts after each instruction.
        """
        profile = self.profile.plus(FLUSH_BY_RANGE_WITH_HYPERV)
        machine = ModelMachine(profile, self.mode, **options)
        machine.vm.exits_after_each_instruction = True
        return _ModelSide(machine, self)

    def died(self, how: LiveDied | Unreadable) -> Death:
        """The death of the machine, which is ended: the next VM gets another one."""
        with suppress(KernelCodeDied):
            self.end()
        return _death(how)

    def predicted(self, observation: Observation) -> None:
        """Note the model's observation."""
        self._model = observation

    def compared(self, step: str, observation: Observation) -> Observation:
        """The kernel's observation, with the model's numbers of frames.

        It has the model's outcome of a step of the host, whose codes are no answers of KVM. Raises
        Incomparable if only one of the two hosts has done such a step.
        """
        if self._model is None:
            return observation
        if step in HOST_STEPS:
            live, expected = observation.outcome[0], self._model.outcome[0]
            if (live < 0) != (expected < 0):
                raise Incomparable(f"{step} returned {live} on the host of the live kernel")
            observation = observation._replace(outcome=self._model.outcome)
        return with_frames_of(self._model, observation)


def _death(how: LiveDied | Unreadable) -> Death:
    if isinstance(how, LiveDied):
        return Death(how.how, hung=how.hung, console=how.console)
    return Death(f"has structures in its memory that cannot be read: {how}")


def _shown(shadow: ShadowView | None, own_tables: bool) -> ShadowView | None:
    """The state of shadow paging without what a live kernel does not show of it.

    Unless the guest's tables are those of the story, control registers are those of its own code. The limit
    of shadow pages depends on the size of all memslots, its own among them.
    """
    if shadow is None:
        return None
    vcpus = [vcpu._replace(cr0=vcpu.cr0 & ~CR0_ET, tlb=()) for vcpu in shadow.vcpus]
    if not own_tables:
        vcpus = [vcpu._replace(cr0=0, cr3=0, cr4=0, efer=0) for vcpu in vcpus]
    return shadow._replace(counters=shadow.counters._replace(n_max_mmu_pages=0), vcpus=vcpus)


def _is_exception(name: str, outcome: list[int]) -> bool:
    """Whether the guest has to take an exception."""
    if name == "execute":
        return outcome[-4] == End.EXCEPTION
    return name in WRITTEN_REGISTERS and outcome == [1]


def _without_translation(outcome: list[int]) -> list[int]:
    """The outcome of an instruction without level and frame of the translation by which it completed."""
    exits, (end, *words) = outcome[:-4], outcome[-4:]
    return [*exits, end, 0, 0, words[2]] if end == End.DONE else outcome


class _ModelSide:
    """The model's machine, without what a live kernel does not show."""

    def __init__(self, machine: ModelMachine, sides: LiveSides) -> None:
        self._machine = machine
        self._sides = sides
        self._fresh = True

    def step(self, name: str, /, **arguments: int) -> Observation:
        if self._fresh:
            # The memslots of the guest's own memory came before.
            self._machine.step("set_generation", value=self._sides.booted().generation)
            self._fresh = False
        try:
            if name in WRITTEN_REGISTERS:
                # The guest that executes the instruction has entered.
                before = self._machine.step("enter", vcpu=arguments["vcpu"]).events
            else:
                before = []
            seen = self._machine.step(name, **arguments)
            seen = seen._replace(events=[*before, *seen.events])
            if _is_exception(name, seen.outcome):
                # The guest has entered, to take it.
                entered = self._machine.step("enter", vcpu=arguments["vcpu"])
                seen = entered._replace(outcome=seen.outcome, events=[*seen.events, *entered.events])
        except KernelBug as bug:
            raise Death(str(bug)) from bug
        if name in _WITHOUT_OUTCOME:
            seen = seen._replace(outcome=[])
        elif name == "execute":
            seen = seen._replace(outcome=_without_translation(seen.outcome))
        own_tables = not self._sides.mode.tdp
        shown = seen._replace(
            vcpus=[vcpu._replace(flushes=0) for vcpu in seen.vcpus],
            slots=[*seen.slots],
            roots=[*seen.roots],
            tlb=(),
            retired=(),
            memory=self._memory(seen.memory) if own_tables else (),
            shadow=_shown(seen.shadow, own_tables),
        )
        self._sides.predicted(shown)
        return shown

    def _memory(self, words: Sequence[MemoryWord]) -> Sequence[MemoryWord]:
        """The words of pages that the process has still."""
        host = self._machine.vm.host
        return tuple(word for word in words if host.has_mapped(word.pfn))


class _KernelSide:
    """The live machine; its death is a Death."""

    def __init__(self, machine: LiveMachine, sides: LiveSides) -> None:
        self._machine = machine
        self._sides = sides

    def step(self, name: str, /, **arguments: int) -> Observation:
        try:
            return self._sides.compared(name, self._machine.step(name, **arguments))
        except CannotTake as why:
            raise Incomparable(f"{why} ({name})") from None
        except (LiveDied, Unreadable) as died:
            raise self._sides.died(died) from died

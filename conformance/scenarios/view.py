# SPDX-License-Identifier: GPL-2.0-only
"""What claims are written in: an observation of a VM in the terms of the MMU."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property

from conformance.interface.access import End
from conformance.interface.observation import (
    Observation,
    RetiredTable,
    RootView,
    ShadowTlbEntry,
    State,
    TableEntry,
    TlbEntry,
)
from conformance.interface.outcomes import (
    AccessOutcome,
    DirtyLog,
    ExecuteOutcome,
    Leaks,
    Position,
    Unmapping,
)
from conformance.model.layout import SPTE_BASE_ADDR_MASK
from conformance.model.semantics import Semantics
from conformance.model.spte.mmio import get_mmio_spte_generation
from conformance.model.spte.predicates import is_frozen_spte, is_mmio_spte, is_shadow_present_pte
from conformance.scenarios.leaf import Leaf
from conformance.scenarios.shadow_state import ShadowState

__all__ = ["Unobserved", "View"]


class Unobserved(Exception):
    """A claim is about something that this side does not show."""


class View:
    """A VM after a step. ``before`` is the same VM a step earlier; None before the first.

    ``unobserved`` are the properties that raise Unobserved.
    """

    def __init__(
        self,
        k: Semantics,
        observation: Observation,
        before: View | None,
        unobserved: Collection[str] = (),
    ) -> None:
        self.k = k
        self.observation = observation
        self._before = before
        self._unobserved = unobserved

    def _observed(self, name: str) -> None:
        if name in self._unobserved:
            raise Unobserved(name)

    @property
    def before(self) -> View:
        """The VM before this step."""
        if self._before is None:
            raise ValueError("there is no observation before the first step")
        return self._before

    # The outcome of the step.

    @property
    def outcome(self) -> list[int]:
        """The integers that the step returned; the properties below name their fields."""
        return list(self.observation.outcome)

    @property
    def exits(self) -> tuple[int, ...]:
        """Of an access: how KVM handled each exit."""
        return AccessOutcome.read(self.outcome).exits

    @property
    def end(self) -> End:
        """Of an access: how it ended."""
        return AccessOutcome.read(self.outcome).end

    @property
    def executed(self) -> ExecuteOutcome:
        """Of execute: the exits, the end and what is known of that."""
        return ExecuteOutcome.read(self.outcome)

    @property
    def handled(self) -> list[int]:
        """Of execute: how KVM handled each exit."""
        return [handled for _, handled in self.executed.exits]

    @property
    def value(self) -> int:
        """Of an execute that completed: the word of memory that was read or written."""
        done = self.executed
        if done.end not in (End.DONE, End.EMULATED):
            raise ValueError(f"the instruction did not complete: {done.end.name}")
        return done.words[2]

    @property
    def exception(self) -> tuple[int, int, int] | None:
        """Of execute: vector, error code and address of the exception that it ended in, None without one."""
        done = self.executed
        return done.words if done.end is End.EXCEPTION else None

    @property
    def exit_to_l1(self) -> tuple[int, int, int] | None:
        """Of execute in L2: error code, address and qualification of the exit to L1 that it ended in."""
        done = self.executed
        return done.words if done.end is End.NESTED_EXIT else None

    @property
    def reader(self) -> Position:
        """Of walk_begin and walk_next: where the lockless reader stands."""
        return Position.read(self.outcome)

    @property
    def unmapping(self) -> Unmapping:
        """Of delete_while_unmapping: what was unmapped meanwhile."""
        return Unmapping.read(self.outcome)

    @property
    def leaks(self) -> Leaks:
        """Of destroy: what was not freed."""
        self._observed("leaks")
        return Leaks.read(self.outcome)

    @property
    def logged(self) -> set[int]:
        """Of a get_dirty_log that succeeded: the offsets of dirty pages in the slot."""
        code, bitmap = DirtyLog.read(self.outcome)
        return _set_bits(bitmap) if code == 0 else set()

    # Page tables.

    @property
    def roots(self) -> list[RootView]:
        """Every root of the TDP MMU, oldest first; without it, those of the direct MMU that vCPUs use."""
        if self.observation.shadow is not None and not self.observation.roots:
            return self.shadow.direct_roots()
        return list(self.observation.roots)

    def valid_roots(self, as_id: int = 0) -> list[RootView]:
        """The roots of an address space that are not invalidated."""
        return [root for root in self.roots if root.as_id == as_id and not root.invalid]

    def entries(self, as_id: int = 0) -> list[TableEntry]:
        """Every entry of the newest valid root that differs from the initial value."""
        found = self.valid_roots(as_id)
        return list(found[-1].entries()) if found else []

    def covering(self, gfn: int, as_id: int = 0) -> list[TableEntry]:
        """The entries on the way to ``gfn``, from the root down."""
        return [entry for entry in self.entries(as_id) if entry.covers(gfn)]

    def leaf(self, gfn: int, as_id: int = 0) -> Leaf | None:
        """The SPTE that maps ``gfn``, None if nothing does."""
        for entry in self.covering(gfn, as_id):
            if not entry.child and is_shadow_present_pte(self.k, entry.spte):
                return Leaf(self.k, entry.level, entry.gfn, entry.spte)
        return None

    def mapped(self, gfn: int, as_id: int = 0) -> Leaf:
        """The SPTE that maps ``gfn``. Raises ValueError if nothing does."""
        found = self.leaf(gfn, as_id)
        if found is None:
            raise ValueError(f"nothing maps gfn {gfn:#x}")
        return found

    def leaves(self, as_id: int = 0) -> list[Leaf]:
        """Every SPTE that maps a page."""
        return [
            Leaf(self.k, entry.level, entry.gfn, entry.spte)
            for entry in self.entries(as_id)
            if not entry.child and is_shadow_present_pte(self.k, entry.spte)
        ]

    def has_table(self, level: int, gfn: int, as_id: int = 0) -> bool:
        """Whether there is a table whose entries are of ``level``, below an entry that covers ``gfn``."""
        return any(entry.child and entry.level == level + 1 for entry in self.covering(gfn, as_id))

    def mmio_generation(self, gfn: int, as_id: int = 0) -> int | None:
        """The generation in the MMIO SPTE of ``gfn``, None if it has none."""
        for entry in self.covering(gfn, as_id):
            if not entry.child and is_mmio_spte(self.k, entry.spte):
                return int(get_mmio_spte_generation(self.k, entry.spte))
        return None

    def is_frozen(self, spte: int) -> bool:
        """Whether the value is that of an entry of a removed table."""
        return bool(is_frozen_spte(self.k, spte))

    @property
    def retired(self) -> list[RetiredTable]:
        """Tables that wait for their grace period."""
        self._observed("retired")
        return list(self.observation.retired)

    # Shadow paging.

    @cached_property
    def shadow(self) -> ShadowState:
        """The state of shadow paging. Raises ValueError where it is not known."""
        view = self.observation.shadow
        if view is None:
            raise ValueError("this VM has no shadow pages")
        before = self._before.observation.shadow if self._before is not None else None
        return ShadowState(self.k, view, before)

    def gpte(self, index: int, gfn: int) -> int:
        """The word number ``index`` of a page of memory that refers to ``gfn``, as an entry of a table does.

        Raises ValueError unless there is exactly one.
        """
        words = [
            word.value
            for word in self.observation.memory
            if word.at == index and (word.value & SPTE_BASE_ADDR_MASK) >> 12 == gfn
        ]
        if len(words) != 1:
            raise ValueError(f"{len(words)} entries number {index:#x} refer to gfn {gfn:#x}")
        return words[0]

    # Everything else.

    @property
    def events(self) -> list[str]:
        """WARNs and lockdep's complaints, in order."""
        return list(self.observation.events)

    @property
    def state(self) -> State:
        """Statistics and counters; all 0 of a destroyed VM."""
        return self.observation.state or State()

    @cached_property
    def grown(self) -> State:
        """By how much each counter grew in this step."""
        return self.state.since(self._before.state if self._before else State())

    def dirty(self, slot: int = 0, as_id: int = 0) -> set[int]:
        """The offsets in the slot's dirty bitmap."""
        for found in self.observation.slots:
            if (found.as_id, found.id) == (as_id, slot):
                return _set_bits(found.dirty_bitmap)
        return set()

    def cached(self, gfn: int, vcpu: int = 0) -> TlbEntry | ShadowTlbEntry | None:
        """The vCPU's TLB entry for ``gfn``, None if it has none."""
        self._observed("cached")
        for entry in self.observation.tlb[vcpu]:
            shift = 9 * (entry.level - 1)
            if entry.gfn >> shift == gfn >> shift:
                return entry
        return self.shadow.cached(gfn << 12, vcpu) if self.observation.shadow is not None else None


def _set_bits(words: tuple[int, ...]) -> set[int]:
    return {64 * at + bit for at, word in enumerate(words) for bit in range(64) if word >> bit & 1}

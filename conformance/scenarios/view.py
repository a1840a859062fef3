# SPDX-License-Identifier: GPL-2.0-only
"""What claims are written in: an observation of a VM in the terms of the MMU."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from conformance.interface.access import End
from conformance.interface.observation import (
    Observation,
    RetiredTable,
    RootView,
    State,
    TableEntry,
    TlbEntry,
)
from conformance.interface.outcomes import AccessOutcome, DirtyLog, Leaks, Position, Unmapping
from conformance.model.semantics import Semantics
from conformance.model.spte.access import is_accessed_spte, is_dirty_spte
from conformance.model.spte.mmio import get_mmio_spte_generation
from conformance.model.spte.predicates import (
    is_executable_pte,
    is_frozen_spte,
    is_mmio_spte,
    is_shadow_present_pte,
    spte_to_pfn,
)
from conformance.model.spte.writability import is_mmu_writable_spte, is_writable_pte

__all__ = ["Leaf", "View"]


@dataclass(frozen=True)
class Leaf:
    """A present SPTE that maps a page."""

    k: Semantics
    level: int
    gfn: int
    spte: int

    @property
    def pfn(self) -> int:
        """The first page mapped."""
        return int(spte_to_pfn(self.k, self.spte))

    @property
    def writable(self) -> bool:
        """W: the guest may write without an exit."""
        return bool(is_writable_pte(self.spte))

    @property
    def mmu_writable(self) -> bool:
        """MMU-writable: fast_page_fault() may set W."""
        return bool(is_mmu_writable_spte(self.k, self.spte))

    @property
    def host_writable(self) -> bool:
        """Host-writable: memslot and host mapping both allow writing."""
        return bool(self.spte & self.k.shadow_host_writable_mask)

    @property
    def executable(self) -> bool:
        """The guest may fetch instructions."""
        return bool(is_executable_pte(self.k, self.spte))

    @property
    def accessed(self) -> bool:
        """Used since it was last aged, as KVM sees it."""
        return bool(is_accessed_spte(self.k, self.spte))

    @property
    def dirty(self) -> bool:
        """Written since it was last cleaned, as KVM sees it: by W where there is no D bit."""
        return bool(is_dirty_spte(self.k, self.spte))


class View:
    """A VM after a step. ``before`` is the same VM a step earlier; None before the first."""

    def __init__(self, k: Semantics, observation: Observation, before: View | None) -> None:
        self.k = k
        self.observation = observation
        self._before = before

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
        return Leaks.read(self.outcome)

    @property
    def logged(self) -> set[int]:
        """Of a get_dirty_log that succeeded: the offsets of dirty pages in the slot."""
        code, bitmap = DirtyLog.read(self.outcome)
        return _set_bits(bitmap) if code == 0 else set()

    # Page tables.

    @property
    def roots(self) -> list[RootView]:
        """Every root, oldest first."""
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
        return list(self.observation.retired)

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

    def cached(self, gfn: int, vcpu: int = 0) -> TlbEntry | None:
        """The vCPU's TLB entry for ``gfn``, None if it has none."""
        for entry in self.observation.tlb[vcpu]:
            shift = 9 * (entry.level - 1)
            if entry.gfn >> shift == gfn >> shift:
                return entry
        return None


def _set_bits(words: tuple[int, ...]) -> set[int]:
    return {64 * at + bit for at, word in enumerate(words) for bit in range(64) if word >> bit & 1}

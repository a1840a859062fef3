# SPDX-License-Identifier: GPL-2.0-only
"""What a story's claims look through: an observation in the words of somebody who knows the MMU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

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
from conformance.scenarios.observing import Entry, Observation, Root, root_entries, roots

__all__ = ["DONE", "EMULATE", "EMULATED", "FIXED", "GAVE_UP", "MMIO", "RETRY", "Leaf", "View"]

RETRY, EMULATE, FIXED = 10, 11, 13
"""How KVM left an exit: as its RET_PF_* values, from 10 on."""
MMIO = 100
"""Added to the code of an exit that was an EPT misconfiguration or met a reserved bit."""
DONE, GAVE_UP, EMULATED, FAILED = range(4)
"""How an access ended."""


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
            raise ValueError("nothing is to be seen before the first step")
        return self._before

    # What the step came to.

    @property
    def outcome(self) -> list[int]:
        """The step's return codes, as the kind of step has them."""
        return list(self.observation["outcome"])

    @property
    def exits(self) -> list[int]:
        """Of an access: how KVM handled each exit."""
        return self.outcome[:-1]

    @property
    def end(self) -> int:
        """Of an access: how it ended."""
        return self.outcome[-1]

    @property
    def logged(self) -> set[int]:
        """Of a get_dirty_log that worked: the offsets of dirty pages in the slot."""
        code, *words = self.outcome
        return _set_bits(words) if code == 0 else set()

    # Page tables.

    @cached_property
    def roots(self) -> list[Root]:
        """Every root, oldest first."""
        return roots(self.observation)

    def valid_roots(self, as_id: int = 0) -> list[Root]:
        """The roots of an address space that are not invalidated."""
        return [root for root in self.roots if root.as_id == as_id and not root.invalid]

    def entries(self, as_id: int = 0) -> list[Entry]:
        """Every entry that holds anything in the newest valid root."""
        found = self.valid_roots(as_id)
        return list(root_entries(found[-1])) if found else []

    def covering(self, gfn: int, as_id: int = 0) -> list[Entry]:
        """The entries on the way to ``gfn``, from the root down."""
        return [entry for entry in self.entries(as_id) if entry.gfn >> _bits(entry) == gfn >> _bits(entry)]

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
    def retired(self) -> Sequence[Sequence[int]]:
        """Tables that wait for their grace period: level, gfn, serial, frozen entries, others present."""
        return list(self.observation["retired"])

    # Everything else.

    @property
    def events(self) -> list[str]:
        """WARNs and lockdep's complaints, in order."""
        return list(self.observation["events"])

    def state(self, name: str) -> int:
        """A statistic or counter; 0 where the kernel has none of the name."""
        return int(self.observation["state"].get(name, 0))

    def grew(self, name: str) -> int:
        """By how much a counter grew in this step."""
        return self.state(name) - (self._before.state(name) if self._before else 0)

    def dirty(self, slot: int = 0, as_id: int = 0) -> set[int]:
        """The offsets in the slot's dirty bitmap."""
        for found_as, found, _gfn, _npages, _flags, *words in self.observation["slots"]:
            if (found_as, found) == (as_id, slot):
                return _set_bits(words)
        return set()

    def cached(self, gfn: int, vcpu: int = 0) -> list[int] | None:
        """The vCPU's TLB entry for ``gfn``: root, gfn, level, pfn, rights, dirty; None if it has none."""
        for entry in self.observation["tlb"][vcpu]:
            bits = 9 * (entry[2] - 1)
            if entry[1] >> bits == gfn >> bits:
                return list(entry)
        return None


def _bits(entry: Entry) -> int:
    return 9 * (entry.level - 1)


def _set_bits(words: Sequence[int]) -> set[int]:
    return {64 * at + bit for at, word in enumerate(words) for bit in range(64) if word >> bit & 1}

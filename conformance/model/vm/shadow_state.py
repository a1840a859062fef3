# SPDX-License-Identifier: GPL-2.0-only
"""The state of shadow paging that a VM has beyond its tables: lists and counts of shadow pages, and rmaps."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from conformance.interface.memory_access import Access
from conformance.model.semantics import Semantics
from conformance.model.vm.cells import Shared
from conformance.model.vm.locks import Lock
from conformance.model.vm.places import TRACKED, VM, place
from conformance.model.vm.pte_list import PteList
from conformance.model.vm.scheduler import current
from conformance.model.vm.shadow_page import RootTable, ShadowPage

__all__ = ["ShadowState"]

SHADOW = 4
"""The number of this part of a VM among its places."""


@dataclass
class ShadowState:
    """The shadow pages of a VM, their limits, and what it keeps per gfn."""

    k: Semantics
    active_mmu_pages: list[ShadowPage] = field(default_factory=list)
    """Oldest first. Pages that were zapped but are still roots are in no list."""
    mmu_page_hash: dict[int, list[ShadowPage]] = field(default_factory=dict)
    """By gfn, newest first."""
    mmu_valid_gen: int = 0
    """0 or 1: pages of another generation are obsolete."""
    n_used_mmu_pages: int = 0
    n_requested_mmu_pages: int = 0
    """The limit that userspace has set; 0 if it has not."""
    n_max_mmu_pages: int = 0
    """The limit; 0 before the first memslot is created."""
    indirect_shadow_pages: Shared[int] = Shared(0)
    """The number of pages that shadow a table of the guest: without any, no write need be intercepted."""
    tlbs_dirty: bool = False
    """Whether a sync has dropped SPTEs that TLBs may hold, and left the flush to the next that is needed.

    Since SYNC_FLUSHES_AT_ONCE never.
    """
    shadow_root_allocated: bool = False
    """Whether memslots have rmaps although the VM uses the TDP MMU: since its first shadow root."""
    mmu_unsync_pages_lock: Lock = field(default_factory=lambda: Lock("mmu_unsync_pages_lock"))
    """Protects the marking of pages as unsync while mmu_lock is held for read only."""
    rmaps: dict[tuple[int, int, int], PteList] = field(default_factory=dict)
    """The leaf SPTEs that map a gfn, by address space, level and number of the page at this level."""
    gfn_write_track: Counter[tuple[int, int]] = field(default_factory=Counter)
    """By address space and gfn: how many reasons there are to keep the gfn read-only."""
    disallow_lpage: Counter[tuple[int, int, int, int]] = field(default_factory=Counter)
    """By address space, memslot, level and number of the page: why it may not be mapped by one SPTE.

    Not those reasons that hold as long as the memslot exists.
    """

    dummy_root: RootTable = field(default_factory=lambda: RootTable(0, 4, 0, 0, 0))
    """An empty root, for a guest whose own root cannot be read."""

    mmu_shadow_zapped: int = 0
    mmu_pte_write: int = 0
    mmu_pde_zapped: int = 0
    mmu_flooded: int = 0
    mmu_recycled: int = 0
    mmu_cache_miss: int = 0
    mmu_unsync: int = 0

    def __post_init__(self) -> None:
        self.where = place(VM, SHADOW)

    def write_track(self, as_id: int, gfn: int, count: int = 0) -> int:
        """Add to a gfn's entry of gfn_write_track, which is also read without mmu_lock; gives the result."""
        current.scheduler.access(Access.WRITE if count else Access.READ, place(TRACKED, gfn, as_id))
        if count:
            self.gfn_write_track[as_id, gfn] += count
        return self.gfn_write_track[as_id, gfn]

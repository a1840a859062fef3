# SPDX-License-Identifier: GPL-2.0-only
"""struct kvm: all state of a VM that the MMU uses.

The other rooms are the operations on it. State that several CPUs access is read and written through ``cells``
and ``mmu_pages``, and locks are taken where the kernel takes them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from conformance.interface.memory_access import Access
from conformance.model.changes import EPT_AD_MASKS_ALWAYS, MAX_GFN_OF_HOST, PAGE_STATISTICS
from conformance.model.layout import PAGE_SHIFT
from conformance.model.modes import Mode
from conformance.model.semantics import Semantics
from conformance.model.spte.make_spte import make_spte
from conformance.model.vm.cells import Shared, peek, place_of
from conformance.model.vm.host import HostMemory
from conformance.model.vm.kvm_vcpu import (
    EXITING_GUEST_MODE,
    IN_GUEST_MODE,
    OUTSIDE_GUEST_MODE,
    READING_SHADOW_PAGE_TABLES,
    KvmVcpu,
    Request,
    TlbEntry,
    make_all_cpus_request,
)
from conformance.model.vm.locks import Lock, ReadSections
from conformance.model.vm.memslots import KVM_ADDRESS_SPACE_NUM, KvmMemorySlot, KvmMemslots
from conformance.model.vm.mmu_pages import KvmMmuPage, TableMemory
from conformance.model.vm.places import VM, place, word_of
from conformance.model.vm.scheduler import current
from conformance.model.vm.setup import UNTRANSLATED, kvm_memslots_have_rmaps, kvm_mmu_max_gfn
from conformance.model.vm.shadow_state import ShadowState

__all__ = [
    "EXITING_GUEST_MODE",
    "IN_GUEST_MODE",
    "MEMSLOTS",
    "OUTSIDE_GUEST_MODE",
    "READING_SHADOW_PAGE_TABLES",
    "KvmVcpu",
    "Options",
    "Request",
    "TlbEntry",
    "Vm",
    "kvm_ad_enabled",
    "make_all_cpus_request",
]


@dataclass(frozen=True)
class Options:
    """What userspace and the administrator chose when the VM was created."""

    vcpus: int
    eager_page_split: int
    """Whether huge pages are split when dirty logging begins, not one by one when they are written."""
    nx_huge_pages: int
    manual_protect: int
    """KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: bit 0, get does not clear the log; bit 1, a new log is all dirty."""
    pml: int
    """Whether page-modification logging (PML) is enabled."""


MEMSLOTS = word_of("memslots")
ROOTS = word_of("tdp_mmu_roots")
NX_HUGE_PAGES = word_of("possible_nx_huge_pages")


@dataclass
class Vm:
    """One VM: its vCPUs, its memory, and KVM's state for it."""

    k: Semantics
    mode: Mode
    options: Options
    host: HostMemory
    memory: TableMemory
    vcpus: list[KvmVcpu]
    memslots: list[KvmMemslots] = field(
        default_factory=lambda: [KvmMemslots(as_id, as_id) for as_id in range(KVM_ADDRESS_SPACE_NUM)]
    )
    roots: list[KvmMmuPage] = field(default_factory=list)
    """All roots, oldest first. An invalid root is removed with its last reference."""

    slots_lock: Lock = field(default_factory=lambda: Lock("slots_lock"))
    mmu_lock: Lock = field(default_factory=lambda: Lock("mmu_lock"))
    srcu: ReadSections = field(default_factory=lambda: ReadSections("SRCU"))
    """Readers of memslots; a vCPU is one except while it is in the guest."""

    mmu_invalidate_in_progress: Shared[int] = Shared(0)
    mmu_invalidate_seq: Shared[int] = Shared(0)
    """Incremented at the end of each invalidation: a pfn that was looked up before is stale."""
    mmu_invalidate_range: Shared[tuple[int, int] | None] = Shared(None)
    """The range being invalidated, [first, last + 1): host pages or, since v6.8, gfns."""
    mn_active_invalidate_count: int = 0
    mn_invalidate_lock: Lock = field(default_factory=lambda: Lock("mn_invalidate_lock"))
    """Protects mn_active_invalidate_count. Memslots are installed only while that count is 0."""

    nx_huge_pages: bool = False
    possible_nx_huge_pages: list[KvmMmuPage] = field(default_factory=list)
    """Tables that a huge page could replace without the NX mitigation; oldest first."""
    cpu_dirty_logging_count: int = 0
    need_resched: bool = False
    """What need_resched() returns: whether long walks yield mmu_lock."""
    dead: bool = False
    """Whether KVM marked the VM as dead (KVM_BUG_ON()); its vCPUs no longer run."""
    destroyed: bool = False
    exits_after_each_instruction: bool = False
    """Whether the host interrupts the vCPU after each instruction, so that it exits.

    Otherwise PML buffers are drained on faults and kicks only.
    """

    make_spte: Callable[..., Any] = make_spte
    """The function that makes leaf SPTEs."""
    mmu_try_to_unsync_pages: Callable[..., bool] = field(init=False)
    """Shadow paging's: both MMUs ask it before they map a gfn writable. Set when a VM is created."""

    nx_lpage_splits: int = 0
    pages: dict[int, int] = field(default_factory=lambda: {1: 0, 2: 0, 3: 0})
    """The number of leaf SPTEs at each level."""
    remote_tlb_flush_requests: int = 0
    remote_tlb_flush: int = 0

    def __post_init__(self) -> None:
        self.where = place(VM)
        self.shadow = ShadowState(self.k)
        self.tdp_mmu_enabled = self.mode.tdp and self.mode.tdp_mmu
        """Whether direct roots are those of the TDP MMU."""

    def pages_mapped(self, level: int) -> int:
        """The statistics of leaves at ``level``; 0 in a kernel that does not count them."""
        return self.pages[level] if self.k.has(PAGE_STATISTICS) else 0

    def active_memslots(self, as_id: int) -> KvmMemslots:
        """Read the pointer to the active memslots of an address space; a change installs another set."""
        current.scheduler.access(Access.READ, self.where | MEMSLOTS)
        return self.memslots[as_id]

    def slots_of(self, vcpu: KvmVcpu) -> KvmMemslots:
        """The active memslots of the vCPU's address space."""
        return self.active_memslots(vcpu.as_id)

    def slot_of(self, vcpu: KvmVcpu, gfn: int) -> KvmMemorySlot | None:
        """The memslot that covers ``gfn`` in the vCPU's address space; None means MMIO."""
        return self.active_memslots(vcpu.as_id).gfn_to_memslot(gfn)

    def set_active_memslots(self, as_id: int, memslots: KvmMemslots, waits: bool) -> None:
        """Install the memslots of an address space.

        With ``waits``, first wait until no invalidation is in progress: its start and end must see the same
        memslots.
        """
        lock, ended = self.mn_invalidate_lock, lambda: not (waits and self.mn_active_invalidate_count)
        current.scheduler.lock(lock, False, ended)
        current.scheduler.access(Access.WRITE, self.where | MEMSLOTS)
        self.memslots[as_id] = memslots
        current.scheduler.unlock(lock)

    def stall_until_memslots_change(self, as_id: int) -> None:
        """Note for the scheduler that a fault retries until other memslots are active."""
        memslots = self.memslots[as_id]
        current.scheduler.stall(self.where | MEMSLOTS, lambda: self.memslots[as_id] is not memslots)

    def stall_until_invalidated(self) -> None:
        """Note for the scheduler that a fault retries until no invalidation is in progress."""
        name = "mmu_invalidate_in_progress"
        current.scheduler.stall(place_of(self, name), lambda: not peek(self, name))

    def may_retry(self) -> bool:
        """Whether the guest repeats its access after a retry: not if no thread can end an invalidation."""
        return current.scheduler.retry(bool(peek(self, "mmu_invalidate_in_progress")))

    def listed_roots(self) -> list[KvmMmuPage]:
        """All roots, newest first."""
        current.scheduler.access(Access.READ, self.where | ROOTS)
        return self.roots[::-1]

    def change_roots(self) -> None:
        """Access the list of roots, or their reference counts, for a change."""
        current.scheduler.access(Access.RMW, self.where | ROOTS)

    def change_nx_huge_pages(self) -> None:
        """Access possible_nx_huge_pages for a change, as under tdp_mmu_pages_lock."""
        current.scheduler.access(Access.RMW, self.where | NX_HUGE_PAGES)

    @property
    def have_rmaps(self) -> bool:
        """Whether memslots have reverse maps (kvm_memslots_have_rmaps())."""
        had_shadow_root = self.shadow.shadow_root_allocated
        return bool(
            kvm_memslots_have_rmaps(self.k, tdp_mmu=self.tdp_mmu_enabled, had_shadow_root=had_shadow_root)
        )

    def is_tdp_mmu_active(self, vcpu: KvmVcpu) -> bool:
        """Whether the vCPU's current root is one of the TDP MMU, not of nested tables."""
        return self.tdp_mmu_enabled and vcpu.mmu is vcpu.root_mmu

    def make_all_cpus_request(self, request: str) -> bool:
        """Make a request of every vCPU; return whether any was in the guest and had to be interrupted.

        Wait until these have left the guest.
        """
        return make_all_cpus_request(self.vcpus, request)

    @property
    def manual_dirty_log_protect(self) -> bool:
        """Whether KVM_GET_DIRTY_LOG does not clear the log, so that KVM_CLEAR_DIRTY_LOG must."""
        return bool(self.options.manual_protect & 1)

    @property
    def dirty_log_initially_set(self) -> bool:
        """Whether all pages are dirty when logging begins, so that no SPTE is write-protected then."""
        return self.options.manual_protect & 3 == 3

    @cached_property
    def end_gfn(self) -> int:
        """The first gfn that cannot be mapped; memslots and walks end before it.

        Before MAX_GFN_OF_HOST no gfn that a guest can have is refused.
        """
        if not self.k.has(MAX_GFN_OF_HOST):
            return 1 << UNTRANSLATED - PAGE_SHIFT
        return int(kvm_mmu_max_gfn(self.k, self.mode.phys_bits)) + 1

    @property
    def has_pml(self) -> bool:
        """Whether PML is enabled (cpu_dirty_log_size is not 0)."""
        return bool(self.options.pml)


def kvm_ad_enabled(k: Semantics) -> bool:
    """Whether the processor sets Accessed and Dirty in the VM's SPTEs."""
    return bool(k.kvm_ad_enabled if k.has(EPT_AD_MASKS_ALWAYS) else k.shadow_accessed_mask)

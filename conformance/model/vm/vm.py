# SPDX-License-Identifier: GPL-2.0-only
"""A VM as the MMU sees it: all state of the machine in one place (struct kvm and struct kvm_vcpu).

The other modules are the operations on it. Memory that several CPUs use is read and written through
``cells``, locks are taken where the kernel takes them, and entries are compared and exchanged likewise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from conformance.model.changes import EPT_AD_MASKS_ALWAYS
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
    KvmVcpu,
    Request,
    TlbEntry,
    make_all_cpus_request,
)
from conformance.model.vm.locks import Lock, ReadSections
from conformance.model.vm.memslots import KVM_ADDRESS_SPACE_NUM, KvmMemorySlot, KvmMemslots
from conformance.model.vm.mmu_pages import KvmMmuPage, TableMemory
from conformance.model.vm.places import READ, RMW, VM, WRITE, place, word_of
from conformance.model.vm.scheduler import access, current

__all__ = [
    "EXITING_GUEST_MODE",
    "IN_GUEST_MODE",
    "MEMSLOTS",
    "OUTSIDE_GUEST_MODE",
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
    """What userspace and the administrator chose when the VM was made."""

    vcpus: int
    eager_page_split: int
    """Whether huge pages are split when dirty logging begins, not one by one when they are written."""
    nx_huge_pages: int
    manual_protect: int
    """KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: bit 0 get does not clear, bit 1 a new log is all dirty."""
    pml: int
    """Whether the processor logs dirty guest addresses in a buffer (page-modification logging)."""


MEMSLOTS = word_of("memslots")
ROOTS = word_of("tdp_mmu_roots")
NX_HUGE_PAGES = word_of("possible_nx_huge_pages")


@dataclass
class Vm:
    """One VM with its vCPUs, its memory and everything that KVM keeps for it."""

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
    """All roots that are not gone, oldest first; an invalid one goes with its last reference."""

    slots_lock: Lock = field(default_factory=lambda: Lock("slots_lock"))
    mmu_lock: Lock = field(default_factory=lambda: Lock("mmu_lock"))
    srcu: ReadSections = field(default_factory=lambda: ReadSections("SRCU"))
    """Who uses memslots, and so do vCPUs but while they are in the guest."""

    mmu_invalidate_in_progress: Shared[int] = Shared(0)
    mmu_invalidate_seq: Shared[int] = Shared(0)
    """Counted up at the end of each invalidation: what was looked up in the host before is stale."""
    mmu_invalidate_range: Shared[tuple[int, int] | None] = Shared(None)
    """What is being invalidated, [first, last + 1): host pages or, since v6.8, guest frames."""
    mn_active_invalidate_count: int = 0
    mn_invalidate_lock: Lock = field(default_factory=lambda: Lock("mn_invalidate_lock"))
    """Protects that count, and holds up who would change memslots until it is 0."""

    had_memslot: bool = False
    """Whether there ever was a memslot: their size sets the budget of shadow pages, at first none."""
    nx_huge_pages: bool = False
    possible_nx_huge_pages: list[KvmMmuPage] = field(default_factory=list)
    """Tables that stand where, but for the NX mitigation, a huge page could be; oldest first."""
    cpu_dirty_logging_count: int = 0
    need_resched: bool = False
    """Whether long walks shall yield (need_resched())."""
    dead: bool = False
    """Whether KVM found the VM broken (KVM_BUG_ON()); vCPUs do not run any more."""
    destroyed: bool = False
    exits_after_each_instruction: bool = False
    """Whether an interrupt of the host follows each instruction, so that the vCPU leaves the guest at once.

    Else it counts as being in the guest until it faults or is kicked.
    """

    make_spte: Callable[..., Any] = make_spte
    """The function that makes leaf SPTEs."""

    nx_lpage_splits: int = 0
    pages: dict[int, int] = field(default_factory=lambda: {1: 0, 2: 0, 3: 0})
    """How many leaf SPTEs there are at each level."""
    remote_tlb_flush_requests: int = 0
    remote_tlb_flush: int = 0

    def __post_init__(self) -> None:
        self.where = place(VM)

    def active_memslots(self, as_id: int) -> KvmMemslots:
        """The memslots of an address space as they are now; what was read stays as it was."""
        access(READ, self.where | MEMSLOTS)
        return self.memslots[as_id]

    def slots_of(self, vcpu: KvmVcpu) -> KvmMemslots:
        """The memslots of the address space that the vCPU uses."""
        return self.active_memslots(vcpu.as_id)

    def slot_of(self, vcpu: KvmVcpu, gfn: int) -> KvmMemorySlot | None:
        """The memslot that backs ``gfn`` for the vCPU."""
        return self.active_memslots(vcpu.as_id).gfn_to_memslot(gfn)

    def set_active_memslots(self, as_id: int, memslots: KvmMemslots, waits: bool) -> None:
        """Make these the memslots of an address space.

        Not while an invalidation is in progress if it ``waits`` for those: their start and end must not see
        different memslots.
        """
        lock, ended = self.mn_invalidate_lock, lambda: not (waits and self.mn_active_invalidate_count)
        current.scheduler.lock(lock, False, ended)
        access(WRITE, self.where | MEMSLOTS)
        self.memslots[as_id] = memslots
        current.scheduler.unlock(lock)

    def stall_until_memslots_change(self, as_id: int) -> None:
        """Note that a fault is retried for as long as these memslots are active."""
        memslots = self.memslots[as_id]
        current.scheduler.stall(self.where | MEMSLOTS, lambda: self.memslots[as_id] is not memslots)

    def stall_until_invalidated(self) -> None:
        """Note that a fault is retried for as long as an invalidation is in progress."""
        name = "mmu_invalidate_in_progress"
        current.scheduler.stall(place_of(self, name), lambda: not peek(self, name))

    def may_retry(self) -> bool:
        """Whether to let the guest fault again; not where nothing can end the invalidation in progress."""
        return current.scheduler.retry(bool(peek(self, "mmu_invalidate_in_progress")))

    def listed_roots(self) -> list[KvmMmuPage]:
        """All roots, newest first."""
        access(READ, self.where | ROOTS)
        return self.roots[::-1]

    def change_roots(self) -> None:
        """Access the list of roots, or their counts, to change it."""
        access(RMW, self.where | ROOTS)

    def change_nx_huge_pages(self) -> None:
        """Access the list of possible huge pages to change it (under tdp_mmu_pages_lock)."""
        access(RMW, self.where | NX_HUGE_PAGES)

    def make_all_cpus_request(self, request: str) -> bool:
        """Ask every vCPU to do something before it enters the guest; whether any had to be interrupted.

        Those that are in the guest are waited for: interrupts come between two instructions.
        """
        return make_all_cpus_request(self.vcpus, request)

    @property
    def manual_dirty_log_protect(self) -> bool:
        """Whether getting the dirty log leaves it as it is, to be cleared by a call of its own."""
        return bool(self.options.manual_protect & 1)

    @property
    def dirty_log_initially_set(self) -> bool:
        """Whether a new dirty log says that everything is dirty, so that nothing needs protection yet."""
        return self.options.manual_protect & 3 == 3

    @property
    def end_gfn(self) -> int:
        """The first frame that MAXPHYADDR cannot address; neither slots nor walks reach it."""
        return 1 << int(self.mode.phys_bits) - PAGE_SHIFT

    @property
    def has_pml(self) -> bool:
        """Whether the processor has a log of its own (cpu_dirty_log_size is not 0)."""
        return bool(self.options.pml)


def kvm_ad_enabled(k: Semantics) -> bool:
    """Whether the processor sets Accessed and Dirty in the VM's SPTEs."""
    return bool(k.kvm_ad_enabled if k.has(EPT_AD_MASKS_ALWAYS) else k.shadow_accessed_mask)

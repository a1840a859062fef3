# SPDX-License-Identifier: GPL-2.0-only
"""A vCPU, what it is asked to do, and the processor that it runs on (struct kvm_vcpu)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from conformance.interface.memory_access import Access
from conformance.model.guest_paging.cpu_role import (
    CR0_PE,
    CR0_PG,
    CR0_WP,
    CR3_PCID_MASK,
    CR4_PAE,
    CR4_PCIDE,
    EFER_LMA,
    EFER_LME,
    EFER_NX,
)
from conformance.model.layout import PAGE_SHIFT
from conformance.model.vm.cells import Shared, compare_exchange, peek, place_of
from conformance.model.vm.kvm_mmu import KvmMmu
from conformance.model.vm.kvm_pagewalk import KvmPagewalk, X86Exception
from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.places import VCPUS, place, word_of
from conformance.model.vm.scheduler import current

__all__ = [
    "EXITING_GUEST_MODE",
    "IN_GUEST_MODE",
    "OUTSIDE_GUEST_MODE",
    "READING_SHADOW_PAGE_TABLES",
    "KvmVcpu",
    "Request",
    "TlbEntry",
    "make_all_cpus_request",
]


class Request:
    """Requests to a vCPU, served before it enters the guest: KVM_REQ_*."""

    TLB_FLUSH = "TLB_FLUSH"
    TLB_FLUSH_CURRENT = "TLB_FLUSH_CURRENT"
    TLB_FLUSH_GUEST = "TLB_FLUSH_GUEST"
    MMU_FREE_OBSOLETE_ROOTS = "MMU_FREE_OBSOLETE_ROOTS"
    MMU_SYNC = "MMU_SYNC"
    LOAD_MMU_PGD = "LOAD_MMU_PGD"
    UPDATE_CPU_DIRTY_LOGGING = "UPDATE_CPU_DIRTY_LOGGING"
    VM_DEAD = "VM_DEAD"
    TRIPLE_FAULT = "TRIPLE_FAULT"


OUTSIDE_GUEST_MODE, IN_GUEST_MODE, EXITING_GUEST_MODE, READING_SHADOW_PAGE_TABLES = range(4)

REQUESTS = word_of("requests")


class TlbEntry(NamedTuple):
    """A translation that the processor remembers: the frame, what may be done, whether Dirty is set."""

    pfn: int
    rights: int
    dirty: bool
    level: int


@dataclass
class KvmVcpu:
    """A vCPU and the processor it runs on."""

    id: int
    maxphyaddr: int = 48
    """How many bits a physical address has, by the guest's CPUID."""
    gva_walk: KvmPagewalk = field(default_factory=lambda: KvmPagewalk(nested=False))
    """How linear addresses of what runs, L1 or L2, are translated."""
    ngpa_walk: KvmPagewalk = field(default_factory=lambda: KvmPagewalk(nested=True))
    """How L2's physical addresses are translated, by L1's EPT or NPT."""
    cr0: int = CR0_PE | CR0_WP | CR0_PG
    cr3: int = 0
    cr4: int = CR4_PAE
    efer: int = EFER_LME | EFER_LMA | EFER_NX
    pkru: int = 0
    pdptrs: list[int] = field(default_factory=lambda: [0] * 4)
    """The PDPTEs that PAE paging uses, as they were when they were loaded."""
    cpl: int = 0
    eflags_ac: bool = False
    """The privilege level and EFLAGS.AC of the instruction that runs."""
    last_retry_addr: int | None = None
    """The address for which the guest repeats its instruction, since KVM has unprotected the gfn."""
    guest_mode: bool = False
    """Whether L2 runs."""
    registers_of_l1: tuple[int, int, int, int] = (0, 0, 0, 0)
    """CR0, CR3, CR4 and EFER of L1 while L2 runs."""
    smm: bool = False
    requests: set[str] = field(default_factory=set)
    mode: Shared[int] = Shared(OUTSIDE_GUEST_MODE)
    """Whether it runs the guest; who wants it to stop says so here, and interrupts it."""
    stays: int = 0
    """How often it has entered the guest."""
    flushes: int = 0
    """How often it emptied the TLB, or the part for its root."""
    tlb: dict[tuple[KvmMmuPage, int, int], TlbEntry] = field(default_factory=dict)
    """Keyed by root, level and first gfn."""
    linear_tlb: dict[tuple[int, int, int], TlbEntry] = field(default_factory=dict)
    """The same with shadow paging: keyed by PCID, level and first page of linear addresses."""
    caches_upper_levels: bool = False
    """Whether its processor has paging-structure caches (Intel SDM vol. 3, 4.10.3)."""
    upper_levels: dict[tuple[KvmMmuPage, int, int], tuple[KvmMmuPage, int]] = field(default_factory=dict)
    """Tables that the processor remembers, with the rights on the way there.

    Keyed by root, the level of the entry that pointed there, and its first gfn.
    """
    pml_enabled: bool = False
    pml_buffer: list[int] = field(default_factory=list)
    """Frames that the processor wrote and has not reported yet, oldest first."""

    mmio_gva: int = 0
    mmio_gfn: int = 0
    mmio_access: int = 0
    mmio_gen: int = 0
    """The last MMIO access and the memslots' generation then: emulated again without a look at SPTEs.

    ``mmio_gva`` is the page of the linear address, 0 if there was none; ``mmio_access`` its rights (ACC_*).
    """

    exception: X86Exception | None = None
    """What is to be injected when it enters the guest."""
    pf_taken: int = 0
    pf_fixed: int = 0
    pf_fast: int = 0
    pf_spurious: int = 0
    pf_emulate: int = 0
    pf_mmio_spte_created: int = 0
    pf_guest: int = 0
    """How many page faults it got injected."""
    invlpg: int = 0
    shown: tuple[Any, ...] | None = field(default=None, repr=False)
    """What the last observation has shown of its paging, kept by the observation."""

    def __post_init__(self) -> None:
        self.where = place(VCPUS, self.id)
        self.root_mmu = KvmMmu(self.gva_walk)
        """For L1, or a guest that is not nested."""
        self.guest_mmu = KvmMmu(self.ngpa_walk)
        """For L2: of L1's nested page tables."""
        self.mmu = self.root_mmu
        """The one that is used now."""

    @property
    def pcid(self) -> int:
        """The PCID that tags its translations: 0 unless CR4.PCIDE is set."""
        return self.pcid_of(self.cr3)

    def pcid_of(self, pgd: int) -> int:
        """The PCID of a CR3 (kvm_get_pcid())."""
        return pgd & CR3_PCID_MASK if self.cr4 & CR4_PCIDE else 0

    @property
    def as_id(self) -> int:
        """The address space it uses now."""
        return int(self.smm)

    def clear_mmio_info(self, gva: int | None = None) -> None:
        """Forget the cached linear address, if ``gva`` is given only one of its page."""
        if gva is None or self.mmio_gva == gva & -1 << PAGE_SHIFT:
            self.mmio_gva = 0

    def make_request(self, request: str) -> None:
        """Ask it to do something before it next enters the guest (kvm_make_request())."""
        current.scheduler.access(Access.RMW, self.where | REQUESTS)
        self.requests.add(request)

    def clear_request(self, request: str) -> None:
        """It is going to do that."""
        current.scheduler.access(Access.RMW, self.where | REQUESTS)
        self.requests.remove(request)

    def pending_requests(self) -> set[str]:
        """What it was asked for by now (kvm_request_pending())."""
        current.scheduler.access(Access.READ, self.where | REQUESTS)
        return set(self.requests)

    def exiting_guest_mode(self) -> int:
        """Have it leave the guest if it runs there; returns its mode before."""
        return compare_exchange(self, "mode", IN_GUEST_MODE, EXITING_GUEST_MODE)


def make_all_cpus_request(vcpus: list[KvmVcpu], request: str) -> bool:
    """Make a request of each vCPU; whether any was in the guest and had to be interrupted.

    Those are out of the guest on return: interrupts come between two instructions.
    """
    interrupted = []
    for vcpu in vcpus:
        vcpu.make_request(request)
        if vcpu.exiting_guest_mode() != OUTSIDE_GUEST_MODE:
            interrupted.append((vcpu, vcpu.stays))
    for vcpu, stay in interrupted:
        wait_until_out(vcpu, stay)
    return bool(interrupted)


def wait_until_out(vcpu: KvmVcpu, stay: int) -> None:
    """Wait until the vCPU has left the guest, which it had entered for the ``stay``-th time."""
    current.scheduler.wait(
        Access.WAIT,
        place_of(vcpu, "mode"),
        lambda: peek(vcpu, "mode") == OUTSIDE_GUEST_MODE or vcpu.stays != stay,
    )

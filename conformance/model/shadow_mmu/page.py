# SPDX-License-Identifier: GPL-2.0-only
"""A guest with one page table, and what KVM keeps for it: the shadow page, the rmap, the dirty log.

Pages of the guest are virtual, by number; the guest's page table says which gfn each is. The shadow page says
which frame, and so depends on two others: on the guest's table and on the host's. If it is *direct* (the
guest does not page), a page is its own gfn.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from conformance.model.semantics import Semantics
from conformance.model.vm.cells import Shared
from conformance.model.vm.host_pages import PageFlags
from conformance.model.vm.locks import Lock
from conformance.model.vm.mmu_pages import KvmMmuPage, TableMemory
from conformance.model.vm.places import GUEST_PTES, HOST_PTES, READ, VM, WRITE, place
from conformance.model.vm.scheduler import access, note
from conformance.model.vm.vm import KvmVcpu, Request, make_all_cpus_request

__all__ = ["Guest", "Translation"]


@dataclass(frozen=True)
class Translation:
    """What a TLB has of a page: which gfn the guest means, the frame, whether it may be written."""

    gfn: int
    pfn: int
    writable: bool
    dirty: bool


@dataclass
class Guest:
    """The guest, its host and its KVM in one."""

    k: Semantics
    direct: bool
    vcpus: list[KvmVcpu]
    memory: TableMemory
    sp: KvmMmuPage
    """The shadow page; its entries by page."""
    gfn_of_spte: dict[int, int] = field(default_factory=dict)
    """sp->gfns: for which gfn each SPTE was made."""
    gptes: dict[int, int] = field(default_factory=dict)
    host: dict[int, int] = field(default_factory=dict)
    """The frame of each gfn that the host has mapped."""
    free: list[int] = field(default_factory=lambda: [0x103, 0x102, 0x101, 0x100])
    """Free frames; the one that was freed last is allocated first."""
    tlbs: dict[int, dict[int, Translation]] = field(default_factory=dict)
    dirty_bitmap: int = 0
    logged: bool = False
    write_tracked: set[int] = field(default_factory=set)
    """Gfns that have become page tables, which the guest must not write unnoticed."""
    flags: PageFlags = field(default_factory=PageFlags)
    mmu_lock: Lock = field(default_factory=lambda: Lock("mmu_lock"))
    invalidate_seq: Shared[int] = Shared(0)
    invalidate_in_progress: Shared[int] = Shared(0)

    def __post_init__(self) -> None:
        self.where = place(VM)

    def gpte(self, page: int) -> int:
        """The gfn that the guest has for ``page`` now."""
        if self.direct:
            return page
        access(READ, place(GUEST_PTES, word=page))
        return self.gptes.get(page, page)

    def write_gpte(self, page: int, gfn: int) -> None:
        """The guest's own store to its page table."""
        access(WRITE, place(GUEST_PTES, word=page))
        self.gptes[page] = gfn

    def gfn_to_pfn(self, gfn: int) -> int | None:
        """The frame that backs ``gfn`` now, if the host has it mapped."""
        access(READ, place(HOST_PTES, word=gfn))
        return self.host.get(gfn)

    def map_gfn(self, gfn: int) -> int:
        """Have the host back ``gfn`` by a frame."""
        pfn = self.gfn_to_pfn(gfn)
        if pfn is None:
            access(WRITE, place(HOST_PTES, word=gfn))
            pfn = self.host.get(gfn)
            if pfn is None:
                pfn = self.host[gfn] = self.free.pop()
                note(("taken", pfn))
        return pfn

    def rmap(self, gfn: int) -> list[int]:
        """The pages whose SPTEs map ``gfn``."""
        return sorted(page for page in self.sp.entries if self.gfn_of_spte.get(page) == gfn)

    def kvm_flush_remote_tlbs(self) -> None:
        """All vCPUs forget their translations before they run again."""
        make_all_cpus_request(self.vcpus, Request.TLB_FLUSH)

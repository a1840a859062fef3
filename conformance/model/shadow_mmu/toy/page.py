# SPDX-License-Identifier: GPL-2.0-only
"""A guest with one page table, and KVM's state for it: the shadow page, the rmap and the dirty bitmap.

``page`` is the number of a virtual page of the guest. The guest's page table maps it to a gfn, the host's
page table maps the gfn to a pfn, and the shadow page maps the page to that pfn. In a *direct* shadow page
(the guest has paging disabled) a page is its own gfn.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from conformance.interface.memory_access import Access
from conformance.model.semantics import Semantics
from conformance.model.vm.cells import Shared
from conformance.model.vm.host_pages import PageFlags
from conformance.model.vm.locks import Lock
from conformance.model.vm.mmu_pages import KvmMmuPage, TableMemory
from conformance.model.vm.places import GUEST_PTES, HOST_PTES, VM, place
from conformance.model.vm.scheduler import current
from conformance.model.vm.vm import KvmVcpu, Request, make_all_cpus_request

__all__ = ["Guest", "Translation"]


@dataclass(frozen=True)
class Translation:
    """A TLB entry: the gfn, the pfn, whether writes are allowed, and whether Dirty is set."""

    gfn: int
    pfn: int
    writable: bool
    dirty: bool


@dataclass
class Guest:
    """The guest, the host and KVM's state."""

    k: Semantics
    direct: bool
    vcpus: list[KvmVcpu]
    memory: TableMemory
    sp: KvmMmuPage
    """The shadow page, indexed by page."""
    gfn_of_spte: dict[int, int] = field(default_factory=dict)
    """The gfn for which each SPTE was installed (sp->gfns), by page."""
    gptes: dict[int, int] = field(default_factory=dict)
    host: dict[int, int] = field(default_factory=dict)
    """The pfn of each gfn that the host has mapped."""
    free: list[int] = field(default_factory=lambda: [0x103, 0x102, 0x101, 0x100])
    """Free pfns; the one freed last is allocated first."""
    tlbs: dict[int, dict[int, Translation]] = field(default_factory=dict)
    dirty_bitmap: int = 0
    logged: bool = False
    write_tracked: set[int] = field(default_factory=set)
    """The gfns of the guest's page tables; writes to them are trapped."""
    flags: PageFlags = field(default_factory=PageFlags)
    mmu_lock: Lock = field(default_factory=lambda: Lock("mmu_lock"))
    invalidate_seq: Shared[int] = Shared(0)
    invalidate_in_progress: Shared[int] = Shared(0)

    def __post_init__(self) -> None:
        self.where = place(VM)

    def gpte(self, page: int) -> int:
        """The gfn that the guest's page table holds for ``page``."""
        if self.direct:
            return page
        current.scheduler.access(Access.READ, place(GUEST_PTES, word=page))
        return self.gptes.get(page, page)

    def write_gpte(self, page: int, gfn: int) -> None:
        """Store ``gfn`` to the entry of ``page`` in the guest's page table."""
        current.scheduler.access(Access.WRITE, place(GUEST_PTES, word=page))
        self.gptes[page] = gfn

    def gfn_to_pfn(self, gfn: int) -> int | None:
        """The pfn that backs ``gfn``, None if the host has not mapped it."""
        current.scheduler.access(Access.READ, place(HOST_PTES, word=gfn))
        return self.host.get(gfn)

    def map_gfn(self, gfn: int) -> int:
        """Return the pfn that backs ``gfn``; the host allocates one if needed."""
        pfn = self.gfn_to_pfn(gfn)
        if pfn is None:
            current.scheduler.access(Access.WRITE, place(HOST_PTES, word=gfn))
            pfn = self.host.get(gfn)
            if pfn is None:
                pfn = self.host[gfn] = self.free.pop()
                current.scheduler.note(("taken", pfn))
        return pfn

    def rmap(self, gfn: int) -> list[int]:
        """The pages whose SPTEs map ``gfn``."""
        return sorted(page for page in self.sp.entries if self.gfn_of_spte.get(page) == gfn)

    def kvm_flush_remote_tlbs(self) -> None:
        """Request that each vCPU flushes its TLB before it enters the guest again."""
        make_all_cpus_request(self.vcpus, Request.TLB_FLUSH)

# SPDX-License-Identifier: GPL-2.0-only
"""What can be seen of each vCPU's paging: control registers, the roots of its MMU, and its TLB."""

from __future__ import annotations

from conformance.interface.observation import PagingView, RoleView, ShadowTlbEntry
from conformance.model.layout import PAGE_SHIFT, SPTE_BASE_ADDR_MASK
from conformance.model.vm.kvm_mmu import KvmMmu
from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.role import KvmMmuPageRole
from conformance.model.vm.shadow_page import RootTable, ShadowPage
from conformance.model.vm.vm import KvmVcpu

__all__ = ["paging_view", "role_view"]


def paging_view(vcpu: KvmVcpu) -> PagingView:
    """Of the MMU that the vCPU uses now."""
    mmu = vcpu.mmu
    return PagingView(
        cr0=vcpu.cr0,
        cr3=vcpu.cr3,
        cr4=vcpu.cr4,
        efer=vcpu.efer,
        guest_mode=int(vcpu.guest_mode),
        root_role=role_view(mmu.root_role),
        root=_serial(mmu.root),
        pgd=mmu.pgd if mmu.root is not None else 0,
        prev_roots=tuple((_serial(root), pgd if root is not None else 0) for root, pgd in mmu.prev_roots),
        pae_roots=_pae_roots(mmu),
        pf_guest=vcpu.pf_guest,
        invlpg=vcpu.invlpg,
        tlb=_tlb(vcpu),
    )


def role_view(role: KvmMmuPageRole) -> RoleView:
    """The role, whose fields have the same names."""
    return RoleView(*role)


def _serial(root: KvmMmuPage | None) -> int:
    return root.serial if isinstance(root, ShadowPage) else 0


def _pae_roots(mmu: KvmMmu) -> tuple[int, ...]:
    """The serial numbers of the pages that the four PAE entries point to, which are their addresses."""
    entries = mmu.pae_root.entries if mmu.pae_root is not None else {}
    return tuple([(entries.get(n, 0) & SPTE_BASE_ADDR_MASK) >> PAGE_SHIFT for n in range(4)])


def _tlb(vcpu: KvmVcpu) -> tuple[ShadowTlbEntry, ...]:
    """The translations of linear addresses, and those by roots that are not the TDP MMU's."""
    rows = [
        ShadowTlbEntry(0, pcid, page, level, entry.pfn, entry.rights, int(entry.dirty))
        for (pcid, level, page), entry in vcpu.linear_tlb.items()
    ]
    rows += [
        ShadowTlbEntry(root.serial, 0, gfn, level, entry.pfn, entry.rights, int(entry.dirty))
        for (root, level, gfn), entry in vcpu.tlb.items()
        if isinstance(root, (ShadowPage, RootTable))
    ]
    return tuple(sorted(rows))

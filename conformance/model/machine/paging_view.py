# SPDX-License-Identifier: GPL-2.0-only
"""What can be seen of each vCPU's paging: control registers, the roots of its MMU, and its TLB."""

from __future__ import annotations

from copy import copy
from functools import lru_cache

from conformance.interface.observation import PagingView, RoleView, ShadowTlbEntry
from conformance.model.layout import PAGE_SHIFT, SPTE_BASE_ADDR_MASK
from conformance.model.vm.kvm_mmu import KvmMmu
from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.role import KvmMmuPageRole
from conformance.model.vm.shadow_page import RootTable, ShadowPage
from conformance.model.vm.vm import KvmVcpu

__all__ = ["paging_view", "role_view"]


def paging_view(vcpu: KvmVcpu) -> PagingView:
    """Of the MMU that the vCPU uses now; the same object again while nothing has changed."""
    mmu = vcpu.mmu
    now = (
        (vcpu.cr0, vcpu.cr3, vcpu.cr4, vcpu.efer, int(vcpu.guest_mode)),
        mmu.root_role,
        (mmu.root, mmu.pgd),
        [*mmu.prev_roots],
        _pae_roots(mmu),
        (vcpu.pf_guest, vcpu.invlpg),
        vcpu.linear_tlb,
        vcpu.tlb,
    )
    if vcpu.shown is not None and vcpu.shown[0] == now:
        view: PagingView = vcpu.shown[1]
        return view
    registers, role, (root, pgd), prev_roots, pae_roots, counts, *_ = now
    view = PagingView(
        *registers,
        role_view(role),
        _serial(root),
        pgd if root is not None else 0,
        tuple([(_serial(root), pgd if root is not None else 0) for root, pgd in prev_roots]),
        pae_roots,
        *counts,
        _tlb(vcpu),
    )
    vcpu.shown = (*now[:-2], copy(vcpu.linear_tlb), copy(vcpu.tlb)), view
    return view


@lru_cache(maxsize=1 << 10)
def role_view(role: KvmMmuPageRole) -> RoleView:
    """The role, whose fields have the same names."""
    return RoleView(*role)


def _serial(root: KvmMmuPage | None) -> int:
    return root.serial if isinstance(root, ShadowPage) else 0


def _pae_roots(mmu: KvmMmu) -> tuple[int, ...]:
    """The serial numbers of the pages that the four PAE entries point to, which are their addresses."""
    if mmu.pae_root is None:
        return (0,) * 4
    entries = mmu.pae_root.entries
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

# SPDX-License-Identifier: GPL-2.0-only
"""Prefetching: the entries of the guest's table around that of a fault are mapped along with it.

A processor may do the same, into its TLB, with entries that have been accessed.
"""

from __future__ import annotations

from conformance.model.guest_tables.walker import GuestWalker
from conformance.model.layout import PG_LEVEL_4K
from conformance.model.shadow_mmu.gptes import drop_prefetch_invalid_gpte, gpte_translation
from conformance.model.shadow_mmu.map import (
    PTE_PREFETCH_NUM,
    __direct_pte_prefetch,
    forbids_prefetch,
    gfn_to_memslot_dirty_bitmap,
    mmu_set_spte,
)
from conformance.model.spte.predicates import is_shadow_present_pte
from conformance.model.vm.host_marks import kvm_release_faultin_page
from conformance.model.vm.pte_list import Sptep
from conformance.model.vm.shadow_page import ShadowPage
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = ["prefetch_gpte", "pte_prefetch"]


def pte_prefetch(vm: Vm, vcpu: KvmVcpu, walker: GuestWalker, sptep: Sptep) -> None:
    """Map the other seven entries of the eight around a fault, up to the first that cannot be.

    Not while an invalidation is in progress, which may be of these pages.
    """
    sp, at = sptep
    assert isinstance(sp, ShadowPage)
    if sp.level > PG_LEVEL_4K or forbids_prefetch(vm):
        return
    if sp.role.direct:
        __direct_pte_prefetch(vm, vcpu, sptep)
        return
    for index, gpte in enumerate(walker.prefetch_ptes, at & -PTE_PREFETCH_NUM):
        if index == at or is_shadow_present_pte(vm.k, sp.read(index)):
            continue
        if not prefetch_gpte(vm, vcpu, Sptep(sp, index), gpte, no_dirty_log=True):
            return


def prefetch_gpte(vm: Vm, vcpu: KvmVcpu, sptep: Sptep, gpte: int, *, no_dirty_log: bool) -> bool:
    """Map an entry of the guest's table if the host maps its page writable; return True if it is mapped.

    ``no_dirty_log``: not if that would mark the page as written.
    """
    sp = sptep.sp
    assert isinstance(sp, ShadowPage)
    if drop_prefetch_invalid_gpte(vm, vcpu, sptep, gpte):
        return False
    gfn, access = gpte_translation(vm, vcpu, sp, gpte)
    writable = bool(access & vm.k.layout.acc_write_mask)
    slot = gfn_to_memslot_dirty_bitmap(vm, vcpu, gfn, no_dirty_log and writable)
    if slot is None or slot.readonly:
        return False
    pfns = vm.host.get_user_pages_fast_only(slot.host_page(gfn), 1)
    if not pfns:
        return False
    mmu_set_spte(vm, vcpu, slot, sptep, access, gfn, pfns[0], None)
    kvm_release_faultin_page(vm, pfns[0], writable=True, unused=False)
    return True

# SPDX-License-Identifier: GPL-2.0-only
"""Mapping a page in shadow pages; and direct maps: of guest physical addresses, or without guest paging."""

from __future__ import annotations

from conformance.model.changes import (
    FAULT_STATISTICS,
    INVALIDATION_RANGE,
    LOCAL_FLUSHES_GONE,
    NO_PFN_DIRTY,
    NX_ACCOUNTED_WITHOUT_PAGING,
    OVERWRITTEN_IN_DIRECT_MMU_WARNS,
    PREFETCH_KEEPS_PRESENT,
    TRAILING_SPTES_PREFETCHED,
)
from conformance.model.layout import PAGE_SHIFT, PG_LEVEL_4K
from conformance.model.shadow_mmu.accounting import account_nx_huge_page
from conformance.model.shadow_mmu.mmio_sptes import mark_mmio_spte
from conformance.model.shadow_mmu.rmap import drop_spte, rmap_add
from conformance.model.shadow_mmu.shadow_pages import kvm_mmu_get_child_sp, link_shadow_page
from conformance.model.shadow_mmu.shadow_walk import for_each_shadow_entry
from conformance.model.shadow_mmu.shadowed import kvm_mmu_page_get_gfn, kvm_mmu_page_set_access
from conformance.model.shadow_mmu.sptes import mmu_spte_update
from conformance.model.shadow_mmu.zap import drop_parent_pte, spte_to_child_sp
from conformance.model.spte.predicates import is_last_spte, is_shadow_present_pte, spte_to_pfn
from conformance.model.vm.flushes import kvm_flush_remote_tlbs
from conformance.model.vm.host_marks import kvm_release_faultin_page
from conformance.model.vm.host_pages import pages_per
from conformance.model.vm.kvm_page_fault import KvmPageFault, RetPf, write_protected
from conformance.model.vm.leaf_spte import make_leaf_spte
from conformance.model.vm.mapping_level import disallowed_hugepage_adjust, kvm_mmu_hugepage_adjust
from conformance.model.vm.memslots import KvmMemorySlot
from conformance.model.vm.pte_list import Sptep
from conformance.model.vm.shadow_page import ShadowPage
from conformance.model.vm.vm import KvmVcpu, Request, Vm

__all__ = [
    "PTE_PREFETCH_NUM",
    "__direct_pte_prefetch",
    "count_fixed",
    "direct_map",
    "forbids_prefetch",
    "gfn_to_memslot_dirty_bitmap",
    "kvm_mmu_prefetch_sptes",
    "mmu_set_spte",
]

PTE_PREFETCH_NUM = 8
"""How many pages around that of a fault are mapped along with it."""


def mmu_set_spte(
    vm: Vm,
    vcpu: KvmVcpu,
    slot: KvmMemorySlot | None,
    sptep: Sptep,
    pte_access: int,
    gfn: int,
    pfn: int,
    fault: KvmPageFault | None,
) -> RetPf:
    """Map ``pfn`` at the entry, and note it in the rmap. Without a fault it is a prefetch, and writable.

    What the entry maps or points to before is unlinked or dropped, unless it maps the same page already.
    Without a memslot the entry becomes an MMIO SPTE, and the access is emulated.
    """
    sp, at = sptep
    assert isinstance(sp, ShadowPage)
    prefetch = fault is None
    old_spte = sp.read(at)
    flush = was_rmapped = False
    if is_shadow_present_pte(vm.k, old_spte):
        was_leaf = is_last_spte(vm.k, old_spte, sp.level)
        same_pfn = slot is not None and pfn == spte_to_pfn(vm.k, old_spte)
        if prefetch and was_leaf and same_pfn and vm.k.has(PREFETCH_KEEPS_PRESENT):
            return RetPf.SPURIOUS
        child = spte_to_child_sp(vm, old_spte, sp.level)
        if child is not None:
            drop_parent_pte(child, sptep)
        elif not same_pfn:
            if vm.k.has(OVERWRITTEN_IN_DIRECT_MMU_WARNS):
                vm.k.warn_on("mmu_set_spte", bool(vcpu.mmu.root_role.direct))
            drop_spte(vm, sptep)
        flush = child is not None or not same_pfn
        was_rmapped = not flush
    if slot is None:
        if vm.k.has(FAULT_STATISTICS):
            vcpu.pf_mmio_spte_created += 1
        mark_mmio_spte(vm, vcpu, sptep, gfn, pte_access)
        if flush:
            kvm_flush_remote_tlbs(vm)
        return RetPf.EMULATE
    old_spte = sp.read(at)
    new_spte, must_not_write = make_leaf_spte(
        vm,
        slot,
        access=pte_access,
        gfn=gfn,
        pfn=pfn,
        old_spte=old_spte,
        level=sp.level,
        ad_disabled=bool(sp.role.ad_disabled),
        guest_mode=bool(sp.role.guest_mode),
        host_writable=fault is None or fault.map_writable,
        prefetch=prefetch,
    )
    ret = RetPf.FIXED
    if new_spte == old_spte:
        ret = RetPf.SPURIOUS
    else:
        flush |= mmu_spte_update(vm, sptep, new_spte)
    if must_not_write and fault is not None and fault.write:
        ret = write_protected(vm.k)
    if must_not_write and not vm.k.has(LOCAL_FLUSHES_GONE):
        vcpu.make_request(Request.TLB_FLUSH_CURRENT)
    if flush:
        kvm_flush_remote_tlbs(vm)
    if was_rmapped:
        kvm_mmu_page_set_access(vm, sp, at, pte_access)
    else:
        vm.k.warn_on("mmu_set_spte", ret is RetPf.SPURIOUS)
        rmap_add(vm, slot, sptep, gfn, pte_access)
    return ret


def direct_map(vm: Vm, vcpu: KvmVcpu, fault: KvmPageFault) -> RetPf:
    """Map the fault's page at ``fault.goal_level``, and link the pages above that are missing. Then prefetch.

    Prefetching maps the pages around it, if the fault has changed something.
    """
    kvm_mmu_hugepage_adjust(vm, fault)
    assert vcpu.mmu.root_role is not None
    access = vcpu.mmu.root_role.access
    for sptep in for_each_shadow_entry(vm, vcpu, fault.gfn << PAGE_SHIFT):
        sp, at = sptep
        if vm.nx_huge_pages:
            disallowed_hugepage_adjust(vm, fault, sp.read(at), sp.level)
        base_gfn = fault.gfn & -pages_per(sp.level)
        if sp.level == fault.goal_level:
            ret = mmu_set_spte(vm, vcpu, fault.slot, sptep, access, base_gfn, fault.pfn, fault)
            if ret is not RetPf.SPURIOUS:
                direct_pte_prefetch(vm, vcpu, sptep)
                count_fixed(vm, vcpu)
            return ret
        child = kvm_mmu_get_child_sp(vm, vcpu, sptep, base_gfn, True, access)
        if child is None:
            continue
        link_shadow_page(vm, sptep, child)
        if fault.huge_page_disallowed and (vm.mode.tdp or vm.k.has(NX_ACCOUNTED_WITHOUT_PAGING)):
            account_nx_huge_page(vm, child, fault.req_level >= sp.level)
    vm.k.warn_on("direct_map", True)
    return RetPf.EFAULT


def count_fixed(vm: Vm, vcpu: KvmVcpu) -> None:
    """Count a fault that has changed an SPTE; since FAULT_STATISTICS faults are counted by their result."""
    if not vm.k.has(FAULT_STATISTICS):
        vcpu.pf_fixed += 1


def direct_pte_prefetch(vm: Vm, vcpu: KvmVcpu, sptep: Sptep) -> None:
    """Map the pages around that of the fault along with it.

    Not without A/D bits, since a page that was prefetched would look as if it were used; nor while an
    invalidation is in progress, which may be of these pages.
    """
    sp = sptep.sp
    assert isinstance(sp, ShadowPage)
    if not sp.role.ad_disabled and sp.level == PG_LEVEL_4K and not forbids_prefetch(vm):
        __direct_pte_prefetch(vm, vcpu, sptep)


def forbids_prefetch(vm: Vm) -> bool:
    """Whether an invalidation is in progress, perhaps of the pages around that of a fault.

    Before INVALIDATION_RANGE the fault itself would have been retried.
    """
    return vm.mmu_invalidate_in_progress > 0 and vm.k.has(INVALIDATION_RANGE)


def __direct_pte_prefetch(vm: Vm, vcpu: KvmVcpu, sptep: Sptep) -> None:
    """Map the entries of a direct page that are not present yet, of the eight with that of the fault.

    Adjacent ones are mapped together; the first that cannot be mapped ends it. Those at the end of the eight
    are mapped since TRAILING_SPTES_PREFETCHED.
    """
    sp, at = sptep
    assert isinstance(sp, ShadowPage)
    first = at & -PTE_PREFETCH_NUM
    start = None
    for index in range(first, first + PTE_PREFETCH_NUM):
        if not is_shadow_present_pte(vm.k, sp.read(index)) and index != at:
            start = index if start is None else start
        elif start is not None:
            if not _direct_pte_prefetch_many(vm, vcpu, sp, start, index):
                return
            start = None
    if start is not None and vm.k.has(TRAILING_SPTES_PREFETCHED):
        _direct_pte_prefetch_many(vm, vcpu, sp, start, first + PTE_PREFETCH_NUM)


def _direct_pte_prefetch_many(vm: Vm, vcpu: KvmVcpu, sp: ShadowPage, start: int, end: int) -> bool:
    gfn = kvm_mmu_page_get_gfn(vm, sp, start)
    return kvm_mmu_prefetch_sptes(vm, vcpu, gfn, Sptep(sp, start), end - start, sp.role.access)


def kvm_mmu_prefetch_sptes(vm: Vm, vcpu: KvmVcpu, gfn: int, sptep: Sptep, nr_pages: int, access: int) -> bool:
    """Map ``nr_pages`` gfns from ``gfn`` on, at entries from ``sptep`` on; return False if none was mapped.

    Only pages are mapped that the host maps writable. If writes are logged, none is that would be writable.
    """
    slot = gfn_to_memslot_dirty_bitmap(vm, vcpu, gfn, bool(access & vm.k.layout.acc_write_mask))
    if slot is None or slot.readonly or gfn + nr_pages > slot.end_gfn:
        return False
    pfns = vm.host.get_user_pages_fast_only(slot.host_page(gfn), nr_pages)
    for n, pfn in enumerate(pfns):
        mmu_set_spte(vm, vcpu, slot, Sptep(sptep.sp, sptep.at + n), access, gfn + n, pfn, None)
        if vm.k.has(NO_PFN_DIRTY):
            kvm_release_faultin_page(vm, pfn, writable=True, unused=False)
    return bool(pfns)


def gfn_to_memslot_dirty_bitmap(vm: Vm, vcpu: KvmVcpu, gfn: int, no_dirty_log: bool) -> KvmMemorySlot | None:
    """The memslot of ``gfn``, if pages of it may be mapped ahead of their use: not those that are logged."""
    slot = vm.slot_of(vcpu, gfn)
    if slot is None or slot.invalid or (no_dirty_log and slot.dirty_track_enabled):
        return None
    return slot

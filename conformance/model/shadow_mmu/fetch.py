# SPDX-License-Identifier: GPL-2.0-only
"""Shadow pages for a fault: one for each table of the guest on the way, and a leaf for the page.

Each page is made with the rights of all entries above it. If the guest maps a huge page that KVM cannot map
whole, direct pages split it below the last table.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from conformance.model.changes import (
    GPTE_RECHECKED,
    SHADOW_WALK_VERIFIED,
    SYNCED_BEFORE_LINK,
    WRITE_PF_TO_SP_IN_FETCH,
)
from conformance.model.guest_tables.gptes import gpte_size
from conformance.model.guest_tables.walker import GuestWalker
from conformance.model.layout import PG_LEVEL_4K
from conformance.model.shadow_mmu.accounting import account_nx_huge_page
from conformance.model.shadow_mmu.map import PTE_PREFETCH_NUM, count_fixed, mmu_set_spte
from conformance.model.shadow_mmu.prefetch import pte_prefetch
from conformance.model.shadow_mmu.shadow_pages import kvm_mmu_get_child_sp, link_shadow_page
from conformance.model.shadow_mmu.shadow_walk import for_each_shadow_entry
from conformance.model.shadow_mmu.sync import mmu_sync_children
from conformance.model.shadow_mmu.zap import drop_parent_pte, spte_to_child_sp
from conformance.model.vm.flushes import kvm_flush_remote_tlbs
from conformance.model.vm.guest_memory import kvm_vcpu_read_guest_atomic
from conformance.model.vm.host_pages import pages_per
from conformance.model.vm.kvm_page_fault import KvmPageFault, RetPf
from conformance.model.vm.mapping_level import disallowed_hugepage_adjust, kvm_mmu_hugepage_adjust
from conformance.model.vm.pte_list import Sptep
from conformance.model.vm.shadow_page import ShadowPage
from conformance.model.vm.vm import KvmVcpu, Request, Vm

__all__ = ["fetch"]

PT32_ROOT_LEVEL, PT32E_ROOT_LEVEL = 2, 3


def fetch(vm: Vm, vcpu: KvmVcpu, fault: KvmPageFault, walker: GuestWalker) -> RetPf:
    """Link a page for each table that the walk of the guest's tables found, and map the fault's page.

    RETRY if the guest has changed an entry since that walk.
    """
    top_level = int(vcpu.mmu.w.cpu_role.level)
    if gpte_changed(vm, vcpu, walker, PT32_ROOT_LEVEL if top_level == PT32E_ROOT_LEVEL else top_level):
        return RetPf.RETRY
    if vcpu.mmu.root is vm.shadow.dummy_root:
        # The guest's root has got a memslot since the vCPU entered.
        vcpu.make_request(Request.MMU_FREE_OBSOLETE_ROOTS)
        return RetPf.RETRY

    entries = for_each_shadow_entry(vm, vcpu, fault.addr)
    for sptep in entries:
        sp = sptep.sp
        assert isinstance(sp, ShadowPage)
        sp.write_flooding_count = 0
        if sp.level == walker.level:
            return _map(vm, vcpu, fault, walker, chain((sptep,), entries))
        if not _link_table(vm, vcpu, walker, sptep):
            return RetPf.RETRY
        if vm.k.has(WRITE_PF_TO_SP_IN_FETCH) and fault.write:
            fault.write_fault_to_shadow_pgtable |= walker.table_gfn[sp.level - 2] == fault.gfn
    return _no_table(vm, vcpu)


def _no_table(vm: Vm, vcpu: KvmVcpu) -> RetPf:
    """The root has no table for an entry that the walk has found. Before SHADOW_WALK_VERIFIED KVM crashed."""
    if vm.k.has(SHADOW_WALK_VERIFIED):
        vm.k.warn_on(_function(vm, vcpu), True)
    else:
        vm.k.bug_on("mmu_set_spte", True)
    return RetPf.EFAULT


def _function(vm: Vm, vcpu: KvmVcpu) -> str:
    """The kernel's name of this function: there is one for each format of the guest's entries."""
    if vm.mode.tdp and vm.mode.ept:
        return "ept_fetch"
    return "paging32_fetch" if vcpu.mmu.w.cpu_role.has_4_byte_gpte else "paging64_fetch"


def _link_table(vm: Vm, vcpu: KvmVcpu, walker: GuestWalker, sptep: Sptep) -> bool:
    """Link the page for the table that the guest's entry points to; False if the fault must be retried.

    What the guest adds to its tables needs no flush, so unsync pages below must be synced before they are
    reached by another way. The guest's entry is read again now that its table is write-protected, or unsync:
    until then it could change without KVM noticing. Until GPTE_RECHECKED that was done for a new page only.
    """
    level = sptep.sp.level
    table_gfn, access = walker.table_gfn[level - 2], walker.pt_access[level - 2]
    child = kvm_mmu_get_child_sp(vm, vcpu, sptep, table_gfn, False, access)
    stale = child if child is not None and child.unsync_children and vm.k.has(SYNCED_BEFORE_LINK) else None
    if stale is not None and not mmu_sync_children(vm, vcpu, stale, can_yield=False):
        return False
    if (child is not None or vm.k.has(GPTE_RECHECKED)) and gpte_changed(vm, vcpu, walker, level - 1):
        return False
    if child is not None:
        link_shadow_page(vm, sptep, child)
    return True


def gpte_changed(vm: Vm, vcpu: KvmVcpu, walker: GuestWalker, level: int) -> bool:
    """Whether the guest's entry at ``level`` is not what the walk has read, or cannot be read any more.

    At level 1 the entries around it are read too, for a prefetch.
    """
    size, gpa = gpte_size(vcpu.mmu.w), walker.pte_gpa[level - 1]
    number = PTE_PREFETCH_NUM if level == PG_LEVEL_4K else 1
    found = kvm_vcpu_read_guest_atomic(vm, vcpu, gpa & -number * size, size, number)
    if found is None:
        return True
    if level == PG_LEVEL_4K:
        walker.prefetch_ptes = found
    return found[gpa // size % number] != walker.ptes[level - 1]


def _map(vm: Vm, vcpu: KvmVcpu, fault: KvmPageFault, walker: GuestWalker, entries: Iterator[Sptep]) -> RetPf:
    """Map the page at or below the guest's own level, by direct pages where the guest's page is larger.

    The level is chosen only now: a page that holds a table must not be mapped by a huge page, and the tables
    were shadowed just before.
    """
    kvm_mmu_hugepage_adjust(vm, fault)
    for sptep in entries:
        sp, at = sptep
        if vm.nx_huge_pages:
            disallowed_hugepage_adjust(vm, fault, sp.read(at), sp.level)
        base_gfn = fault.gfn & -pages_per(sp.level)
        if sp.level == fault.goal_level:
            ret = mmu_set_spte(vm, vcpu, fault.slot, sptep, walker.pte_access, base_gfn, fault.pfn, fault)
            if ret is not RetPf.SPURIOUS:
                pte_prefetch(vm, vcpu, walker, sptep)
                count_fixed(vm, vcpu)
            return ret
        validate_direct_spte(vm, sptep, walker.pte_access)
        child = kvm_mmu_get_child_sp(vm, vcpu, sptep, base_gfn, True, walker.pte_access)
        if child is None:
            continue
        link_shadow_page(vm, sptep, child)
        if fault.huge_page_disallowed:
            account_nx_huge_page(vm, child, fault.req_level >= sp.level)
    return _no_table(vm, vcpu)


def validate_direct_spte(vm: Vm, sptep: Sptep, access: int) -> None:
    """Unlink a direct page with other rights than the guest's huge page has now.

    The rights of a huge page grow when it becomes dirty; a page that others use must not get them.
    """
    sp, at = sptep
    child = spte_to_child_sp(vm, sp.read(at), sp.level)
    if child is not None and child.role.access != access:
        drop_parent_pte(child, sptep)
        kvm_flush_remote_tlbs(vm)

# SPDX-License-Identifier: GPL-2.0-only
"""Mapping: installing the leaf that a fault needs, and the tables above it that are missing."""

from __future__ import annotations

from conformance.model.changes import (
    NX_TAGGED_ALWAYS,
    SPLIT_ON_FAULT,
    SPURIOUS_IF_ALLOWED,
)
from conformance.model.spte.mmio import make_mmio_spte
from conformance.model.spte.predicates import is_frozen_spte, is_mmio_spte, is_shadow_present_pte, spte_to_pfn
from conformance.model.spte.writability import is_access_allowed
from conformance.model.tdp_mmu.changed_spte import maps_page, tdp_mmu_set_spte_atomic
from conformance.model.tdp_mmu.split import tdp_mmu_split_huge_page
from conformance.model.tdp_mmu.tdp_iter import Entry
from conformance.model.tdp_mmu.zap import tdp_mmu_zap_spte_atomic
from conformance.model.vm.flushes import kvm_flush_remote_tlbs
from conformance.model.vm.kvm_page_fault import KvmPageFault, RetPf, write_protected
from conformance.model.vm.leaf_spte import make_leaf_spte
from conformance.model.vm.mapping_level import disallowed_hugepage_adjust, kvm_mmu_hugepage_adjust
from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.vm import KvmVcpu, Vm, kvm_ad_enabled

__all__ = ["kvm_tdp_mmu_map"]


def kvm_tdp_mmu_map(vm: Vm, vcpu: KvmVcpu, fault: KvmPageFault) -> RetPf:
    """Map the fault's page at ``fault.goal_level``, linking the tables that are missing above it.

    A huge leaf above the goal level is replaced by a table. Since v6.2 it is split, so its other pages stay
    mapped and no flush is needed; before, it was zapped. Return RETRY if another thread changed an entry on
    the way, or froze it.
    """
    kvm_mmu_hugepage_adjust(vm, fault)
    table: KvmMmuPage | None = vcpu.mmu.root
    with vm.memory.rcu:
        while table is not None:
            index = table.index_of(fault.gfn)
            entry = Entry(table, index, table.read(index))
            if vm.nx_huge_pages:
                disallowed_hugepage_adjust(vm, fault, entry.old_spte, table.level)
            if is_frozen_spte(vm.k, entry.old_spte):
                table.stall_while(index, entry.old_spte, vm.memory.retired)
                return RetPf.RETRY
            if table.level == fault.goal_level:
                return tdp_mmu_map_handle_target_level(vm, vcpu, fault, entry)
            if maps_page(vm, entry) and not vm.k.has(SPLIT_ON_FAULT):
                if not tdp_mmu_zap_spte_atomic(vm, entry):
                    return RetPf.RETRY
                entry.old_spte = table.read(index)
            child = vm.memory.child(entry.old_spte, table.level)
            if child is None and not _link_new_table(vm, fault, entry):
                return RetPf.RETRY
            table = vm.memory.child(table.read(index), table.level)
    return RetPf.RETRY


def _link_new_table(vm: Vm, fault: KvmPageFault, entry: Entry) -> bool:
    """Link a new table at the entry, which is not present or a huge leaf; return True on success.

    The table is empty, or maps the pages of the huge leaf. If only the NX mitigation forbids a huge page
    here, the table is added to the list from which kvm_recover_nx_huge_pages() zaps. If another thread
    changed the entry first, the new table is freed.
    """
    child = vm.memory.new_child(entry.table, entry.index)
    could_be_huge = fault.huge_page_disallowed and fault.req_level >= entry.level
    if fault.huge_page_disallowed and (could_be_huge or vm.k.has(NX_TAGGED_ALWAYS)):
        child.nx_huge_page_disallowed = True
    if is_shadow_present_pte(vm.k, entry.old_spte):
        linked = tdp_mmu_split_huge_page(vm, entry, child, shared=True)
    else:
        linked = tdp_mmu_set_spte_atomic(vm, entry, vm.memory.pointer_to(child, not kvm_ad_enabled(vm.k)))
    if not linked:
        vm.memory.drop(child)
        return False
    if could_be_huge and child.nx_huge_page_disallowed:
        vm.change_nx_huge_pages()
        vm.possible_nx_huge_pages.append(child)
        vm.nx_lpage_splits += 1
    return True


def tdp_mmu_map_handle_target_level(vm: Vm, vcpu: KvmVcpu, fault: KvmPageFault, entry: Entry) -> RetPf:
    """Install the leaf, or an MMIO SPTE if no memslot covers the gfn.

    Return SPURIOUS if the entry needs no change, RETRY if another thread changed it first, EMULATE for MMIO,
    else FIXED. A leaf that replaces a table needs a flush: TLBs may hold translations through the table.
    """
    k, old_spte = vm.k, entry.old_spte
    was_leaf = maps_page(vm, entry)
    replaces_table = is_shadow_present_pte(k, old_spte) and not was_leaf
    if k.has(SPURIOUS_IF_ALLOWED) and was_leaf and _access_allowed(vm, old_spte, fault):
        k.warn_on("tdp_mmu_map_handle_target_level", spte_to_pfn(k, old_spte) != fault.pfn)
        return RetPf.SPURIOUS

    must_not_write = False
    if fault.slot is None:
        generation = vm.slots_of(vcpu).generation
        new_spte = int(make_mmio_spte(k, entry.gfn, k.layout.acc_all, generation))
    else:
        new_spte, must_not_write = make_leaf_spte(
            vm,
            fault.slot,
            access=k.layout.acc_all,
            gfn=entry.gfn,
            pfn=fault.pfn,
            old_spte=old_spte,
            level=entry.level,
            ad_disabled=not kvm_ad_enabled(k),
            host_writable=fault.map_writable,
        )

    ret = RetPf.FIXED
    if new_spte == old_spte:
        ret = RetPf.SPURIOUS
    elif not tdp_mmu_set_spte_atomic(vm, entry, new_spte):
        return RetPf.RETRY
    elif replaces_table:
        kvm_flush_remote_tlbs(vm)
    if must_not_write and fault.write:
        ret = write_protected(k)
    if is_mmio_spte(k, new_spte):
        vcpu.pf_mmio_spte_created += 1
        ret = RetPf.EMULATE
    return ret


def _access_allowed(vm: Vm, spte: int, fault: KvmPageFault) -> bool:
    """Whether ``spte`` has the rights for the fault's access."""
    return bool(is_access_allowed(vm.k, spte, exec=fault.exec, write=fault.write))

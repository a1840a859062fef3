# SPDX-License-Identifier: GPL-2.0-only
"""The mitigation of the iTLB multihit erratum: huge pages are mapped without X.

A fetch from a huge page faults, and KVM maps a 4 KiB page instead. Since many such pages are executed only
for a short time, a worker regularly zaps the tables that replace huge pages, so that these can be mapped
again.
"""

from __future__ import annotations

from conformance.model.changes import NX_RECOVERY_SHARED, NX_RECOVERY_SKIPS_LOGGED
from conformance.model.spte.predicates import is_shadow_present_pte
from conformance.model.tdp_mmu.changed_spte import (
    tdp_mmu_set_spte,
    tdp_mmu_set_spte_atomic,
    untrack_possible_nx_huge_page,
)
from conformance.model.tdp_mmu.roots import kvm_mmu_zap_all_fast
from conformance.model.tdp_mmu.tdp_iter import Entry
from conformance.model.vm.flushes import kvm_flush_remote_tlbs
from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.vm import Vm

__all__ = ["kvm_recover_nx_huge_pages", "set_nx_huge_pages"]


def set_nx_huge_pages(vm: Vm, on: bool) -> None:
    """Set the module parameter nx_huge_pages; zap all mappings if its value changed."""
    changed = vm.nx_huge_pages != on
    vm.nx_huge_pages = on
    if changed:
        with vm.slots_lock.for_write:
            kvm_mmu_zap_all_fast(vm)


def kvm_recover_nx_huge_pages(vm: Vm) -> None:
    """Zap all tables on the list of possible NX huge pages (the module parameters' ratio is 1).

    Since v6.2 a table that maps a memslot with dirty logging is not zapped, since the memslot could get only
    4 KiB pages. Such a table is removed from the list all the same; it is replaced when logging ends.
    """
    shared = vm.k.has(NX_RECOVERY_SHARED)
    flush = False
    with vm.srcu, vm.mmu_lock.held(shared), vm.memory.rcu:
        for _ in range(vm.nx_lpage_splits):
            vm.change_nx_huge_pages()
            if not vm.possible_nx_huge_pages:
                break
            table = vm.possible_nx_huge_pages[0]
            dirty_logged = vm.k.has(NX_RECOVERY_SKIPS_LOGGED) and _dirty_logged(vm, table)
            if dirty_logged or shared:
                table.nx_huge_page_disallowed = False
                untrack_possible_nx_huge_page(vm, table)
            if not dirty_logged:
                flush |= _zap_table(vm, table, shared)
            if vm.need_resched:
                if flush:
                    kvm_flush_remote_tlbs(vm)
                    flush = False
                vm.memory.rcu.unlock()
                vm.mmu_lock.let_others_run()
                vm.memory.rcu.lock()
        if flush:
            kvm_flush_remote_tlbs(vm)


def _dirty_logged(vm: Vm, table: KvmMmuPage) -> bool:
    """Whether the memslot of the table's first gfn has dirty logging."""
    slot = vm.memslots[table.as_id].gfn_to_memslot(table.gfn)
    return slot is not None and slot.dirty_track_enabled


def _zap_table(vm: Vm, table: KvmMmuPage, shared: bool) -> bool:
    """Zap the entry that points to ``table``, as kvm_tdp_mmu_zap_sp(); return whether a flush is needed.

    With mmu_lock held for read (``shared``), nothing is zapped if the entry no longer points to ``table``.
    """
    parent = table.parent
    assert parent is not None
    index, nonpresent = parent.index_of(table.gfn), vm.k.layout.nonpresent_value
    entry = Entry(parent, index, parent.read(index))
    if not shared:
        vm.k.warn_on("kvm_tdp_mmu_zap_sp", not is_shadow_present_pte(vm.k, entry.old_spte))
        tdp_mmu_set_spte(vm, entry, nonpresent)
        return True
    if vm.memory.child(entry.old_spte, entry.level) is not table:
        return False
    return tdp_mmu_set_spte_atomic(vm, entry, nonpresent)

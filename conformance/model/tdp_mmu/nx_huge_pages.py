# SPDX-License-Identifier: GPL-2.0-only
"""The mitigation of the iTLB multihit erratum: huge pages may not be executed.

A fetch from a huge page gets a small page. Since most such pages are soon no longer executed, a worker now
and then zaps the tables that stand in the way of huge pages.
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
    """Turn the mitigation on or off; a change of mind drops all translations."""
    changed = vm.nx_huge_pages != on
    vm.nx_huge_pages = on
    if changed:
        with vm.slots_lock.for_write:
            kvm_mmu_zap_all_fast(vm)


def kvm_recover_nx_huge_pages(vm: Vm) -> None:
    """Zap the tables that stand where a huge page could be: all of them, at ratio 1.

    Since v6.2 not those of a slot that is logged: only small pages could come back. They are struck off the
    list all the same, and go with the other small pages when logging ends.
    """
    shared = vm.k.has(NX_RECOVERY_SHARED)
    flush = False
    with vm.srcu, vm.mmu_lock.held(shared), vm.memory.rcu:
        for _ in range(vm.nx_lpage_splits):
            vm.change_nx_huge_pages()
            if not vm.possible_nx_huge_pages:
                break
            table = vm.possible_nx_huge_pages[0]
            logged = vm.k.has(NX_RECOVERY_SKIPS_LOGGED) and _logged(vm, table)
            if logged or shared:
                table.nx_huge_page_disallowed = False
                untrack_possible_nx_huge_page(vm, table)
            if not logged:
                flush |= _zap(vm, table, shared)
            if vm.need_resched:
                if flush:
                    kvm_flush_remote_tlbs(vm)
                    flush = False
                vm.memory.rcu.unlock()
                vm.mmu_lock.let_others_run()
                vm.memory.rcu.lock()
        if flush:
            kvm_flush_remote_tlbs(vm)


def _logged(vm: Vm, table: KvmMmuPage) -> bool:
    """Whether the slot that backs the table's first frame is logged."""
    slot = vm.memslots[table.as_id].gfn_to_memslot(table.gfn)
    return slot is not None and slot.dirty_track_enabled


def _zap(vm: Vm, table: KvmMmuPage, shared: bool) -> bool:
    """Zap the entry that points to ``table``, which takes it off the list; whether it still did."""
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

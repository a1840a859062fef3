# SPDX-License-Identifier: GPL-2.0-only
"""The mitigation of the iTLB multihit erratum: huge pages are mapped without X.

A fetch from a huge page faults, and KVM maps a 4 KiB page instead. Since many such pages are executed only
for a short time, a worker regularly zaps the tables that replace huge pages, so that these can be mapped
again.
"""

from __future__ import annotations

from conformance.model.changes import NX_RECOVERY_SHARED, NX_RECOVERY_SKIPS_LOGGED, NX_SEPARATE_LISTS
from conformance.model.shadow_mmu.zap import (
    InvalidList,
    kvm_mmu_prepare_zap_page,
    kvm_mmu_remote_flush_or_zap,
)
from conformance.model.shadow_mmu.zap_all import kvm_mmu_zap_all_fast
from conformance.model.spte.predicates import is_shadow_present_pte
from conformance.model.tdp_mmu.changed_spte import (
    tdp_mmu_set_spte,
    tdp_mmu_set_spte_atomic,
    untrack_possible_nx_huge_page,
)
from conformance.model.tdp_mmu.tdp_iter import Entry
from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.shadow_page import ShadowPage
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
    pages = len([table for table in vm.possible_nx_huge_pages if isinstance(table, ShadowPage)])
    if not vm.k.has(NX_SEPARATE_LISTS):
        _recover(vm, vm.nx_lpage_splits, KvmMmuPage, shared=False)
        return
    if pages:
        _recover(vm, pages, ShadowPage, shared=False)
    _recover(vm, vm.nx_lpage_splits, KvmMmuPage, shared=vm.k.has(NX_RECOVERY_SHARED))


def _recover(vm: Vm, to_zap: int, kind: type[KvmMmuPage], shared: bool) -> None:
    """Recover up to ``to_zap`` tables of a kind, oldest first."""
    flush = False
    invalid_list: InvalidList = []
    with vm.srcu, vm.mmu_lock.held(shared), vm.memory.rcu:
        for _ in range(to_zap):
            vm.change_nx_huge_pages()
            table = next((table for table in vm.possible_nx_huge_pages if isinstance(table, kind)), None)
            if table is None:
                break
            dirty_logged = vm.k.has(NX_RECOVERY_SKIPS_LOGGED) and _dirty_logged(vm, table)
            if dirty_logged or vm.k.has(NX_SEPARATE_LISTS):
                table.nx_huge_page_disallowed = False
                untrack_possible_nx_huge_page(vm, table)
            if not dirty_logged:
                if isinstance(table, ShadowPage):
                    kvm_mmu_prepare_zap_page(vm, table, invalid_list)
                else:
                    flush |= _zap_table(vm, table, shared)
            if vm.need_resched:
                kvm_mmu_remote_flush_or_zap(vm, invalid_list, flush)
                flush = False
                vm.memory.rcu.unlock()
                vm.mmu_lock.let_others_run()
                vm.memory.rcu.lock()
        kvm_mmu_remote_flush_or_zap(vm, invalid_list, flush)


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

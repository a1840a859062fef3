# SPDX-License-Identifier: GPL-2.0-only
"""Recovering huge pages when dirty logging ends: tables of small pages are replaced by huge leaves."""

from __future__ import annotations

from conformance.model.changes import HUGE_PAGE_RECOVERY
from conformance.model.layout import PG_LEVEL_1G, PG_LEVEL_2M
from conformance.model.spte.make_spte import make_huge_spte
from conformance.model.tdp_mmu.changed_spte import maps_page, tdp_mmu_set_spte_atomic
from conformance.model.tdp_mmu.root_list import each_root
from conformance.model.tdp_mmu.tdp_iter import Entry, TdpIter
from conformance.model.tdp_mmu.zap import tdp_mmu_iter_cond_resched, tdp_mmu_zap_spte_atomic
from conformance.model.vm.flushes import kvm_flush_remote_tlbs
from conformance.model.vm.host_pages import pages_per
from conformance.model.vm.mapping_level import kvm_mmu_max_mapping_level
from conformance.model.vm.memslots import KvmMemorySlot
from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.vm import Vm

__all__ = ["kvm_tdp_mmu_recover_huge_pages"]


def kvm_tdp_mmu_recover_huge_pages(vm: Vm, slot: KvmMemorySlot) -> None:
    """Replace each table in the memslot by a huge leaf where the memslot and the host allow one.

    TLBs are flushed once, at the end. Before commit 13e2e4f62a4b in v6.13 each table was zapped, with a
    flush, and a later fault mapped the huge page.
    """
    for root in each_root(vm, slot.as_id, only_valid=True):
        flush = False
        walk = TdpIter(vm.memory, root, slot.base_gfn, slot.end_gfn, PG_LEVEL_2M)
        with vm.memory.rcu:
            for entry in walk:
                if entry.level > PG_LEVEL_1G or not slot.contains(entry.gfn):
                    continue
                if _recover_huge_page(vm, slot, entry):
                    flush = tdp_mmu_iter_cond_resched(vm, walk, True, entry.gfn + pages_per(entry.level))
            if flush:
                kvm_flush_remote_tlbs(vm)


def _recover_huge_page(vm: Vm, slot: KvmMemorySlot, entry: Entry) -> bool:
    """Replace the table that the entry points to, if any; return whether TLBs must still be flushed."""
    while True:
        child = vm.memory.child(entry.old_spte, entry.level)
        if child is None or kvm_mmu_max_mapping_level(vm, slot, entry.gfn) < entry.level:
            return False
        if not vm.k.has(HUGE_PAGE_RECOVERY):
            if tdp_mmu_zap_spte_atomic(vm, entry):
                return False
            continue
        huge_spte = _huge_leaf(vm, child, entry.level)
        if huge_spte is None:
            return False
        if tdp_mmu_set_spte_atomic(vm, entry, huge_spte):
            return True


def _huge_leaf(vm: Vm, table: KvmMmuPage, level: int) -> int | None:
    """The huge leaf to replace ``table``, made from the first leaf below it; None if it has no leaf."""
    end = table.gfn + pages_per(level)
    for entry in TdpIter(vm.memory, table, table.gfn, end):
        if maps_page(vm, entry):
            return int(make_huge_spte(vm.k, entry.old_spte, level=level, nx_huge_pages=vm.nx_huge_pages))
    return None

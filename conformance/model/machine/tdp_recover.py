# SPDX-License-Identifier: GPL-2.0-only
"""When dirty logging ends: small pages that a huge one could replace go, so that it can come back."""

from __future__ import annotations

from conformance.model.changes import HUGE_PAGE_RECOVERY
from conformance.model.construct import make_huge_spte
from conformance.model.layout import PG_LEVEL_1G, PG_LEVEL_2M
from conformance.model.machine.flushes import kvm_flush_remote_tlbs
from conformance.model.machine.host import pages_per
from conformance.model.machine.mapping_level import kvm_mmu_max_mapping_level
from conformance.model.machine.memslots import KvmMemorySlot
from conformance.model.machine.spte_changes import is_leaf, tdp_mmu_set_spte
from conformance.model.machine.tables import KvmMmuPage, walk
from conformance.model.machine.tdp_zap import flush_before_yield, zap_and_flush
from conformance.model.machine.vm import Vm

__all__ = ["kvm_tdp_mmu_recover_huge_pages"]


def kvm_tdp_mmu_recover_huge_pages(vm: Vm, slot: KvmMemorySlot) -> None:
    """Replace tables in the slot by the huge pages that slot and host allow now.

    In place, with one flush at the end; until 13e2e4f62a4b in v6.13 the table was zapped, with a flush
    for each, and a later fault made the huge page.
    """
    for root in reversed(vm.roots):
        if root.as_id != slot.as_id or root.invalid:
            continue
        flush = False
        for table, index, gfn, spte in walk(vm.memory, root, slot.base_gfn, slot.end_gfn, PG_LEVEL_2M):
            child = vm.memory.child(spte, table.level)
            if child is None or table.level > PG_LEVEL_1G or not slot.contains(gfn):
                continue
            if kvm_mmu_max_mapping_level(vm, slot, gfn) < table.level:
                continue
            if not vm.k.has(HUGE_PAGE_RECOVERY):
                zap_and_flush(vm, table, index)
                continue
            huge_spte = _huge_spte(vm, child, table.level)
            if huge_spte is not None:
                tdp_mmu_set_spte(vm, table, index, huge_spte, shared=True)
                flush = flush_before_yield(vm, True, gfn + pages_per(table.level), slot.end_gfn)
        if flush:
            kvm_flush_remote_tlbs(vm)


def _huge_spte(vm: Vm, table: KvmMmuPage, level: int) -> int | None:
    """The huge leaf in place of ``table``: it takes after the first leaf there; None if there is none."""
    end = table.gfn + pages_per(level)
    for below, _, _, spte in walk(vm.memory, table, table.gfn, end):
        if is_leaf(vm, spte, below.level):
            return int(make_huge_spte(vm.k, spte, level=level, nx_huge_pages=vm.nx_huge_pages))
    return None

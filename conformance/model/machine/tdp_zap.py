# SPDX-License-Identifier: GPL-2.0-only
"""Zapping: SPTEs are made non-present, leaf by leaf, or tables and all."""

from __future__ import annotations

from conformance.model.changes import INVALID_ROOTS_NOT_FLUSHED, ROOTS_ZAPPED_FROM_4K
from conformance.model.layout import PG_LEVEL_1G, PG_LEVEL_4K
from conformance.model.machine.flushes import kvm_flush_remote_tlbs
from conformance.model.machine.host import pages_per
from conformance.model.machine.memslots import KvmMemorySlot
from conformance.model.machine.spte_changes import is_leaf, tdp_mmu_set_spte
from conformance.model.machine.tables import ROOT_LEVEL, KvmMmuPage, walk
from conformance.model.machine.vm import Vm
from conformance.model.shape import is_shadow_present_pte

__all__ = [
    "flush_before_yield",
    "kvm_tdp_mmu_unmap_gfn_range",
    "tdp_mmu_zap_root",
    "zap_and_flush",
]


def flush_before_yield(vm: Vm, flush: bool, next_gfn: int, end: int) -> bool:
    """Whether a flush is still owed when a walk, having changed an entry, goes on at ``next_gfn``.

    A walk that is asked to reschedule drops mmu_lock at each entry (if it got further since the last
    time), and must not do so while stale TLB entries are about. Behind the last entry it need not.
    """
    if flush and vm.need_resched and next_gfn < end:
        kvm_flush_remote_tlbs(vm)
        return False
    return flush


def tdp_mmu_zap_leafs(vm: Vm, root: KvmMmuPage, start: int, end: int, can_yield: bool, flush: bool) -> bool:
    """Zap the leaves that map frames in [``start``, ``end``); tables stay. Whether a flush is owed now.

    A huge leaf that lies in the range only in part goes as a whole.
    """
    nonpresent = vm.k.layout.nonpresent_value
    for table, index, gfn, spte in walk(vm.memory, root, start, end):
        if not is_leaf(vm, spte, table.level):
            continue
        tdp_mmu_set_spte(vm, table, index, nonpresent, shared=False)
        if not root.invalid or not vm.k.has(INVALID_ROOTS_NOT_FLUSHED):
            flush = True
        if can_yield:
            flush = flush_before_yield(vm, flush, gfn + pages_per(table.level), end)
    return flush


def kvm_tdp_mmu_unmap_gfn_range(
    vm: Vm, slot: KvmMemorySlot, start: int, end: int, may_block: bool, flush: bool = False
) -> bool:
    """Zap a range of a slot for the host, in all its roots: invalid ones map the pages just as well."""
    for root in reversed(vm.roots):
        if root.as_id == slot.as_id:
            flush = tdp_mmu_zap_leafs(vm, root, start, min(end, vm.end_gfn), may_block, flush)
    return flush


def tdp_mmu_zap_root(vm: Vm, root: KvmMmuPage, shared: bool) -> None:
    """Zap everything under ``root``.

    The kernel does it in passes, so that not too much hangs on one entry: at 1 GiB and at the top, since
    v6.9 from 4 KiB on. What remains is the same, for a table that is removed is frozen whole. But when it
    gives way, which it may once it is beyond the first entry of a pass, others find the rest still in place.
    """
    if vm.while_away is not None:
        _zap_first_entry(vm, root, shared)
        while_away, vm.while_away = vm.while_away, None
        while_away()
    for table, index, _, spte in walk(vm.memory, root, 0, vm.end_gfn, ROOT_LEVEL):
        if is_shadow_present_pte(vm.k, spte):
            tdp_mmu_set_spte(vm, table, index, vm.k.layout.nonpresent_value, shared)


def _zap_first_entry(vm: Vm, root: KvmMmuPage, shared: bool) -> None:
    """What the first pass over a root has zapped when it first gives way."""
    level = PG_LEVEL_4K if vm.k.has(ROOTS_ZAPPED_FROM_4K) else PG_LEVEL_1G
    for table, index, _, spte in walk(vm.memory, root, 0, 1, level):
        if table.level == level and is_shadow_present_pte(vm.k, spte):
            tdp_mmu_set_spte(vm, table, index, vm.k.layout.nonpresent_value, shared)


def zap_and_flush(vm: Vm, table: KvmMmuPage, index: int) -> None:
    """Zap one entry under mmu_lock for read (tdp_mmu_zap_spte_atomic()).

    It is frozen until the TLBs are flushed: nobody may fill it while an old translation can be used.
    """
    tdp_mmu_set_spte(vm, table, index, vm.k.layout.nonpresent_value, shared=True)
    kvm_flush_remote_tlbs(vm)

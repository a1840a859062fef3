# SPDX-License-Identifier: GPL-2.0-only
"""Zapping: SPTEs are made non-present, leaf by leaf, or tables and all."""

from __future__ import annotations

from conformance.model.changes import (
    INVALID_ROOTS_NOT_FLUSHED,
    PROCESSED_AFTER_FLUSH,
    ROOTS_ZAPPED_FROM_4K,
)
from conformance.model.layout import PG_LEVEL_1G, PG_LEVEL_4K
from conformance.model.spte.predicates import is_shadow_present_pte
from conformance.model.tdp_mmu.changed_spte import (
    __tdp_mmu_set_spte_atomic,
    handle_changed_spte,
    is_leaf,
    tdp_mmu_set_spte,
    tdp_mmu_set_spte_atomic,
)
from conformance.model.tdp_mmu.root_list import each_root
from conformance.model.tdp_mmu.tdp_iter import TdpIter
from conformance.model.vm.flushes import kvm_flush_remote_tlbs
from conformance.model.vm.host_pages import pages_per
from conformance.model.vm.memslots import KvmMemorySlot
from conformance.model.vm.mmu_pages import ROOT_LEVEL, KvmMmuPage
from conformance.model.vm.vm import Vm

__all__ = [
    "kvm_tdp_mmu_unmap_gfn_range",
    "tdp_mmu_iter_cond_resched",
    "tdp_mmu_zap_root",
    "tdp_mmu_zap_spte_atomic",
]


def tdp_mmu_iter_cond_resched(vm: Vm, walk: TdpIter, flush: bool, next_gfn: int) -> bool:
    """Yield before the walk goes on at ``next_gfn`` if need_resched() says so; whether a flush is owed then.

    A walk that yields drops mmu_lock, which it must not do while TLBs hold stale entries. It yields only if
    it got further since the last time, and not behind its last entry.
    """
    if not vm.need_resched or next_gfn <= walk.yielded_gfn or next_gfn >= walk.end:
        return flush
    if flush:
        kvm_flush_remote_tlbs(vm)
    vm.memory.rcu.unlock()
    vm.mmu_lock.let_others_run()
    vm.memory.rcu.lock()
    walk.restart(next_gfn)
    return False


def tdp_mmu_zap_leafs(vm: Vm, root: KvmMmuPage, start: int, end: int, can_yield: bool, flush: bool) -> bool:
    """Zap the leaves that map frames in [``start``, ``end``); tables stay. Whether a flush is owed now.

    A huge leaf that lies in the range only in part goes as a whole.
    """
    nonpresent = vm.k.layout.nonpresent_value
    walk = TdpIter(vm.memory, root, start, end)
    with vm.memory.rcu:
        for table, index, gfn, spte in walk:
            if not is_leaf(vm, spte, table.level):
                continue
            tdp_mmu_set_spte(vm, table, index, spte, nonpresent)
            if not root.invalid or not vm.k.has(INVALID_ROOTS_NOT_FLUSHED):
                flush = True
            if can_yield:
                flush = tdp_mmu_iter_cond_resched(vm, walk, flush, gfn + pages_per(table.level))
    return flush


def kvm_tdp_mmu_unmap_gfn_range(
    vm: Vm, slot: KvmMemorySlot, start: int, end: int, may_block: bool, flush: bool = False
) -> bool:
    """Zap a range of a slot for the host, in all its roots: invalid ones map the pages just as well."""
    for root in each_root(vm, slot.as_id, only_valid=False):
        flush = tdp_mmu_zap_leafs(vm, root, start, min(end, vm.end_gfn), may_block, flush)
    return flush


def tdp_mmu_zap_root(vm: Vm, root: KvmMmuPage, shared: bool) -> None:
    """Zap everything under ``root``, in passes, so that not too much hangs on one entry.

    First at 1 GiB, since v6.9 from 4 KiB on, at last at the top.
    """
    first = PG_LEVEL_4K if vm.k.has(ROOTS_ZAPPED_FROM_4K) else PG_LEVEL_1G
    with vm.memory.rcu:
        for level in range(first, ROOT_LEVEL + 1):
            __tdp_mmu_zap_root(vm, root, shared, level)


def __tdp_mmu_zap_root(vm: Vm, root: KvmMmuPage, shared: bool, zap_level: int) -> None:
    """Zap what is present at ``zap_level``.

    The walk yields once it is beyond its first entry, whether that was present or not.
    """
    walk = TdpIter(vm.memory, root, 0, vm.end_gfn, zap_level)
    for table, index, gfn, spte in walk:
        tdp_mmu_iter_cond_resched(vm, walk, False, gfn)
        if walk.restarted:
            continue
        if table.level == zap_level:
            _zap(vm, table, index, spte, shared)
    tdp_mmu_iter_cond_resched(vm, walk, False, walk.end - 1)


def _zap(vm: Vm, table: KvmMmuPage, index: int, spte: int, shared: bool) -> None:
    """Zap an entry, whatever it has become meanwhile."""
    nonpresent = vm.k.layout.nonpresent_value
    seen: int | None = spte
    while seen is not None and is_shadow_present_pte(vm.k, seen):
        if shared:
            seen = tdp_mmu_set_spte_atomic(vm, table, index, seen, nonpresent)
        else:
            tdp_mmu_set_spte(vm, table, index, seen, nonpresent)
            return


def tdp_mmu_zap_spte_atomic(vm: Vm, table: KvmMmuPage, index: int, spte: int) -> int | None:
    """Zap one entry under mmu_lock for read; the current value if another thread changed ``spte`` first.

    It is frozen until the TLBs are flushed: it must not be filled while an old translation can be used.
    """
    nonpresent, frozen = vm.k.layout.nonpresent_value, vm.k.layout.frozen_spte
    if not vm.k.has(PROCESSED_AFTER_FLUSH):
        found = tdp_mmu_set_spte_atomic(vm, table, index, spte, frozen)
    else:
        found = __tdp_mmu_set_spte_atomic(vm, table, index, spte, frozen)
    if found is not None:
        return found
    kvm_flush_remote_tlbs(vm)
    table.write(index, nonpresent)
    if vm.k.has(PROCESSED_AFTER_FLUSH):
        handle_changed_spte(vm, table, index, spte, nonpresent, shared=True)
    return None

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
    maps_page,
    tdp_mmu_set_spte,
    tdp_mmu_set_spte_atomic,
)
from conformance.model.tdp_mmu.root_list import each_root
from conformance.model.tdp_mmu.tdp_iter import Entry, TdpIter
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
        for entry in walk:
            if not maps_page(vm, entry):
                continue
            tdp_mmu_set_spte(vm, entry, nonpresent)
            if not root.invalid or not vm.k.has(INVALID_ROOTS_NOT_FLUSHED):
                flush = True
            if can_yield:
                flush = tdp_mmu_iter_cond_resched(vm, walk, flush, entry.gfn + pages_per(entry.level))
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
    for entry in walk:
        tdp_mmu_iter_cond_resched(vm, walk, False, entry.gfn)
        if not walk.restarted and entry.level == zap_level:
            _zap(vm, entry, shared)
    tdp_mmu_iter_cond_resched(vm, walk, False, walk.end - 1)


def _zap(vm: Vm, entry: Entry, shared: bool) -> None:
    """Zap an entry, with the value that it has by then."""
    nonpresent = vm.k.layout.nonpresent_value
    while is_shadow_present_pte(vm.k, entry.old_spte):
        if not shared:
            tdp_mmu_set_spte(vm, entry, nonpresent)
            return
        if tdp_mmu_set_spte_atomic(vm, entry, nonpresent):
            return


def tdp_mmu_zap_spte_atomic(vm: Vm, entry: Entry) -> bool:
    """Zap one entry under mmu_lock for read; whether that was done, as tdp_mmu_set_spte_atomic().

    It is frozen until the TLBs are flushed: it must not be filled while an old translation can be used.
    """
    nonpresent, frozen = vm.k.layout.nonpresent_value, vm.k.layout.frozen_spte
    if not vm.k.has(PROCESSED_AFTER_FLUSH):
        installed = tdp_mmu_set_spte_atomic(vm, entry, frozen)
    else:
        installed = __tdp_mmu_set_spte_atomic(vm, entry, frozen)
    if not installed:
        return False
    kvm_flush_remote_tlbs(vm)
    entry.table.write(entry.index, nonpresent)
    if vm.k.has(PROCESSED_AFTER_FLUSH):
        handle_changed_spte(vm, entry, nonpresent, shared=True)
    return True

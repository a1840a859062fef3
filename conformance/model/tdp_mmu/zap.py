# SPDX-License-Identifier: GPL-2.0-only
"""Zapping: making leaves, or whole subtrees, non-present."""

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
    """Yield mmu_lock before the walk continues at ``next_gfn``, if need_resched() is set.

    Return whether a flush is still needed: ``flush``, or False after yielding, since TLBs must be flushed
    before mmu_lock is dropped. To guarantee progress, a walk does not yield twice at the same gfn; nor does
    it yield after its last entry.
    """
    if not vm.need_resched or next_gfn <= walk.yielded_gfn or next_gfn >= walk.end:
        return flush
    if flush:
        kvm_flush_remote_tlbs(vm)
    vm.memory.rcu.unlock()
    walk.yielded_gfn = next_gfn
    if vm.mmu_lock.let_others_run():
        walk.restarted = True
    vm.memory.rcu.lock()
    return False


def tdp_mmu_zap_leafs(vm: Vm, root: KvmMmuPage, start: int, end: int, can_yield: bool, flush: bool) -> bool:
    """Zap the leaves that map gfns in [``start``, ``end``) and keep the tables; return whether to flush TLBs.

    ``flush`` says whether a flush was needed before. A huge leaf that is only partly in the range is zapped.
    """
    nonpresent = vm.k.layout.nonpresent_value
    walk = TdpIter(vm.memory, root, start, end)
    with vm.memory.rcu:
        if can_yield and flush and vm.need_resched:
            # Until it is at a leaf, a walk yields at entries that map nothing, which are passed over here.
            flush = tdp_mmu_iter_cond_resched(vm, walk, flush, _second_gfn(vm, root, start))
        for entry in walk:
            if not maps_page(vm, entry):
                continue
            tdp_mmu_set_spte(vm, entry, nonpresent)
            if not root.invalid or not vm.k.has(INVALID_ROOTS_NOT_FLUSHED):
                flush = True
            if can_yield:
                flush = tdp_mmu_iter_cond_resched(vm, walk, flush, entry.gfn + pages_per(entry.level))
    return flush


def _second_gfn(vm: Vm, root: KvmMmuPage, start: int) -> int:
    """The gfn to which a walk steps from the entry for ``start``; ``start`` itself if that is a leaf."""
    table, spte = root, root.read(root.index_of(start))
    while (child := vm.memory.child(spte, table.level)) is not None:
        table, spte = child, child.read(child.index_of(start))
    size = pages_per(table.level)
    return start if is_shadow_present_pte(vm.k, spte) else (start & -size) + size


def kvm_tdp_mmu_unmap_gfn_range(
    vm: Vm, slot: KvmMemorySlot, start: int, end: int, may_block: bool, flush: bool = False
) -> bool:
    """Zap the leaves for a range of a memslot that the host unmaps; return whether to flush TLBs.

    Invalid roots are zapped too, since the processor may still access the host's pages through them.
    """
    for root in each_root(vm, slot.as_id, only_valid=False):
        flush = tdp_mmu_zap_leafs(vm, root, start, min(end, vm.end_gfn), may_block, flush)
    return flush


def tdp_mmu_zap_root(vm: Vm, root: KvmMmuPage, shared: bool) -> None:
    """Zap everything below ``root``, in one pass for each level, which bounds the work for a single entry.

    The passes begin at 1 GiB, since v6.9 at 4 KiB, and end at the root's level.
    """
    first = PG_LEVEL_4K if vm.k.has(ROOTS_ZAPPED_FROM_4K) else PG_LEVEL_1G
    with vm.memory.rcu:
        for level in range(first, ROOT_LEVEL + 1):
            __tdp_mmu_zap_root(vm, root, shared, level)


def __tdp_mmu_zap_root(vm: Vm, root: KvmMmuPage, shared: bool, zap_level: int) -> None:
    """Zap the entries that are present at ``zap_level``.

    The walk may yield before each entry but the first, and at the end of the range.
    """
    walk = TdpIter(vm.memory, root, 0, vm.end_gfn, zap_level)
    for entry in walk:
        if vm.need_resched:
            tdp_mmu_iter_cond_resched(vm, walk, False, entry.gfn)
        if not walk.restarted and entry.level == zap_level:
            _zap_entry(vm, entry, shared)
    tdp_mmu_iter_cond_resched(vm, walk, False, walk.end - 1)


def _zap_entry(vm: Vm, entry: Entry, shared: bool) -> None:
    """Zap an entry, repeating with its current value if another thread changed it."""
    nonpresent = vm.k.layout.nonpresent_value
    while is_shadow_present_pte(vm.k, entry.old_spte):
        if not shared:
            tdp_mmu_set_spte(vm, entry, nonpresent)
            return
        if tdp_mmu_set_spte_atomic(vm, entry, nonpresent):
            return


def tdp_mmu_zap_spte_atomic(vm: Vm, entry: Entry) -> bool:
    """Zap one entry with mmu_lock held for read; return True on success, as tdp_mmu_set_spte_atomic().

    The entry is frozen until TLBs are flushed, so that no fault installs a new SPTE while a TLB can still
    hold the old translation.
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

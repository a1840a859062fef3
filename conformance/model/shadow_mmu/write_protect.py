# SPDX-License-Identifier: GPL-2.0-only
"""Write-protecting SPTEs in both MMUs, or clearing Dirty: for tables of the guest, and for the dirty log.

SPTEs of shadow pages are found by rmaps, if memslots have any; those of the TDP MMU by walks over its tables.
"""

from __future__ import annotations

from conformance.model.layout import PG_LEVEL_1G, PG_LEVEL_4K
from conformance.model.shadow_mmu.rmap import gfn_to_rmap, walk_slot_rmaps
from conformance.model.shadow_mmu.sptes import (
    mmu_spte_update,
    spte_clear_dirty_or_writable,
    spte_write_protect,
)
from conformance.model.spte.access import spte_ad_enabled
from conformance.model.tdp_mmu.logging import (
    kvm_tdp_mmu_clear_dirty_pt_masked,
    kvm_tdp_mmu_clear_dirty_slot,
    kvm_tdp_mmu_write_protect_gfn,
    kvm_tdp_mmu_wrprot_slot,
)
from conformance.model.vm.flushes import kvm_flush_remote_tlbs
from conformance.model.vm.memslots import KvmMemorySlot
from conformance.model.vm.pte_list import PteList
from conformance.model.vm.vm import Vm

__all__ = [
    "kvm_mmu_clear_dirty_pt_masked",
    "kvm_mmu_slot_gfn_write_protect",
    "kvm_mmu_slot_leaf_clear_dirty",
    "kvm_mmu_slot_remove_write_access",
    "kvm_mmu_slot_set_dirty",
    "kvm_mmu_write_protect_pt_masked",
]


def rmap_write_protect(vm: Vm, rmap: PteList, pt_protect: bool) -> bool:
    """Clear W of all SPTEs of the rmap, and MMU-writable if ``pt_protect``; return whether to flush."""
    flush = False
    for sptep in rmap:
        flush |= spte_write_protect(vm, sptep, pt_protect)
    return flush


def _slot_rmap_write_protect(vm: Vm, slot: KvmMemorySlot, rmap: PteList) -> bool:
    return rmap_write_protect(vm, rmap, pt_protect=False)


def __rmap_clear_dirty(vm: Vm, slot: KvmMemorySlot, rmap: PteList) -> bool:
    """Clear Dirty, or W where the processor does not log by Dirty; return whether any such bit was set."""
    flush = False
    for sptep in rmap:
        flush |= spte_clear_dirty_or_writable(vm, sptep)
    return flush


def kvm_mmu_slot_gfn_write_protect(vm: Vm, slot: KvmMemorySlot, gfn: int, min_level: int) -> bool:
    """Protect ``gfn`` at ``min_level`` and above, also from fast page faults; return whether to flush."""
    protected = False
    if vm.have_rmaps:
        for level in range(min_level, PG_LEVEL_1G + 1):
            protected |= rmap_write_protect(vm, gfn_to_rmap(vm, slot.as_id, gfn, level), pt_protect=True)
    if vm.tdp_mmu_enabled:
        protected |= kvm_tdp_mmu_write_protect_gfn(vm, slot, gfn, min_level)
    return protected


def kvm_mmu_write_protect_pt_masked(vm: Vm, slot: KvmMemorySlot, gfn: int, mask: int) -> None:
    """Clear W of 4 KiB pages; bit n of ``mask`` selects ``gfn`` + n. The caller flushes TLBs."""
    if vm.tdp_mmu_enabled:
        kvm_tdp_mmu_clear_dirty_pt_masked(vm, slot, gfn, mask, wrprot=True)
    for rmap in _selected(vm, slot, gfn, mask):
        rmap_write_protect(vm, rmap, pt_protect=False)


def kvm_mmu_clear_dirty_pt_masked(vm: Vm, slot: KvmMemorySlot, gfn: int, mask: int) -> None:
    """The same for Dirty, by which the processor logs with PML."""
    if vm.tdp_mmu_enabled:
        kvm_tdp_mmu_clear_dirty_pt_masked(vm, slot, gfn, mask, wrprot=False)
    for rmap in _selected(vm, slot, gfn, mask):
        __rmap_clear_dirty(vm, slot, rmap)


def _selected(vm: Vm, slot: KvmMemorySlot, gfn: int, mask: int) -> list[PteList]:
    """The rmaps that are not empty of the 4 KiB pages that ``mask`` selects, lowest first."""
    if not vm.have_rmaps:
        return []
    offsets = (bit for bit in range(mask.bit_length()) if mask >> bit & 1)
    found = (vm.shadow.rmaps.get((slot.as_id, PG_LEVEL_4K, gfn + offset)) for offset in offsets)
    return [rmap for rmap in found if rmap]


def kvm_mmu_slot_remove_write_access(vm: Vm, slot: KvmMemorySlot, start_level: int) -> bool:
    """Clear W of all leaves of the slot at ``start_level`` and above. The caller flushes TLBs.

    Return whether shadow pages had a leaf for which a flush is needed.
    """
    flush = False
    if vm.have_rmaps:
        with vm.mmu_lock.for_write:
            flush = walk_slot_rmaps(
                vm,
                slot,
                _slot_rmap_write_protect,
                start=slot.base_gfn,
                end=slot.end_gfn,
                min_level=start_level,
                flush_on_yield=False,
            )
    if vm.tdp_mmu_enabled:
        with vm.mmu_lock.for_read:
            kvm_tdp_mmu_wrprot_slot(vm, slot, start_level)
    return flush


def kvm_mmu_slot_leaf_clear_dirty(vm: Vm, slot: KvmMemorySlot) -> bool:
    """Clear Dirty of all leaves of the slot, of shadow pages only those of 4 KiB. The caller flushes TLBs.

    Return whether shadow pages had a leaf for which a flush is needed.
    """
    flush = False
    if vm.have_rmaps:
        with vm.mmu_lock.for_write:
            flush = walk_slot_rmaps(
                vm,
                slot,
                __rmap_clear_dirty,
                start=slot.base_gfn,
                end=slot.end_gfn,
                max_level=PG_LEVEL_4K,
                flush_on_yield=False,
            )
    if vm.tdp_mmu_enabled:
        with vm.mmu_lock.for_read:
            kvm_tdp_mmu_clear_dirty_slot(vm, slot)
    return flush


def kvm_mmu_slot_set_dirty(vm: Vm, slot: KvmMemorySlot) -> None:
    """Set Dirty of all leaves of the slot, when it is not logged by the processor any more.

    Gone with DIRTY_NOT_SET_AFTER_LOGGING, in v5.12.
    """

    def set_dirty(vm: Vm, slot: KvmMemorySlot, rmap: PteList) -> bool:
        flush = False
        for sptep in rmap:
            spte = sptep.sp.read(sptep.at)
            if spte_ad_enabled(vm.k, spte):
                flush |= mmu_spte_update(vm, sptep, spte | int(vm.k.shadow_dirty_mask))
        return flush

    with vm.mmu_lock.for_write:
        flush = walk_slot_rmaps(
            vm, slot, set_dirty, start=slot.base_gfn, end=slot.end_gfn, flush_on_yield=False
        )
    if flush:
        kvm_flush_remote_tlbs(vm)

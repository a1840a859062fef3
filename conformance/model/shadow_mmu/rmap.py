# SPDX-License-Identifier: GPL-2.0-only
"""Reverse maps: for each gfn of a memslot and each level, the leaves of shadow pages that map it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from conformance.model.layout import PG_LEVEL_1G, PG_LEVEL_4K
from conformance.model.shadow_mmu.shadowed import kvm_mmu_page_get_gfn, kvm_mmu_page_set_translation
from conformance.model.shadow_mmu.sptes import mmu_spte_clear_track_bits
from conformance.model.spte.predicates import is_shadow_present_pte
from conformance.model.vm.flushes import kvm_flush_remote_tlbs
from conformance.model.vm.memslots import KvmMemorySlot
from conformance.model.vm.pte_list import PteList, Sptep
from conformance.model.vm.shadow_page import ShadowPage
from conformance.model.vm.vm import Vm

__all__ = [
    "drop_spte",
    "gfn_to_rmap",
    "kvm_zap_all_rmap_sptes",
    "kvm_zap_one_rmap_spte",
    "rmap_add",
    "walk_slot_rmaps",
]

RMAP_RECYCLE_THRESHOLD = 1000
"""If more SPTEs map one gfn, all of them are zapped."""
KVM_MAX_HUGEPAGE_LEVEL = PG_LEVEL_1G

RmapHandler = Callable[[Vm, KvmMemorySlot, PteList], bool]
"""What is done to one rmap; it returns whether TLBs must be flushed."""


def gfn_to_rmap(vm: Vm, as_id: int, gfn: int, level: int) -> PteList:
    """The SPTEs that map ``gfn`` at ``level``."""
    key = as_id, level, gfn >> 9 * (level - 1)
    found = vm.shadow.rmaps.get(key)
    if found is None:
        found = vm.shadow.rmaps[key] = PteList(vm.k)
    return found


def rmap_add(vm: Vm, slot: KvmMemorySlot, sptep: Sptep, gfn: int, access: int) -> None:
    """Note that the SPTE, which was just set, maps ``gfn`` with the guest's rights ``access``."""
    sp = sptep.sp
    assert isinstance(sp, ShadowPage)
    kvm_mmu_page_set_translation(vm, sp, sptep.at, gfn, access)
    vm.pages[sp.level] += 1
    rmap = gfn_to_rmap(vm, slot.as_id, gfn, sp.level)
    recycle = len(rmap) > RMAP_RECYCLE_THRESHOLD
    rmap.add(sptep)
    if recycle:
        kvm_zap_all_rmap_sptes(vm, slot, rmap)
        kvm_flush_remote_tlbs(vm)


def rmap_remove(vm: Vm, sptep: Sptep) -> None:
    """Forget an SPTE that was cleared; its page knows which gfn it mapped."""
    sp = sptep.sp
    assert isinstance(sp, ShadowPage)
    gfn_to_rmap(vm, sp.as_id, kvm_mmu_page_get_gfn(vm, sp, sptep.at), sp.level).remove(sptep)


def drop_spte(vm: Vm, sptep: Sptep) -> None:
    """Clear a leaf, and remove it from its rmap."""
    if is_shadow_present_pte(vm.k, mmu_spte_clear_track_bits(vm, sptep)):
        rmap_remove(vm, sptep)


def kvm_zap_one_rmap_spte(vm: Vm, rmap: PteList, sptep: Sptep) -> None:
    """Clear a leaf of the rmap and remove it."""
    mmu_spte_clear_track_bits(vm, sptep)
    rmap.remove(sptep)


def kvm_zap_all_rmap_sptes(vm: Vm, slot: KvmMemorySlot, rmap: PteList) -> bool:
    """Clear all leaves of the rmap; return whether it had any, so that TLBs must be flushed."""
    had_any = bool(rmap)
    for sptep in rmap:
        mmu_spte_clear_track_bits(vm, sptep)
    rmap.clear()
    return had_any


def walk_slot_rmaps(
    vm: Vm,
    slot: KvmMemorySlot,
    handler: RmapHandler,
    *,
    start: int,
    end: int,
    min_level: int = PG_LEVEL_4K,
    max_level: int = KVM_MAX_HUGEPAGE_LEVEL,
    can_yield: bool = True,
    flush_on_yield: bool = True,
    flush: bool = False,
) -> bool:
    """Call ``handler`` for the rmaps of gfns in [``start``, ``end``), by level; return whether to flush.

    mmu_lock is held for write. The walk may drop it after each rmap if rescheduling is needed.
    """
    for level in range(min_level, max_level + 1):
        for rmap in _rmaps_of_level(vm, slot, level, start, end):
            flush |= handler(vm, slot, rmap)
            if can_yield and vm.need_resched:
                if flush and flush_on_yield:
                    kvm_flush_remote_tlbs(vm)
                    flush = False
                vm.mmu_lock.let_others_run()
    return flush


def _rmaps_of_level(vm: Vm, slot: KvmMemorySlot, level: int, start: int, end: int) -> Iterator[PteList]:
    """The rmap of the first gfn, and those of the others that are not empty when the walk gets there."""
    shift = 9 * (level - 1)
    first, last = start >> shift, end - 1 >> shift
    rmaps = vm.shadow.rmaps
    yield rmaps.get((slot.as_id, level, first)) or PteList(vm.k)
    if last - first > len(rmaps):
        listed = sorted(
            index
            for as_id, at, index in rmaps
            if as_id == slot.as_id and at == level and first < index <= last
        )
    else:
        listed = [*range(first + 1, last + 1)]
    for index in listed:
        rmap = rmaps.get((slot.as_id, level, index))
        if rmap:
            yield rmap

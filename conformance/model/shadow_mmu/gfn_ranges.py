# SPDX-License-Identifier: GPL-2.0-only
"""What the host's notifier calls do to the SPTEs that map a range of gfns, in both MMUs."""

from __future__ import annotations

from dataclasses import replace

from conformance.model.changes import FLUSH_BY_RANGE_WITH_HYPERV, LOCKLESS_RMAP_AGING, UNMAP_YIELDS
from conformance.model.layout import PG_LEVEL_1G, PG_LEVEL_4K
from conformance.model.shadow_mmu.rmap import (
    kvm_zap_all_rmap_sptes,
    kvm_zap_one_rmap_spte,
    walk_slot_rmaps,
)
from conformance.model.shadow_mmu.sptes import mmu_spte_age, mmu_spte_clear_track_bits, mmu_spte_set
from conformance.model.spte.make_spte import kvm_mmu_changed_pte_notifier_make_spte
from conformance.model.tdp_mmu.age import kvm_tdp_mmu_age_gfn_range
from conformance.model.tdp_mmu.changed_spte import maps_page, tdp_mmu_set_spte
from conformance.model.tdp_mmu.root_list import each_root
from conformance.model.tdp_mmu.tdp_iter import TdpIter
from conformance.model.tdp_mmu.zap import kvm_tdp_mmu_unmap_gfn_range
from conformance.model.vm.cells import peek
from conformance.model.vm.flushes import kvm_flush_remote_tlbs
from conformance.model.vm.host_pages import pages_per
from conformance.model.vm.memslots import KvmMemorySlot
from conformance.model.vm.pte_list import PteList
from conformance.model.vm.vm import Vm

__all__ = ["kvm_age_gfn", "kvm_set_spte_gfn", "kvm_unmap_gfn_range"]


def kvm_unmap_gfn_range(vm: Vm, slot: KvmMemorySlot, start: int, end: int, may_block: bool) -> bool:
    """Zap the leaves that map gfns in [``start``, ``end``); return whether TLBs must be flushed."""
    flush = False
    if vm.have_rmaps:
        can_yield = may_block and vm.k.has(UNMAP_YIELDS)
        flush = walk_slot_rmaps(vm, slot, kvm_zap_all_rmap_sptes, start=start, end=end, can_yield=can_yield)
    if vm.tdp_mmu_enabled:
        flush = kvm_tdp_mmu_unmap_gfn_range(vm, slot, start, end, may_block, flush)
    return flush


def kvm_set_spte_gfn(vm: Vm, slot: KvmMemorySlot, gfn: int, pfn: int, writable: bool) -> bool:
    """Have the 4 KiB leaves for ``gfn`` map ``pfn``, read-only; return whether TLBs must be flushed.

    If the host maps the page writable, they are zapped. Gone with f3b65bbaed7c in v6.10.
    """

    def set_pte_rmap(vm: Vm, slot: KvmMemorySlot, rmap: PteList) -> bool:
        found = bool(rmap)
        for sptep in rmap:
            if writable:
                kvm_zap_one_rmap_spte(vm, rmap, sptep)
                continue
            old_spte = sptep.sp.read(sptep.at)
            new_spte = int(kvm_mmu_changed_pte_notifier_make_spte(vm.k, old_spte, pfn))
            mmu_spte_clear_track_bits(vm, sptep)
            mmu_spte_set(vm, sptep, new_spte)
        if found and not vm.k.has(FLUSH_BY_RANGE_WITH_HYPERV):
            kvm_flush_remote_tlbs(vm)
            return False
        return found

    flush = False
    if vm.have_rmaps:
        flush = walk_slot_rmaps(vm, slot, set_pte_rmap, start=gfn, end=gfn + 1, can_yield=False)
    if vm.tdp_mmu_enabled:
        flush |= _tdp_set_spte_gfn(vm, slot, gfn, pfn, writable)
    return flush


def _tdp_set_spte_gfn(vm: Vm, slot: KvmMemorySlot, gfn: int, pfn: int, writable: bool) -> bool:
    """The same in the tables of the TDP MMU."""
    nonpresent, flush = vm.k.layout.nonpresent_value, False
    for root in each_root(vm, slot.as_id, only_valid=False):
        for entry in TdpIter(vm.memory, root, gfn, gfn + 1):
            if entry.level != PG_LEVEL_4K or not maps_page(vm, entry):
                continue
            tdp_mmu_set_spte(vm, entry, nonpresent)
            if not writable:
                new_spte = int(kvm_mmu_changed_pte_notifier_make_spte(vm.k, entry.old_spte, pfn))
                tdp_mmu_set_spte(vm, replace(entry, old_spte=nonpresent), new_spte)
            flush = True
    return flush


def kvm_age_gfn(vm: Vm, slot: KvmMemorySlot, start: int, end: int, test_only: bool) -> bool:
    """Return whether a leaf that maps gfns in the range was used; unless ``test_only``, age those that were.

    Since LOCKLESS_RMAP_AGING the TDP MMU comes first, and rmaps are looked at only while the VM has pages in
    them.
    """
    young = False
    if vm.k.has(LOCKLESS_RMAP_AGING):
        if vm.tdp_mmu_enabled:
            young = kvm_tdp_mmu_age_gfn_range(vm, slot, start, end, test_only)
        if young and test_only:
            return True
        if not vm.tdp_mmu_enabled or peek(vm.shadow, "indirect_shadow_pages"):
            young |= _age_rmaps(vm, slot, start, end, test_only)
        return young
    if vm.have_rmaps:

        def age_rmap(vm: Vm, slot: KvmMemorySlot, rmap: PteList) -> bool:
            return _age_rmap(vm, rmap, test_only)

        young = walk_slot_rmaps(vm, slot, age_rmap, start=start, end=end, can_yield=False)
    if vm.tdp_mmu_enabled:
        young |= kvm_tdp_mmu_age_gfn_range(vm, slot, start, end, test_only)
    return young


def _age_rmaps(vm: Vm, slot: KvmMemorySlot, start: int, end: int, test_only: bool) -> bool:
    """Age without mmu_lock: at each level, the pages of ``start`` and of every gfn a page further on."""
    young = False
    for level in range(PG_LEVEL_4K, PG_LEVEL_1G + 1):
        for gfn in range(start, end, pages_per(level)):
            rmap = vm.shadow.rmaps.get((slot.as_id, level, gfn >> 9 * (level - 1)))
            if rmap:
                young |= _age_rmap(vm, rmap, test_only)
            if young and test_only:
                return True
    return young


def _age_rmap(vm: Vm, rmap: PteList, test_only: bool) -> bool:
    """Age the leaves of an rmap, or test until one is found that was used."""
    young = False
    for sptep in rmap:
        young |= mmu_spte_age(vm, sptep, test_only)
    return young

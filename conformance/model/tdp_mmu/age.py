# SPDX-License-Identifier: GPL-2.0-only
"""Aging: the host asks whether the guest has used a page recently, to choose what it reclaims.

With A/D bits, aging clears Accessed and the processor sets it again on the next use. Without A/D bits, aging
removes R, W and X and saves them in ignored bits (access tracking); the next use faults, and the fault
handler restores them.
"""

from __future__ import annotations

from conformance.model.changes import AGED_ATOMICALLY, CLEAR_SPTE_BITS, LOCKLESS_AGING
from conformance.model.layout import PT_WRITABLE_MASK
from conformance.model.spte.access import is_accessed_spte, mark_spte_for_access_track, spte_ad_enabled
from conformance.model.tdp_mmu.changed_spte import (
    __tdp_mmu_set_spte_atomic,
    clear_entry_bits,
    maps_page,
    write_entry,
)
from conformance.model.tdp_mmu.tdp_iter import Entry, TdpIter
from conformance.model.vm.host_marks import kvm_set_pfn_dirty, report_lost_dirty
from conformance.model.vm.memslots import KvmMemorySlot
from conformance.model.vm.vm import Vm
from conformance.model.words import clear

__all__ = ["kvm_tdp_mmu_age_gfn_range"]


def kvm_tdp_mmu_age_gfn_range(vm: Vm, slot: KvmMemorySlot, start: int, end: int, test_only: bool) -> bool:
    """Return whether a leaf that maps gfns in [``start``, ``end``) was used since it was last aged.

    Unless ``test_only``, each leaf that was used is aged. No TLB flush is requested here.
    """
    young = False
    with vm.memory.rcu:
        for root in vm.listed_roots():
            if root.as_id != slot.as_id:
                continue
            for entry in TdpIter(vm.memory, root, start, end):
                if not maps_page(vm, entry) or not is_accessed_spte(vm.k, entry.old_spte):
                    continue
                young = True
                if not test_only:
                    kvm_tdp_mmu_age_spte(vm, entry)
    return young


def kvm_tdp_mmu_age_spte(vm: Vm, entry: Entry) -> None:
    """Clear Accessed of a leaf, or mark it for access tracking if it has no A/D bits.

    The caller holds mmu_lock for write, so only fast page faults and the processor can change the SPTE
    concurrently. Since v6.15 it does not hold mmu_lock. A failed compare-and-exchange is then not repeated,
    because a leaf that another thread changed is in use or is being zapped.
    """
    k, spte = vm.k, entry.old_spte
    if k.has(LOCKLESS_AGING):
        new_spte = int(mark_spte_for_access_track(k, spte))
        if k.has(AGED_ATOMICALLY):
            __tdp_mmu_set_spte_atomic(vm, entry, new_spte)
        else:
            entry.table.write(entry.index, new_spte)
        return
    if spte_ad_enabled(k, spte):
        old_spte = clear_entry_bits(vm, entry, k.shadow_accessed_mask)
        new_spte = int(clear(old_spte, k.shadow_accessed_mask))
    else:
        new_spte = int(mark_spte_for_access_track(k, spte))
        if spte & PT_WRITABLE_MASK:
            kvm_set_pfn_dirty(vm, spte)
        if not k.has(AGED_ATOMICALLY):
            entry.table.write(entry.index, new_spte)
            return
        old_spte = write_entry(vm, entry, new_spte)
    if not k.has(CLEAR_SPTE_BITS):
        # Those kernels call handle_changed_spte() here, which passes Dirty of the replaced value on.
        report_lost_dirty(vm, old_spte, new_spte)

# SPDX-License-Identifier: GPL-2.0-only
"""Aging: has the guest used a page of late? The host asks, to choose what to reclaim.

With A/D bits the processor's Accessed bit tells. Without, a page is made inaccessible
(access-tracked), and the fault on the next use tells.
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
from conformance.model.vm.host_marks import kvm_set_pfn_dirty, tell_host_of_dirty
from conformance.model.vm.memslots import KvmMemorySlot
from conformance.model.vm.vm import Vm
from conformance.model.words import clear

__all__ = ["kvm_tdp_mmu_age_gfn_range"]


def kvm_tdp_mmu_age_gfn_range(vm: Vm, slot: KvmMemorySlot, start: int, end: int, test_only: bool) -> bool:
    """Whether a leaf in the range was used since it was last aged; ages what was, unless ``test_only``.

    Nothing else follows from it: rights that access tracking takes away come back with the next fault.
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
    """Make a leaf old.

    Under mmu_lock for write, so that only fast page faults and the processor may meddle; since v6.15 without
    it, in one attempt: a leaf that another thread changes is in use or being zapped.
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
        # It went through handle_changed_spte() then; nothing else keeps what the write has replaced.
        tell_host_of_dirty(vm, old_spte, new_spte)

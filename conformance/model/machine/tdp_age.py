# SPDX-License-Identifier: GPL-2.0-only
"""Aging: has the guest used a page of late? The host asks, to choose what to reclaim.

With A/D bits the processor's Accessed bit tells. Without, a page is made inaccessible
(access-tracked), and the fault on the next use tells.
"""

from __future__ import annotations

from conformance.model.access import is_accessed_spte, mark_spte_for_access_track, spte_ad_enabled
from conformance.model.machine.memslots import KvmMemorySlot
from conformance.model.machine.spte_changes import is_leaf, tdp_mmu_clear_spte_bits
from conformance.model.machine.tables import walk
from conformance.model.machine.vm import Vm

__all__ = ["kvm_tdp_mmu_age_gfn_range"]


def kvm_tdp_mmu_age_gfn_range(vm: Vm, slot: KvmMemorySlot, start: int, end: int, test_only: bool) -> bool:
    """Whether a leaf in the range was used since it was last aged; ages what was, unless ``test_only``.

    Nothing else follows from it: rights that access tracking takes away come back with the next fault.
    """
    young = False
    for root in reversed(vm.roots):
        if root.as_id != slot.as_id:
            continue
        for table, index, _, spte in walk(vm.memory, root, start, end):
            if not is_leaf(vm, spte, table.level) or not is_accessed_spte(vm.k, spte):
                continue
            young = True
            if test_only:
                continue
            if spte_ad_enabled(vm.k, spte):
                tdp_mmu_clear_spte_bits(table, index, vm.k.shadow_accessed_mask)
            else:
                table.write(index, int(mark_spte_for_access_track(vm.k, spte)))
    return young

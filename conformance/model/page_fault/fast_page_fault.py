# SPDX-License-Identifier: GPL-2.0-only
"""The fast page fault: gives back, without mmu_lock, what only the dirty log or aging had taken away.

From Sean Christopherson's notes on locking: the SPTE itself says whether that is allowed
(MMU-writable, or the saved bits of access tracking), and one compare-and-exchange decides.
"""

from __future__ import annotations

from conformance.model.changes import MARKED_AFTER_CMPXCHG, SOFTWARE_ACCESSED
from conformance.model.layout import PG_LEVEL_4K, PT_WRITABLE_MASK
from conformance.model.spte.access import is_access_track_spte, restore_acc_track_spte
from conformance.model.spte.writability import is_access_allowed, is_mmu_writable_spte, is_writable_pte
from conformance.model.tdp_mmu.changed_spte import maps_page
from conformance.model.tdp_mmu.tdp_iter import Entry
from conformance.model.vm.kvm_page_fault import KvmPageFault, RetPf
from conformance.model.vm.memslots import mark_page_dirty_in_slot
from conformance.model.vm.vm import KvmVcpu, Vm, kvm_ad_enabled

__all__ = ["fast_page_fault"]

ATTEMPTS = 5


def page_fault_can_be_fast(vm: Vm, fault: KvmPageFault) -> bool:
    """Whether it is worth looking: a write to what is there, or an access to what may be access-tracked.

    MMIO SPTEs with a reserved bit can only be renewed the slow way.
    """
    if fault.rsvd:
        return False
    return fault.write if fault.present else not kvm_ad_enabled(vm.k)


def fast_page_fault(vm: Vm, vcpu: KvmVcpu, fault: KvmPageFault) -> RetPf:
    """Fix the fault if its leaf allows it: FIXED, SPURIOUS if nothing is missing, else INVALID.

    A leaf that changes between the look at it and the compare-and-exchange is looked at again, a few times.
    """
    if not page_fault_can_be_fast(vm, fault):
        return RetPf.INVALID
    with vm.memory.rcu:
        for _ in range(ATTEMPTS):
            entry = kvm_tdp_mmu_fast_pf_get_last_sptep(vm, vcpu, fault.gfn)
            new_spte = _fixed(vm, fault, entry)
            if new_spte is None:
                return RetPf.INVALID
            if new_spte == entry.old_spte:
                vcpu.pf_fast += 1
                return RetPf.SPURIOUS
            if fast_pf_fix_direct_spte(vm, fault, entry, new_spte):
                vcpu.pf_fast += 1
                return RetPf.FIXED
    return RetPf.INVALID


def kvm_tdp_mmu_fast_pf_get_last_sptep(vm: Vm, vcpu: KvmVcpu, gfn: int) -> Entry:
    """The lowest entry on the way to ``gfn``, as a walk without mmu_lock finds it."""
    table = vcpu.root
    assert table is not None
    while True:
        index = table.index_of(gfn)
        spte = table.read(index)
        if table.level == PG_LEVEL_4K:
            return Entry(table, index, spte)
        child = vm.memory.child(table.read(index), table.level)
        if child is None:
            return Entry(table, index, spte)
        table = child


def _fixed(vm: Vm, fault: KvmPageFault, entry: Entry) -> int | None:
    """The leaf as it must be to allow the access, if that can be had without mmu_lock; equal if it does.

    A huge page that is logged must not become writable: the log is of 4 KiB pages, and only one would
    be marked dirty.
    """
    spte = entry.old_spte
    if not maps_page(vm, entry):
        return None
    if _allowed(vm, fault, spte):
        return spte
    new_spte = spte
    if not kvm_ad_enabled(vm.k) and is_access_track_spte(vm.k, spte):
        new_spte = int(restore_acc_track_spte(vm.k, spte))
        if vm.k.has(SOFTWARE_ACCESSED):
            new_spte |= vm.k.shadow_accessed_mask
    if fault.write and is_mmu_writable_spte(vm.k, spte):
        if entry.level > PG_LEVEL_4K and fault.slot is not None and fault.slot.dirty_track_enabled:
            return None
        new_spte |= PT_WRITABLE_MASK
    return new_spte if new_spte != spte and _allowed(vm, fault, new_spte) else None


def fast_pf_fix_direct_spte(vm: Vm, fault: KvmPageFault, entry: Entry, new_spte: int) -> bool:
    """Replace the leaf if it is still as it was, and mark the page dirty if that made it writable.

    In this order: were the page marked first, the log could be taken, and the page found protected, before.
    """
    written = is_writable_pte(new_spte) and not is_writable_pte(entry.old_spte)
    if written and not vm.k.has(MARKED_AFTER_CMPXCHG):
        mark_page_dirty_in_slot(fault.slot, fault.gfn)
        written = False
    if entry.table.cmpxchg(entry.index, entry.old_spte, new_spte) != entry.old_spte:
        return False
    if written:
        mark_page_dirty_in_slot(fault.slot, fault.gfn)
    return True


def _allowed(vm: Vm, fault: KvmPageFault, spte: int) -> bool:
    return bool(is_access_allowed(vm.k, spte, exec=fault.exec, write=fault.write))

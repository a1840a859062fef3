# SPDX-License-Identifier: GPL-2.0-only
"""The fast page fault: gives back, without mmu_lock, what only the dirty log or aging had taken away.

From Sean Christopherson's notes on locking: the SPTE itself says whether that is allowed
(MMU-writable, or the saved bits of access tracking), and one compare-and-exchange decides.
"""

from __future__ import annotations

from conformance.model.access import is_access_track_spte, restore_acc_track_spte
from conformance.model.changes import SOFTWARE_ACCESSED
from conformance.model.layout import PG_LEVEL_4K, PT_WRITABLE_MASK
from conformance.model.machine.fault_state import KvmPageFault, RetPf
from conformance.model.machine.memslots import mark_page_dirty_in_slot
from conformance.model.machine.spte_changes import is_leaf
from conformance.model.machine.vm import KvmVcpu, Vm, kvm_ad_enabled
from conformance.model.writability import is_access_allowed, is_mmu_writable_spte, is_writable_pte

__all__ = ["fast_page_fault"]


def page_fault_can_be_fast(vm: Vm, fault: KvmPageFault) -> bool:
    """Whether it is worth looking: a write to what is there, or an access to what may be access-tracked.

    MMIO SPTEs with a reserved bit can only be renewed the slow way.
    """
    if fault.rsvd:
        return False
    return fault.write if fault.present else not kvm_ad_enabled(vm.k)


def fast_page_fault(vm: Vm, vcpu: KvmVcpu, fault: KvmPageFault) -> RetPf:
    """Fix the fault if its leaf allows it: FIXED, SPURIOUS if nothing is missing, else INVALID.

    A huge page that is logged must not become writable: the log is of 4 KiB pages, and only one would
    be marked dirty.
    """
    if not page_fault_can_be_fast(vm, fault):
        return RetPf.INVALID
    table = vcpu.root
    assert table is not None
    while (child := vm.memory.child(table.read(table.index_of(fault.gfn)), table.level)) is not None:
        table = child
    index = table.index_of(fault.gfn)
    spte = table.read(index)
    if not is_leaf(vm, spte, table.level):
        return RetPf.INVALID
    if _allowed(vm, fault, spte):
        vcpu.pf_fast += 1
        return RetPf.SPURIOUS

    new_spte = spte
    if not kvm_ad_enabled(vm.k) and is_access_track_spte(vm.k, spte):
        new_spte = int(restore_acc_track_spte(vm.k, spte))
        if vm.k.has(SOFTWARE_ACCESSED):
            new_spte |= vm.k.shadow_accessed_mask
    logged = fault.slot is not None and fault.slot.dirty_track_enabled
    if fault.write and is_mmu_writable_spte(vm.k, spte):
        if table.level > PG_LEVEL_4K and logged:
            return RetPf.INVALID
        new_spte |= PT_WRITABLE_MASK
    if new_spte == spte or not _allowed(vm, fault, new_spte):
        return RetPf.INVALID
    table.write(index, new_spte)
    if is_writable_pte(new_spte) and not is_writable_pte(spte):
        mark_page_dirty_in_slot(fault.slot, fault.gfn)
    vcpu.pf_fast += 1
    return RetPf.FIXED


def _allowed(vm: Vm, fault: KvmPageFault, spte: int) -> bool:
    return bool(is_access_allowed(vm.k, spte, exec=fault.exec, write=fault.write))

# SPDX-License-Identifier: GPL-2.0-only
"""The fast page fault: restoring, without mmu_lock, rights that the dirty log or aging removed.

Source: "Fast page fault" in Documentation/virt/kvm/locking.rst. The SPTE itself says which rights may be
restored (MMU-writable, or the bits that access tracking saved), and one compare-and-exchange installs the new
SPTE.
"""

from __future__ import annotations

from conformance.model.changes import (
    FAULT_STATISTICS,
    HUGE_PAGE_MAY_BE_FAST,
    MARKED_AFTER_CMPXCHG,
    SOFTWARE_ACCESSED,
)
from conformance.model.layout import PAGE_SHIFT, PG_LEVEL_4K, PT_WRITABLE_MASK
from conformance.model.shadow_mmu.shadow_walk import (
    for_each_shadow_entry_lockless,
    walk_shadow_page_lockless,
)
from conformance.model.spte.access import is_access_track_spte, restore_acc_track_spte
from conformance.model.spte.writability import is_access_allowed, is_mmu_writable_spte, is_writable_pte
from conformance.model.tdp_mmu.changed_spte import maps_page
from conformance.model.tdp_mmu.tdp_iter import Entry
from conformance.model.vm.kvm_page_fault import KvmPageFault, RetPf
from conformance.model.vm.memslots import mark_page_dirty_in_slot
from conformance.model.vm.vm import KvmVcpu, Vm, kvm_ad_enabled

__all__ = ["fast_page_fault"]

ATTEMPTS = 5
"""How often the SPTE is read before the fault is left to the slow path."""


def page_fault_can_be_fast(vm: Vm, fault: KvmPageFault) -> bool:
    """Whether the fault may be fixable without mmu_lock: a write-protected page, or an access-tracked one.

    A fault on a reserved bit means an MMIO SPTE, which only the slow path replaces.
    """
    if fault.rsvd:
        return False
    may_be_access_tracked = not kvm_ad_enabled(vm.k)
    return fault.write if fault.present else may_be_access_tracked


def fast_page_fault(vm: Vm, vcpu: KvmVcpu, fault: KvmPageFault) -> RetPf:
    """Fix the fault without mmu_lock: FIXED, SPURIOUS if the SPTE allows the access already, else INVALID.

    INVALID leaves the fault to the slow path. If another thread changes the SPTE before the
    compare-and-exchange, it is read again, up to ATTEMPTS times.
    """
    if not page_fault_can_be_fast(vm, fault):
        return RetPf.INVALID
    with walk_shadow_page_lockless(vm, vcpu):
        for _ in range(ATTEMPTS):
            if vm.is_tdp_mmu_active(vcpu):
                entry = kvm_tdp_mmu_fast_pf_get_last_sptep(vm, vcpu, fault.gfn)
            else:
                entry = fast_pf_get_last_sptep(vm, vcpu, fault)
            new_spte = _spte_allowing_access(vm, fault, entry)
            if new_spte is None:
                return RetPf.INVALID
            if new_spte == entry.old_spte:
                _count(vm, vcpu)
                return RetPf.SPURIOUS
            if fast_pf_fix_direct_spte(vm, fault, entry, new_spte):
                _count(vm, vcpu)
                return RetPf.FIXED
    return RetPf.INVALID


def _count(vm: Vm, vcpu: KvmVcpu) -> None:
    if vm.k.has(FAULT_STATISTICS):
        vcpu.pf_fast += 1


def kvm_tdp_mmu_fast_pf_get_last_sptep(vm: Vm, vcpu: KvmVcpu, gfn: int) -> Entry:
    """The lowest entry on the path to ``gfn``, as a walk without mmu_lock finds it."""
    table = vcpu.mmu.root
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


def fast_pf_get_last_sptep(vm: Vm, vcpu: KvmVcpu, fault: KvmPageFault) -> Entry:
    """The same in shadow pages. In direct ones, an address is a guest physical one."""
    address = fault.gfn << PAGE_SHIFT if vcpu.mmu.root_role.direct else fault.addr
    *_, ((sp, at), spte) = for_each_shadow_entry_lockless(vm, vcpu, address)
    return Entry(sp, at, spte)


def _spte_allowing_access(vm: Vm, fault: KvmPageFault, entry: Entry) -> int | None:
    """The leaf with the rights for the access restored; ``entry.old_spte`` if it allows the access already.

    None if the access cannot be allowed without mmu_lock. A huge page of a memslot with dirty logging must
    not become writable: the fault marks only one 4 KiB page dirty.
    """
    spte = entry.old_spte
    if not maps_page(vm, entry):
        return None
    if _access_allowed(vm, fault, spte):
        return spte
    new_spte = spte
    access_tracked = not kvm_ad_enabled(vm.k) and is_access_track_spte(vm.k, spte)
    if access_tracked:
        new_spte = int(restore_acc_track_spte(vm.k, spte))
        if vm.k.has(SOFTWARE_ACCESSED):
            new_spte |= vm.k.shadow_accessed_mask
    if fault.write and is_mmu_writable_spte(vm.k, spte):
        dirty_logged = fault.slot is not None and fault.slot.dirty_track_enabled
        if entry.level > PG_LEVEL_4K and (dirty_logged or not vm.k.has(HUGE_PAGE_MAY_BE_FAST)):
            return None
        new_spte |= PT_WRITABLE_MASK
    if new_spte == spte or not _access_allowed(vm, fault, new_spte):
        return None
    return new_spte


def fast_pf_fix_direct_spte(vm: Vm, fault: KvmPageFault, entry: Entry, new_spte: int) -> bool:
    """Replace the leaf by compare-and-exchange, and mark the page dirty if W was set; return True on success.

    The page is marked after the exchange. Were it marked before, userspace could take the dirty log in
    between, KVM would find W clear, and the write that follows would be in no log.
    """
    mark_dirty = is_writable_pte(new_spte) and not is_writable_pte(entry.old_spte)
    if mark_dirty and not vm.k.has(MARKED_AFTER_CMPXCHG):
        mark_page_dirty_in_slot(fault.slot, fault.gfn)
        mark_dirty = False
    if entry.table.cmpxchg(entry.index, entry.old_spte, new_spte) != entry.old_spte:
        return False
    if mark_dirty:
        mark_page_dirty_in_slot(fault.slot, fault.gfn)
    return True


def _access_allowed(vm: Vm, fault: KvmPageFault, spte: int) -> bool:
    """Whether ``spte`` has the rights for the fault's access."""
    return bool(is_access_allowed(vm.k, spte, exec=fault.exec, write=fault.write))

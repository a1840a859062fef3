# SPDX-License-Identifier: GPL-2.0-only
"""From gfn to pfn: getting the page that backs a fault's gfn from the host."""

from __future__ import annotations

from conformance.model.changes import RETRY_BEFORE_FAULTIN, RETRY_IF_SLOT_INVALID
from conformance.model.page_fault.mmio_fault import kvm_handle_noslot_fault
from conformance.model.page_fault.stale import mmu_invalidate_retry
from conformance.model.vm.host_marks import kvm_release_faultin_page
from conformance.model.vm.kvm_page_fault import KvmPageFault, RetPf
from conformance.model.vm.memslots import KvmMemorySlot
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = ["kvm_mmu_faultin_pfn"]


def kvm_mmu_faultin_pfn(vm: Vm, vcpu: KvmVcpu, fault: KvmPageFault, access: int) -> RetPf:
    """Set ``fault.pfn`` and ``fault.map_writable``; return CONTINUE, or how the fault ends here.

    ``access`` are the rights (ACC_*) that the guest's tables grant.

    mmu_lock is not held, since the host may have to allocate the page or to read it from disk. The host may
    reclaim the page concurrently, so mmu_invalidate_seq is saved first and compared later
    (is_page_fault_stale()). EFAULT: the host has no page at this address.
    """
    fault.mmu_seq = vm.mmu_invalidate_seq
    slot = fault.slot
    if slot is not None and slot.invalid:
        if vm.k.has(RETRY_IF_SLOT_INVALID):
            vm.stall_until_memslots_change(slot.as_id)
            return RetPf.RETRY
        slot = fault.slot = None
    if slot is None:
        return kvm_handle_noslot_fault(vm, vcpu, fault, access)
    if vm.k.has(RETRY_BEFORE_FAULTIN) and mmu_invalidate_retry(vm, slot, fault):
        return RetPf.RETRY
    if fault.write and slot.readonly:
        return RetPf.EMULATE
    pfn_and_writable = hva_to_pfn(vm, slot, slot.host_page(fault.gfn), fault.write)
    if pfn_and_writable is None:
        return RetPf.EFAULT
    fault.pfn, fault.map_writable = pfn_and_writable
    if vm.k.has(RETRY_BEFORE_FAULTIN) and mmu_invalidate_retry(vm, slot, fault):
        kvm_release_faultin_page(vm, fault.pfn, fault.map_writable, unused=True)
        return RetPf.RETRY
    return RetPf.CONTINUE


def hva_to_pfn(vm: Vm, slot: KvmMemorySlot, page: int, write: bool) -> tuple[int, bool] | None:
    """The pfn of a host page, and whether the guest may write it; None if the host has no page.

    A read fault also gets a writable mapping if the host maps the page writable, which avoids a second fault
    on a later write. In a read-only memslot the mapping is never writable.
    """
    found = vm.host.get_user_page(page, write)
    if isinstance(found, int):
        return None
    pfn, writable = found
    return pfn, writable and not slot.readonly

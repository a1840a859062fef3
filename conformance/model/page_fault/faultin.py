# SPDX-License-Identifier: GPL-2.0-only
"""From guest frame to host page: what a fault asks of the host, and how it can end there."""

from __future__ import annotations

from conformance.model.changes import RETRY_BEFORE_FAULTIN, RETRY_IF_SLOT_INVALID
from conformance.model.page_fault.mmio_fault import kvm_handle_noslot_fault
from conformance.model.page_fault.stale import mmu_invalidate_retry
from conformance.model.vm.host import EFAULT
from conformance.model.vm.kvm_page_fault import KvmPageFault, RetPf
from conformance.model.vm.memslots import KvmMemorySlot
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = ["kvm_mmu_faultin_pfn"]


def kvm_mmu_faultin_pfn(vm: Vm, vcpu: KvmVcpu, fault: KvmPageFault) -> RetPf | int:
    """Find the host page and whether it may be written, without mmu_lock, since the host may have to work.

    Meanwhile the host may take the page away again, so the count of invalidations is noted first, for
    the fault to be checked against later. Gives a negative errno if the host has nothing there.
    """
    fault.mmu_seq = vm.mmu_invalidate_seq
    slot = fault.slot
    if slot is not None and slot.invalid:
        if vm.k.has(RETRY_IF_SLOT_INVALID):
            vm.stall_until_memslots_change(slot.as_id)
            return RetPf.RETRY
        slot = fault.slot = None
    if slot is None:
        return kvm_handle_noslot_fault(vm, vcpu, fault)
    if vm.k.has(RETRY_BEFORE_FAULTIN) and mmu_invalidate_retry(vm, slot, fault):
        return RetPf.RETRY
    if fault.write and slot.readonly:
        return RetPf.EMULATE
    found = hva_to_pfn(vm, slot, slot.host_page(fault.gfn), fault.write)
    if found is None:
        return -EFAULT
    fault.pfn, fault.map_writable = found
    if vm.k.has(RETRY_BEFORE_FAULTIN) and mmu_invalidate_retry(vm, slot, fault):
        return RetPf.RETRY
    return RetPf.CONTINUE


def hva_to_pfn(vm: Vm, slot: KvmMemorySlot, page: int, write: bool) -> tuple[int, bool] | None:
    """The frame of a host page and whether the guest may write it; None if the host cannot give it.

    A read too is given a writable mapping if the host has one, so that a write after it does not fault:
    not in a read-only slot, and not from the zero page, which the host would have to replace first.
    """
    found = vm.host.get_user_page(page, write)
    if isinstance(found, int):
        return None
    pfn, writable = found
    return pfn, writable and not slot.readonly

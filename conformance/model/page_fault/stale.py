# SPDX-License-Identifier: GPL-2.0-only
"""Is a fault stale? The host may have taken a page back while KVM was about to map it.

The host says so before it does (start) and after (end). Between the two nothing in the range may be mapped;
and what was looked up before an end may be gone after it, wherever it was.
"""

from __future__ import annotations

from conformance.model.changes import INVALIDATION_BY_GFN, RETRY_AFTER_INVALIDATION, RETRY_IF_ROOT_INVALID
from conformance.model.vm.kvm_page_fault import KvmPageFault
from conformance.model.vm.memslots import KvmMemorySlot
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = ["is_page_fault_stale", "mmu_invalidate_retry"]


def mmu_invalidate_retry(vm: Vm, slot: KvmMemorySlot, fault: KvmPageFault) -> bool:
    """Whether an invalidation of the page is in progress, or any has ended since the page was looked up.

    Several at a time are one range, from the lowest start to the highest end, of host pages or, since
    8569992d64b8 in v6.8, guest frames (without a thought of which address space).
    """
    if vm.mmu_invalidate_in_progress:
        where = fault.gfn if vm.k.has(INVALIDATION_BY_GFN) else slot.host_page(fault.gfn)
        invalidated = vm.mmu_invalidate_range
        if invalidated is not None and invalidated[0] <= where < invalidated[1]:
            vm.stall_until_invalidated()
            return True
    return vm.mmu_invalidate_seq != fault.mmu_seq


def is_page_fault_stale(vm: Vm, vcpu: KvmVcpu, fault: KvmPageFault) -> bool:
    """Whether the fault must not be handled as found: its root is obsolete, or its page may be gone.

    Where there is no slot there is no page that could go.
    """
    if vm.k.has(RETRY_IF_ROOT_INVALID) and (vcpu.root is None or vcpu.root.invalid):
        return True
    if fault.slot is None or not vm.k.has(RETRY_AFTER_INVALIDATION):
        return False
    return mmu_invalidate_retry(vm, fault.slot, fault)

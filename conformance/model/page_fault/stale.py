# SPDX-License-Identifier: GPL-2.0-only
"""Whether a fault is stale: the host may have reclaimed the page while KVM was about to map it.

The host calls KVM's MMU notifier before it changes a mapping (start) and after (end). Between the two calls
KVM must not map a page of the range. A page that was looked up before an end may be gone after it, whatever
its address.
"""

from __future__ import annotations

from conformance.model.changes import (
    INVALIDATION_BY_GFN,
    INVALIDATION_RANGE,
    NO_SLOT_NEVER_STALE,
    RETRY_AFTER_INVALIDATION,
    RETRY_IF_ROOT_INVALID,
    ROOT_CHECKED_AFTER_PAGES,
)
from conformance.model.shadow_mmu.free_roots import is_obsolete_root
from conformance.model.shadow_mmu.limits import make_mmu_pages_available
from conformance.model.vm.kvm_page_fault import KvmPageFault, RetPf
from conformance.model.vm.memslots import KvmMemorySlot
from conformance.model.vm.shadow_page import RootTable
from conformance.model.vm.vm import KvmVcpu, Request, Vm

__all__ = ["is_page_fault_stale", "make_room_unless_stale", "mmu_invalidate_retry"]


def mmu_invalidate_retry(vm: Vm, slot: KvmMemorySlot | None, fault: KvmPageFault) -> bool:
    """Whether an invalidation of the page is in progress, or any has ended since the page was looked up.

    Concurrent invalidations are kept as one range, from the lowest start to the highest end: of host pages
    or, since commit 8569992d64b8 in v6.8, of gfns (of either address space). Before INVALIDATION_RANGE every
    page counts as in it.
    """
    if vm.mmu_invalidate_in_progress and not vm.k.has(INVALIDATION_RANGE):
        vm.stall_until_invalidated()
        return True
    if vm.mmu_invalidate_in_progress and slot is not None:
        page = fault.gfn if vm.k.has(INVALIDATION_BY_GFN) else slot.host_page(fault.gfn)
        invalidated = vm.mmu_invalidate_range
        if invalidated is not None and invalidated[0] <= page < invalidated[1]:
            vm.stall_until_invalidated()
            return True
    return vm.mmu_invalidate_seq != fault.mmu_seq


def is_page_fault_stale(vm: Vm, vcpu: KvmVcpu, fault: KvmPageFault) -> bool:
    """Whether the fault must be retried: the vCPU's root is obsolete, or the host's page may be gone.

    A fault without a memslot has no host page, but before NO_SLOT_NEVER_STALE was retried too.
    """
    if vm.k.has(RETRY_IF_ROOT_INVALID) and _root_is_obsolete(vm, vcpu):
        return True
    if not vm.k.has(RETRY_AFTER_INVALIDATION) or (fault.slot is None and vm.k.has(NO_SLOT_NEVER_STALE)):
        return False
    return mmu_invalidate_retry(vm, fault.slot, fault)


def make_room_unless_stale(vm: Vm, vcpu: KvmVcpu, fault: KvmPageFault) -> RetPf:
    """Make shadow pages available; CONTINUE if they are and nothing has changed since the page was looked up.

    It may zap the vCPU's own root, so since ROOT_CHECKED_AFTER_PAGES what has changed is looked at after it.
    """
    stale_first = not vm.k.has(ROOT_CHECKED_AFTER_PAGES)
    if stale_first and is_page_fault_stale(vm, vcpu, fault):
        return RetPf.RETRY
    if not make_mmu_pages_available(vm):
        return RetPf.ENOSPC
    return RetPf.RETRY if not stale_first and is_page_fault_stale(vm, vcpu, fault) else RetPf.CONTINUE


def _root_is_obsolete(vm: Vm, vcpu: KvmVcpu) -> bool:
    """Whether the root must not be used any more.

    PAE roots, which are no shadow pages, may point to obsolete ones if the vCPU is asked to look for such.
    """
    root = vcpu.mmu.root
    if isinstance(root, RootTable):
        return Request.MMU_FREE_OBSOLETE_ROOTS in vcpu.pending_requests()
    return root is None or is_obsolete_root(vm, root)

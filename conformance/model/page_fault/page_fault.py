# SPDX-License-Identifier: GPL-2.0-only
"""A page fault of the guest from the exit to the SPTE.

The steps: the fast path, the host's page, the check whether that page is stale, and mapping it.
"""

from __future__ import annotations

from conformance.model.changes import FAULT_STATISTICS, UNPROTECT_ON_WRITE_PROTECTION_ONLY
from conformance.model.layout import PAGE_SHIFT, PG_LEVEL_2M
from conformance.model.page_fault.fast_page_fault import fast_page_fault
from conformance.model.page_fault.faultin import kvm_mmu_faultin_pfn
from conformance.model.page_fault.mmio_fault import handle_mmio_page_fault, mmio_info_in_cache
from conformance.model.page_fault.paging_fault import paging_page_fault
from conformance.model.page_fault.stale import is_page_fault_stale, make_room_unless_stale
from conformance.model.page_fault.write_protect_fault import kvm_mmu_write_protect_fault
from conformance.model.shadow_mmu.map import direct_map
from conformance.model.shadow_mmu.write_track import page_fault_handle_page_track
from conformance.model.tdp_mmu.map import kvm_tdp_mmu_map
from conformance.model.vm.host_marks import kvm_release_faultin_page
from conformance.model.vm.kvm_mmu import Shadowed
from conformance.model.vm.kvm_page_fault import PFERR_RSVD_MASK, KvmPageFault, RetPf, write_protected
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = ["kvm_mmu_page_fault"]


def kvm_mmu_page_fault(vm: Vm, vcpu: KvmVcpu, cr2_or_gpa: int, error_code: int) -> tuple[RetPf, bool]:
    """Handle a page fault, EPT violation, EPT misconfiguration or nested page fault; return how it ended.

    If the instruction is to be emulated, the second value says whether the emulator may instead have it
    repeated (EMULTYPE_ALLOW_RETRY_PF).
    """
    if error_code & PFERR_RSVD_MASK:
        mmio = handle_mmio_page_fault(vm, vcpu, cr2_or_gpa)
        if mmio is not RetPf.INVALID:
            return mmio, False
    r = kvm_mmu_do_page_fault(vm, vcpu, cr2_or_gpa, error_code)
    allow_retry = False
    if r is RetPf.WRITE_PROTECTED:
        r, allow_retry = RetPf.EMULATE, kvm_mmu_write_protect_fault(vcpu, cr2_or_gpa)
    elif r is RetPf.EMULATE and not vm.k.has(UNPROTECT_ON_WRITE_PROTECTION_ONLY):
        allow_retry = not mmio_info_in_cache(vm, vcpu, cr2_or_gpa) and not vcpu.guest_mode
    if vm.k.has(FAULT_STATISTICS):
        _count(vcpu, r)
    return r, allow_retry


def _count(vcpu: KvmVcpu, r: RetPf) -> None:
    """Count a fault that is not cached MMIO in pf_taken, and then by its result (pf_fast by the fast path).

    RETRY is in no further count, as the guest will fault again.
    """
    vcpu.pf_taken += 1
    if r is RetPf.FIXED:
        vcpu.pf_fixed += 1
    elif r is RetPf.EMULATE:
        vcpu.pf_emulate += 1
    elif r is RetPf.SPURIOUS:
        vcpu.pf_spurious += 1


def kvm_mmu_do_page_fault(vm: Vm, vcpu: KvmVcpu, cr2_or_gpa: int, error_code: int) -> RetPf:
    """Handle a fault by the vCPU's MMU. Without guest paging, linear addresses are guest physical ones."""
    mmu = vcpu.mmu
    if not mmu.root_role.direct:
        return paging_page_fault(vm, vcpu, KvmPageFault(0, error_code, None, cr2_or_gpa, is_tdp=False))
    gfn = cr2_or_gpa >> PAGE_SHIFT
    fault = KvmPageFault(gfn, error_code, vm.slot_of(vcpu, gfn))
    if mmu.shadowed is Shadowed.GUEST:
        fault.addr, fault.is_tdp, fault.max_level = cr2_or_gpa, False, PG_LEVEL_2M
    return (kvm_tdp_page_fault if vm.is_tdp_mmu_active(vcpu) else direct_page_fault)(vm, vcpu, fault)


def _before_mmu_lock(vm: Vm, vcpu: KvmVcpu, fault: KvmPageFault) -> RetPf:
    """The part of handling the fault that needs no mmu_lock; CONTINUE if a page is to be mapped.

    L1 may write a table of L2 that is shadowed.
    """
    if page_fault_handle_page_track(vm, fault):
        return write_protected(vm.k)
    r = fast_page_fault(vm, vcpu, fault)
    if r is not RetPf.INVALID:
        return r
    return kvm_mmu_faultin_pfn(vm, vcpu, fault, vm.k.layout.acc_all)


def kvm_tdp_page_fault(vm: Vm, vcpu: KvmVcpu, fault: KvmPageFault) -> RetPf:
    """Handle a fault that is not cached MMIO. RETRY if the host's page became stale before it was mapped."""
    r = _before_mmu_lock(vm, vcpu, fault)
    if r is not RetPf.CONTINUE:
        return r
    faultin_pfn = fault.pfn
    with vm.mmu_lock.for_read:
        r = RetPf.RETRY if is_page_fault_stale(vm, vcpu, fault) else kvm_tdp_mmu_map(vm, vcpu, fault)
        kvm_release_faultin_page(vm, faultin_pfn, fault.map_writable, unused=r is RetPf.RETRY)
    return r


def direct_page_fault(vm: Vm, vcpu: KvmVcpu, fault: KvmPageFault) -> RetPf:
    """The same in direct shadow pages. ENOSPC if none is available for those that may be missing."""
    r = _before_mmu_lock(vm, vcpu, fault)
    if r is not RetPf.CONTINUE:
        return r
    faultin_pfn = fault.pfn
    with vm.mmu_lock.for_write:
        r = make_room_unless_stale(vm, vcpu, fault)
        if r is RetPf.CONTINUE:
            r = direct_map(vm, vcpu, fault)
        kvm_release_faultin_page(vm, faultin_pfn, fault.map_writable, unused=r is RetPf.RETRY)
    return r

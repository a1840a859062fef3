# SPDX-License-Identifier: GPL-2.0-only
"""A page fault of the guest from the exit to the SPTE.

The steps: the fast path, the host's page, the check whether that page is stale, and mapping it.
"""

from __future__ import annotations

from conformance.model.layout import PAGE_SHIFT
from conformance.model.page_fault.fast_page_fault import fast_page_fault
from conformance.model.page_fault.faultin import kvm_mmu_faultin_pfn
from conformance.model.page_fault.mmio_fault import handle_mmio_page_fault
from conformance.model.page_fault.stale import is_page_fault_stale
from conformance.model.tdp_mmu.map import kvm_tdp_mmu_map
from conformance.model.vm.host_marks import kvm_release_faultin_page
from conformance.model.vm.kvm_page_fault import PFERR_RSVD_MASK, KvmPageFault, RetPf
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = ["kvm_mmu_page_fault"]


def kvm_mmu_page_fault(vm: Vm, vcpu: KvmVcpu, cr2_or_gpa: int, error_code: int) -> RetPf:
    """Handle an EPT violation, an EPT misconfiguration or a nested page fault; return how it ended.

    Except for cached MMIO the fault is counted in pf_taken, and then by its result: pf_fixed, pf_emulate or
    pf_spurious (pf_fast by the fast path itself). RETRY is in no further count, as the guest will fault
    again.
    """
    if error_code & PFERR_RSVD_MASK:
        mmio = handle_mmio_page_fault(vm, vcpu, cr2_or_gpa)
        if mmio is not RetPf.INVALID:
            return mmio
    vcpu.pf_taken += 1
    gfn = cr2_or_gpa >> PAGE_SHIFT
    r = kvm_tdp_page_fault(vm, vcpu, KvmPageFault(gfn, error_code, vm.slot_of(vcpu, gfn)))
    if r is RetPf.FIXED:
        vcpu.pf_fixed += 1
    elif r is RetPf.EMULATE:
        vcpu.pf_emulate += 1
    elif r is RetPf.SPURIOUS:
        vcpu.pf_spurious += 1
    return r


def kvm_tdp_page_fault(vm: Vm, vcpu: KvmVcpu, fault: KvmPageFault) -> RetPf:
    """Handle a fault that is not cached MMIO. RETRY if the host's page became stale before it was mapped."""
    r = fast_page_fault(vm, vcpu, fault)
    if r is not RetPf.INVALID:
        return r
    r = kvm_mmu_faultin_pfn(vm, vcpu, fault, vm.k.layout.acc_all)
    if r is not RetPf.CONTINUE:
        return r
    faultin_pfn = fault.pfn
    with vm.mmu_lock.for_read:
        r = RetPf.RETRY if is_page_fault_stale(vm, vcpu, fault) else kvm_tdp_mmu_map(vm, vcpu, fault)
        kvm_release_faultin_page(vm, faultin_pfn, fault.map_writable, unused=r is RetPf.RETRY)
    return r

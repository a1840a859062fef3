# SPDX-License-Identifier: GPL-2.0-only
"""Injecting a page fault that KVM's own walk of the guest's tables has found."""

from __future__ import annotations

from conformance.model.shadow_mmu.invlpg import ROOT_CURRENT, kvm_mmu_invalidate_addr
from conformance.model.vm.kvm_page_fault import PFERR_PRESENT_MASK, PFERR_RSVD_MASK
from conformance.model.vm.kvm_pagewalk import X86Exception
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = ["kvm_inject_emulated_page_fault"]


def kvm_inject_emulated_page_fault(vm: Vm, vcpu: KvmVcpu, fault: X86Exception) -> None:
    """Queue the exception for the guest, or for L1 if its nested tables caused it.

    If the page is mapped without the right, a translation that the guest has not flushed may have allowed
    the access until now. A processor drops it with the fault, and so does KVM.
    """
    assert fault.error_code is not None
    if fault.error_code & (PFERR_PRESENT_MASK | PFERR_RSVD_MASK) == PFERR_PRESENT_MASK:
        w = vcpu.ngpa_walk if fault.nested_page_fault else vcpu.gva_walk
        kvm_mmu_invalidate_addr(vm, vcpu, w, fault.address, [ROOT_CURRENT])
    vcpu.exception = fault
    if not fault.nested_page_fault:
        vcpu.pf_guest += 1

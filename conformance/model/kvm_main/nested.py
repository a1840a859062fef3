# SPDX-License-Identifier: GPL-2.0-only
"""Entering and leaving L2, as far as the MMU is concerned: what nested.c of the vendor modules does.

L2's physical addresses are translated by shadow pages of L1's EPT or NPT. L2 runs in protected mode without
paging, and has no VPID or ASID of its own, so that each transition flushes.
"""

from __future__ import annotations

from conformance.model.changes import NEW_PGD_FLUSHES_NOTHING
from conformance.model.guest_paging.cpu_role import CR0_PE
from conformance.model.kvm_main.mmu_context import (
    kvm_init_mmu,
    kvm_init_shadow_ept_mmu,
    kvm_init_shadow_npt_mmu,
)
from conformance.model.shadow_mmu.free_roots import KVM_MMU_ROOTS_ALL, kvm_mmu_free_roots
from conformance.model.shadow_mmu.root_cache import kvm_mmu_new_pgd
from conformance.model.vm.vm import KvmVcpu, Request, Vm

__all__ = ["enter_l2", "invept", "leave_l2"]


def enter_l2(vm: Vm, vcpu: KvmVcpu, pointer: int, accessed_dirty: bool, execonly: bool) -> None:
    """Enter L2 with this EPTP, or this nested CR3. L1 can use what the processor has."""
    vcpu.registers_of_l1 = vcpu.cr0, vcpu.cr3, vcpu.cr4, vcpu.efer
    vcpu.guest_mode, vcpu.mmu = True, vcpu.guest_mmu
    transition_tlb_flush(vm, vcpu)
    if vm.mode.ept:
        ad, execonly = accessed_dirty and bool(vm.mode.ad_bits), execonly and bool(vm.mode.exec_only)
        kvm_init_shadow_ept_mmu(vm, vcpu, pointer, ad, execonly)
    else:
        kvm_init_shadow_npt_mmu(vm, vcpu, pointer)
    vcpu.cr0, vcpu.cr3, vcpu.cr4, vcpu.efer = CR0_PE, 0, 0, 0
    kvm_init_mmu(vm, vcpu)


def leave_l2(vm: Vm, vcpu: KvmVcpu) -> None:
    """Go back to L1, whose registers are as before."""
    vcpu.guest_mode, vcpu.mmu = False, vcpu.root_mmu
    vcpu.cr0, vcpu.cr3, vcpu.cr4, vcpu.efer = vcpu.registers_of_l1
    kvm_init_mmu(vm, vcpu)
    kvm_mmu_new_pgd(vm, vcpu, vcpu.cr3, vcpu.mmu.root_role, skip_flush=bool(vm.mode.ept))
    transition_tlb_flush(vm, vcpu)


def transition_tlb_flush(vm: Vm, vcpu: KvmVcpu) -> None:
    """Flush for the other guest: on VMX as if that guest had asked for it; on SVM, and sync the root.

    Before NEW_PGD_FLUSHES_NOTHING, on VMX all of the vCPU's TLB; on SVM loading the root did it.
    """
    if not vm.k.has(NEW_PGD_FLUSHES_NOTHING):
        if vm.mode.ept:
            vcpu.make_request(Request.TLB_FLUSH)
    elif vm.mode.ept:
        vcpu.make_request(Request.TLB_FLUSH_GUEST)
    else:
        vcpu.make_request(Request.MMU_SYNC)
        vcpu.make_request(Request.TLB_FLUSH_CURRENT)


def invept(vm: Vm, vcpu: KvmVcpu) -> None:
    """L1 has changed its EPT: the roots that shadow it are loaded and synced anew."""
    kvm_mmu_free_roots(vm, vcpu.guest_mmu, KVM_MMU_ROOTS_ALL)

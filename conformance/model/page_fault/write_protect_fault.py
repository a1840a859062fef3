# SPDX-License-Identifier: GPL-2.0-only
"""A write to a gfn that KVM keeps read-only, since it shadows it as a table: emulate, or stop shadowing it.

Where an instruction writes that is unlikely to change page tables, the gfn is likely no table any more. KVM
zaps the pages that shadow it, and the guest repeats its instruction. If that faults on the same address
again, it is emulated, or the guest could make no progress.
"""

from __future__ import annotations

from conformance.model.guest_tables.walker import gva_to_gpa
from conformance.model.layout import PAGE_SHIFT
from conformance.model.shadow_mmu.unprotect import kvm_mmu_unprotect_page
from conformance.model.spte.writability import PFERR_USER_MASK, PFERR_WRITE_MASK
from conformance.model.vm.kvm_pagewalk import X86Exception
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = ["kvm_mmu_gva_to_gpa_write", "kvm_mmu_unprotect_gfn_and_retry", "kvm_mmu_write_protect_fault"]


def kvm_mmu_write_protect_fault(vcpu: KvmVcpu, cr2_or_gpa: int) -> bool:
    """Whether the emulator may let the guest repeat the instruction that it is going to emulate.

    Not if the instruction has been repeated already, and not L2's, as KVM shadows no tables of L2.
    """
    if vcpu.last_retry_addr == cr2_or_gpa:
        return False
    vcpu.last_retry_addr = None
    return not vcpu.guest_mode


def kvm_mmu_unprotect_gfn_and_retry(vm: Vm, vcpu: KvmVcpu, cr2_or_gpa: int) -> bool:
    """Zap the pages that shadow the gfn behind the address; whether there were any, so that a retry helps."""
    if not vm.shadow.indirect_shadow_pages:
        return False
    gpa: int | X86Exception = cr2_or_gpa
    if not vcpu.mmu.root_role.direct:
        gpa = kvm_mmu_gva_to_gpa_write(vm, vcpu, cr2_or_gpa)
    if isinstance(gpa, X86Exception) or not kvm_mmu_unprotect_page(vm, gpa >> PAGE_SHIFT):
        return False
    vcpu.last_retry_addr = cr2_or_gpa
    return True


def kvm_mmu_gva_to_gpa_write(vm: Vm, vcpu: KvmVcpu, address: int) -> int | X86Exception:
    """Translate a linear address for a write by the instruction that runs."""
    user = PFERR_USER_MASK if vcpu.cpl == 3 else 0
    return gva_to_gpa(vm, vcpu, vcpu.gva_walk, address, user | PFERR_WRITE_MASK)

# SPDX-License-Identifier: GPL-2.0-only
"""What a vCPU's MMUs are for: the roles by its control registers, and by L1's nested page tables."""

from __future__ import annotations

from conformance.model.changes import (
    CPU_ROLE,
    EFER_LMA_IN_ROLE,
    NPT_GMET,
    PGD_FOR_ROLE_OF_MMU,
    PGD_LOADED_AFTER_INIT,
)
from conformance.model.guest_paging.cpu_role import (
    CR0_PG,
    CR0_WP,
    CR4_PKE,
    CR4_SMAP,
    EFER_NX,
    CpuRole,
    kvm_calc_cpu_role,
    vcpu_to_role_regs,
)
from conformance.model.guest_paging.page_role import (
    kvm_calc_shadow_ept_root_page_role,
    kvm_calc_shadow_mmu_root_page_role,
    kvm_calc_shadow_npt_root_page_role,
)
from conformance.model.guest_paging.root_role import kvm_calc_tdp_mmu_root_page_role
from conformance.model.shadow_mmu.free_roots import kvm_mmu_unload
from conformance.model.shadow_mmu.root_cache import has_cache, kvm_mmu_new_pgd
from conformance.model.vm.kvm_mmu import KvmMmu, Shadowed
from conformance.model.vm.kvm_pagewalk import NO_ROLE as NO_CPU_ROLE
from conformance.model.vm.mmu_pages import ROOT_LEVEL
from conformance.model.vm.role import KvmMmuPageRole
from conformance.model.vm.vm import KvmVcpu, Vm
from conformance.model.words import bits

__all__ = [
    "kvm_init_mmu",
    "kvm_init_shadow_ept_mmu",
    "kvm_init_shadow_npt_mmu",
    "kvm_mmu_reset_context",
    "role_for_pgd",
]

EPTP_PWL, EPTP_PWL_5 = bits(5, 3), 4 << 3
"""The number of levels of EPT, in its pointer."""


def kvm_init_mmu(vm: Vm, vcpu: KvmVcpu) -> None:
    """Compute the roles anew. While L2 runs, its own tables are not shadowed: there is no root for them."""
    regs = vcpu_to_role_regs(vm.k, vcpu.cr0, vcpu.cr4, vcpu.efer)
    cpu_role = kvm_calc_cpu_role(vm.k, regs, smm=vcpu.smm, guest_mode=vcpu.guest_mode)
    vcpu.gva_walk.cpu_role = cpu_role
    if vcpu.mmu is vcpu.guest_mmu:
        return
    if vm.k.tdp_enabled:
        root_role = tdp_root_role(vm, vcpu)
        vcpu.gva_walk.cpu_role = _format(vm, vcpu.root_mmu, root_role, cpu_role)
        vcpu.root_mmu.shadowed, vcpu.root_mmu.root_role = Shadowed.NOTHING, root_role
    else:
        root_role = KvmMmuPageRole.of(
            kvm_calc_shadow_mmu_root_page_role(vm.k, regs, smm=vcpu.smm, guest_mode=vcpu.guest_mode)
        )
        vcpu.root_mmu.shadowed, vcpu.root_mmu.root_role = Shadowed.GUEST, root_role


def kvm_mmu_reset_context(vm: Vm, vcpu: KvmVcpu) -> None:
    """Drop all roots and compute the roles anew."""
    kvm_mmu_unload(vm, vcpu)
    kvm_init_mmu(vm, vcpu)


def kvm_init_shadow_ept_mmu(vm: Vm, vcpu: KvmVcpu, eptp: int, accessed_dirty: bool, execonly: bool) -> None:
    """Shadow L1's EPT for L2: the control registers do not matter."""
    w, mmu = vcpu.ngpa_walk, vcpu.guest_mmu
    cached = _had_cache(vm, mmu)
    level = 5 if eptp & EPTP_PWL == EPTP_PWL_5 else 4
    w.cpu_role = NO_CPU_ROLE._replace(level=level, access=vm.k.layout.acc_all, guest_mode=1, valid=1)
    w.ept, w.ad_disabled, w.execonly, w.pgd = True, not accessed_dirty, execonly, eptp
    mmu.shadowed = Shadowed.EPT
    mmu.root_role = KvmMmuPageRole.of(
        kvm_calc_shadow_ept_root_page_role(
            vm.k, level, accessed_dirty=accessed_dirty, mbec=False, smm=vcpu.smm
        )
    )
    kvm_mmu_new_pgd(vm, vcpu, eptp, mmu.root_role, skip_flush=True, cached=cached)


def kvm_init_shadow_npt_mmu(vm: Vm, vcpu: KvmVcpu, nested_cr3: int) -> None:
    """Shadow L1's NPT for L2: its format is that of L1's own paging mode, with all accesses by users.

    The tables that the processor walks always have the host's number of levels, which is 4 here: no level is
    added to L1's (role.passthrough).
    """
    # Before CPU_ROLE, L1's CR0.WP counted too.
    cr0, cr4 = CR0_PG if vm.k.has(CPU_ROLE) else vcpu.cr0 | CR0_PG, vcpu.cr4 & ~CR4_PKE
    if vm.k.has(NPT_GMET):
        cr0, cr4 = CR0_PG | CR0_WP, cr4 & ~CR4_SMAP
    regs = vcpu_to_role_regs(vm.k, cr0, cr4, vcpu.efer)
    cpu_role = kvm_calc_cpu_role(vm.k, regs, smm=vcpu.smm, guest_mode=True)
    if vm.k.has(NPT_GMET):
        # Guest mode execute trap takes the place of SMEP, and L1 has not enabled it.
        cpu_role = cpu_role._replace(cr4_smep=0)
    w, mmu = vcpu.ngpa_walk, vcpu.guest_mmu
    cached = _had_cache(vm, mmu)
    root_role = KvmMmuPageRole.of(kvm_calc_shadow_npt_root_page_role(vm.k, cpu_role, tdp_level=ROOT_LEVEL))
    w.cpu_role, w.ept, w.pgd = _format(vm, mmu, root_role, cpu_role), False, nested_cr3
    mmu.shadowed, mmu.root_role = Shadowed.NPT, root_role
    kvm_mmu_new_pgd(vm, vcpu, nested_cr3, root_role, skip_flush=False, cached=cached)


def _format(vm: Vm, mmu: KvmMmu, root_role: KvmMmuPageRole, cpu_role: CpuRole) -> CpuRole:
    """How the MMU walks tables; before EFER_LMA_IN_ROLE as before if nothing but EFER.LMA has changed."""
    last = mmu.format
    same = root_role == mmu.root_role and cpu_role._replace(level=last.level, efer_lma=last.efer_lma) == last
    if vm.k.has(EFER_LMA_IN_ROLE) or not same:
        mmu.format = cpu_role
    return mmu.format


def _had_cache(vm: Vm, mmu: KvmMmu) -> bool | None:
    """Before PGD_LOADED_AFTER_INIT: whether roots may be cached in the MMU as it was for the last L2."""
    return None if vm.k.has(PGD_LOADED_AFTER_INIT) else has_cache(vm, mmu)


def role_for_pgd(vm: Vm, vcpu: KvmVcpu) -> KvmMmuPageRole:
    """The role of the root that MOV to CR3 looks for: the MMU's, since PGD_FOR_ROLE_OF_MMU."""
    if vm.k.has(PGD_FOR_ROLE_OF_MMU):
        return vcpu.mmu.root_role
    if vm.k.tdp_enabled:
        return tdp_root_role(vm, vcpu)
    return vcpu.mmu.root_role._replace(smep=0, smap_andnot_wp=0)


def tdp_root_role(vm: Vm, vcpu: KvmVcpu) -> KvmMmuPageRole:
    """The role of a root of two-dimensional paging. The guest's registers do not matter, but for SMM.

    Before CPU_ROLE, EFER.NX and CR0.WP were taken over from them.
    """
    role = kvm_calc_tdp_mmu_root_page_role(
        vm.k, ROOT_LEVEL, smm=vcpu.smm, guest_mode=vcpu.guest_mode, has_smep=False
    )
    if not vm.k.has(CPU_ROLE):
        role = role._replace(efer_nx=int(vcpu.efer & EFER_NX > 0), cr0_wp=int(vcpu.cr0 & CR0_WP > 0))
    return KvmMmuPageRole(
        level=ROOT_LEVEL,
        access=int(role.access),
        efer_nx=int(role.efer_nx),
        cr0_wp=int(role.cr0_wp),
        smep=int(role.cr4_smep),
        ad_disabled=int(role.ad_disabled),
        guest_mode=int(role.guest_mode),
        smm=int(role.smm),
    )

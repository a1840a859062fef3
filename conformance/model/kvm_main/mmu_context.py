# SPDX-License-Identifier: GPL-2.0-only
"""What a vCPU's MMUs are for: the roles by its control registers, and by L1's nested page tables."""

from __future__ import annotations

from conformance.model.changes import CPU_ROLE, NPT_GMET, PGD_LOADED_AFTER_INIT
from conformance.model.guest_paging.cpu_role import (
    CR0_PG,
    CR0_WP,
    CR4_PKE,
    CR4_SMAP,
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

__all__ = ["kvm_init_mmu", "kvm_init_shadow_ept_mmu", "kvm_init_shadow_npt_mmu", "kvm_mmu_reset_context"]

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
        vcpu.root_mmu.shadowed, vcpu.root_mmu.root_role = Shadowed.NOTHING, tdp_root_role(vm, vcpu)
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
    kvm_mmu_new_pgd(vm, vcpu, eptp, skip_flush=True, cached=cached)


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
    w.cpu_role, w.ept, w.pgd = cpu_role, False, nested_cr3
    mmu.shadowed = Shadowed.NPT
    mmu.root_role = KvmMmuPageRole.of(
        kvm_calc_shadow_npt_root_page_role(vm.k, cpu_role, tdp_level=ROOT_LEVEL)
    )
    kvm_mmu_new_pgd(vm, vcpu, nested_cr3, skip_flush=False, cached=cached)


def _had_cache(vm: Vm, mmu: KvmMmu) -> bool | None:
    """Before PGD_LOADED_AFTER_INIT: whether roots may be cached in the MMU as it was for the last L2."""
    return None if vm.k.has(PGD_LOADED_AFTER_INIT) else has_cache(vm, mmu)


def tdp_root_role(vm: Vm, vcpu: KvmVcpu) -> KvmMmuPageRole:
    """The role of a root of two-dimensional paging. The guest's registers do not matter, but for SMM."""
    role = kvm_calc_tdp_mmu_root_page_role(
        vm.k, ROOT_LEVEL, smm=vcpu.smm, guest_mode=vcpu.guest_mode, has_smep=False
    )
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

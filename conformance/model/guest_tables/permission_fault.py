# SPDX-License-Identifier: GPL-2.0-only
"""Whether an access is forbidden by the rights that the guest's tables grant: permission_fault()."""

from __future__ import annotations

from conformance.model.guest_paging.cpu_role import CR0_WP
from conformance.model.guest_paging.permissions import (
    SMAP_OFF,
    update_permission_bitmask,
    update_pkru_bitmask,
)
from conformance.model.layout import PT_USER_MASK
from conformance.model.spte.writability import PFERR_FETCH_MASK, PFERR_USER_MASK, PFERR_WRITE_MASK
from conformance.model.vm.kvm_page_fault import PFERR_PK_MASK, PFERR_PRESENT_MASK
from conformance.model.vm.kvm_pagewalk import KvmPagewalk
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = ["PFERR_IMPLICIT_ACCESS", "permission_fault"]

PFERR_IMPLICIT_ACCESS = 1 << 48
"""The supervisor accesses a table of the processor, not data: EFLAGS.AC does not matter."""


def permission_fault(
    vm: Vm, vcpu: KvmVcpu, w: KvmPagewalk, pte_access: int, pte_pkey: int, access: int
) -> int:
    """The error code so far if the access with the PFERR_* bits ``access`` is forbidden, else 0.

    Two bits of PKRU for each key say that data must not be accessed (AD), and not be written (WD).
    """
    role = w.cpu_role
    cr0_wp = cr0_wp_of(vm, vcpu, w)
    code = access & (PFERR_WRITE_MASK | PFERR_USER_MASK | PFERR_FETCH_MASK)
    smap_off = SMAP_OFF if vcpu.eflags_ac and not access & PFERR_IMPLICIT_ACCESS else 0
    forbidden = update_permission_bitmask(
        vm.k,
        code | smap_off,
        pte_access,
        tdp=w.nested,
        ept=w.ept,
        cr4_smep=bool(role.cr4_smep),
        cr4_smap=bool(role.cr4_smap),
        cr0_wp=cr0_wp,
        efer_nx=bool(role.efer_nx),
    )
    needed = update_pkru_bitmask(
        vm.k, code, 0, cr4_pke=bool(role.cr4_pke), cr0_wp=cr0_wp, of_user=bool(pte_access & PT_USER_MASK)
    )
    if vcpu.pkru >> 2 * pte_pkey & needed:
        return PFERR_PRESENT_MASK | PFERR_PK_MASK
    return PFERR_PRESENT_MASK if forbidden else 0


def cr0_wp_of(vm: Vm, vcpu: KvmVcpu, w: KvmPagewalk) -> bool:
    """CR0.WP, as the role has it.

    With two-dimensional paging the guest may change CR0.WP without an exit, so it is looked at now
    (kvm_mmu_refresh_passthrough_bits()).
    """
    if vm.k.tdp_enabled and not w.nested and w.cpu_role.level:
        return bool(vcpu.cr0 & CR0_WP)
    return bool(w.cpu_role.cr0_wp)

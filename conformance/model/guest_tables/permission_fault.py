# SPDX-License-Identifier: GPL-2.0-only
"""Whether an access is forbidden by the rights that the guest's tables grant: permission_fault()."""

from __future__ import annotations

from conformance.model.guest_paging import permission_fault as words
from conformance.model.guest_paging.cpu_role import CR0_WP
from conformance.model.guest_paging.permission_fault import PFERR_IMPLICIT_ACCESS, cr0_wp_of_walk
from conformance.model.vm.kvm_pagewalk import KvmPagewalk
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = ["PFERR_IMPLICIT_ACCESS", "permission_fault"]


def permission_fault(
    vm: Vm, vcpu: KvmVcpu, w: KvmPagewalk, pte_access: int, pte_pkey: int, access: int
) -> int:
    """The error code so far if the access with the PFERR_* bits ``access`` is forbidden, else 0."""
    role = w.cpu_role
    cr0_wp = cr0_wp_of_walk(
        vm.k, of_role=bool(role.cr0_wp), of_vcpu=bool(vcpu.cr0 & CR0_WP), nested=w.nested or not role.level
    )
    return int(
        words.permission_fault(
            vm.k,
            pte_access,
            pte_pkey,
            access,
            tdp=w.nested,
            ept=w.ept,
            cr4_smep=bool(role.cr4_smep),
            cr4_smap=bool(role.cr4_smap),
            cr0_wp=cr0_wp,
            efer_nx=bool(role.efer_nx),
            cr4_pke=bool(role.cr4_pke),
            eflags_ac=vcpu.eflags_ac,
            # Implicit accesses to data are not modelled.
            cpl3=False,
            pkru=vcpu.pkru,
        )
    )

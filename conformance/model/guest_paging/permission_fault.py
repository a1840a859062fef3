# SPDX-License-Identifier: GPL-2.0-only
"""Whether the rights that the guest's page tables grant, and the page's protection key, allow an access.

Intel SDM, volume 3, "Determination of access rights" and "Protection keys".
"""

from __future__ import annotations

from conformance.model.changes import CR0_WP_REFRESHED, IMPLICIT_ACCESS
from conformance.model.guest_paging.permissions import (
    SMAP_OFF,
    update_permission_bitmask,
    update_pkru_bitmask,
)
from conformance.model.semantics import Semantics
from conformance.model.spte.writability import PFERR_FETCH_MASK, PFERR_USER_MASK, PFERR_WRITE_MASK
from conformance.model.words import Truth, Word, any_set, bit, no, shr, when

__all__ = ["PFERR_IMPLICIT_ACCESS", "cr0_wp_of_walk", "permission_fault"]

PFERR_PRESENT_MASK, PFERR_PK_MASK = bit(0), bit(5)
PFERR_IMPLICIT_ACCESS = bit(48)
"""The supervisor accesses a table of the processor, not data: EFLAGS.AC does not matter."""


def permission_fault(
    k: Semantics,
    pte_access: Word,
    pte_pkey: Word,
    access: Word,
    *,
    tdp: Truth | bool,
    ept: Truth | bool,
    cr4_smep: Truth | bool,
    cr4_smap: Truth | bool,
    cr0_wp: Truth | bool,
    efer_nx: Truth | bool,
    cr4_pke: Truth | bool,
    eflags_ac: Truth | bool,
    cpl3: Truth | bool,
    pkru: Word,
) -> Word:
    """The error code of the page fault if the access is forbidden, without the bits of the access; else 0.

    ``pte_access`` are the ACC_* bits that all entries of the walk grant, ``access`` the PFERR_* bits write,
    user and fetch, and whether it is implicit. EFLAGS.AC lets the supervisor access pages of users in spite
    of SMAP. PKRU has two bits for each key: data must not be accessed (AD), and must not be written (WD).
    """
    code = access & (PFERR_WRITE_MASK | PFERR_USER_MASK | PFERR_FETCH_MASK)
    implicit = any_set(access, PFERR_IMPLICIT_ACCESS) if k.has(IMPLICIT_ACCESS) else cpl3
    forbidden = update_permission_bitmask(
        k,
        code | when(no(implicit) & eflags_ac, SMAP_OFF),
        pte_access,
        tdp=tdp,
        ept=ept,
        cr4_smep=cr4_smep,
        cr4_smap=cr4_smap,
        cr0_wp=cr0_wp,
        efer_nx=efer_nx,
    )
    of_user = any_set(pte_access, k.layout.acc_user_mask)
    needed = update_pkru_bitmask(k, code, 0, cr4_pke=cr4_pke, cr0_wp=cr0_wp, of_user=of_user)
    by_key = any_set(shr(pkru, pte_pkey * 2), needed)
    return when(forbidden | by_key, PFERR_PRESENT_MASK | when(by_key, PFERR_PK_MASK))


def cr0_wp_of_walk(
    k: Semantics, *, of_role: Truth | bool, of_vcpu: Truth | bool, nested: Truth | bool
) -> Truth | bool:
    """CR0.WP for a check of permissions, by the role that was computed and by the vCPU's register.

    With two-dimensional paging the guest may change CR0.WP without an exit, so that it is read again
    (kvm_mmu_refresh_passthrough_bits()). It does not matter to the second stage of a ``nested`` guest.
    """
    if k.tdp_enabled and k.has(CR0_WP_REFRESHED):
        return (nested & of_role) | (no(nested) & of_vcpu)
    return of_role

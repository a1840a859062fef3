# SPDX-License-Identifier: GPL-2.0-only
"""Properties: whether the rights of a walk of the guest's page tables allow an access."""

from conformance.differential.columns import Access, Bits, Choice, FlagColumn
from conformance.differential.legality.needs import Callers, Case, need
from conformance.differential.outputs import Number
from conformance.differential.property import declare
from conformance.kernels.substitutions import MMU_H, Substitution
from conformance.model.guest_paging import permission_fault
from conformance.model.guest_paging.permission_fault import PFERR_IMPLICIT_ACCESS
from conformance.model.semantics import Semantics
from conformance.model.words import Truth, Word, any_set, either

GROUP = "guest paging"
SHADOW_AND_TDP = ("shadow", "npt")
"""The check reads CR0.WP anew only with two-dimensional paging."""
GUEST_FINAL = 1 << 32
"""Of a nested page fault; the check strips it."""
ACCESSES = tuple(
    code | more
    for code in range(32)
    if not code & 8
    for more in (0, PFERR_IMPLICIT_ACCESS, GUEST_FINAL, GUEST_FINAL | PFERR_IMPLICIT_ACCESS)
)
"""All combinations of present, write, user and fetch; no walk passes the reserved bit."""
STAGE = Choice("stage", 2, (0, 1, 2))
"""Whose tables: those of the guest, the nested host's NPT, its EPT."""


def _permission_fault(
    k: Semantics, access: Word, pte_access: Word, pkey: Word, pkru: Word, stage: Word, *flags: Word
) -> Word:
    ac, cpl3, wp_of_vcpu, smep, smap, wp_of_role, nx, pke = (flag == 1 for flag in flags)
    nested = stage != 0
    return permission_fault.permission_fault(
        k,
        pte_access,
        pkey,
        access,
        tdp=nested,
        ept=stage == 2,
        cr4_smep=smep,
        cr4_smap=smap,
        cr0_wp=permission_fault.cr0_wp_of_walk(k, of_role=wp_of_role, of_vcpu=wp_of_vcpu, nested=nested),
        efer_nx=nx,
        # A second stage has no keys.
        cr4_pke=pke & (stage == 0),
        eflags_ac=ac,
        cpl3=cpl3,
        pkru=pkru,
    )


def _is_user(k: Semantics, case: Case) -> Truth:
    return (case["stage"] == 0) | any_set(case["access"], 4)


declare(
    permission_fault.permission_fault,
    GROUP,
    [
        Choice("access", 49, ACCESSES),
        Access("pte_access"),
        Choice("pte_pkey", 4, tuple(range(16))),
        Bits("pkru", 32, dense=True),
        STAGE,
        *(FlagColumn(name) for name in ("eflags.ac", "cpl3", "vCPU's cr0.wp")),
        *(FlagColumn(name) for name in ("cr4.smep", "cr4.smap", "cr0.wp", "efer.nx", "cr4.pke")),
    ],
    gives=(Number("error code"),),
    answer=_permission_fault,
    modes=SHADOW_AND_TDP,
    callers=Callers(
        "walk_addr_generic() passes the rights of all entries; accesses to the second stage are a user's.",
        (
            need(
                "an access to the second stage that is not a user's",
                _is_user,
                lambda k, case: {"access": either(_is_user(k, case), case["access"], case["access"] | 4)},
            ),
        ),
    ),
    mutants=[
        Substitution(MMU_H, "(pfec + (not_smap << PFERR_RSVD_BIT)) >> 1", "pfec >> 1"),
        Substitution(MMU_H, "((rflags & X86_EFLAGS_AC) | implicit_access) ==", "(rflags & X86_EFLAGS_AC) =="),
        Substitution(MMU_H, "(vcpu->arch.pkru >> (pte_pkey * 2)) & 3;", "(vcpu->arch.pkru >> pte_pkey) & 3;"),
        Substitution(MMU_H, "errcode |= -pkru_bits & PFERR_PK_MASK;", ""),
        Substitution(MMU_H, "fault |= (pkru_bits != 0);", ""),
        Substitution(MMU_H, "\tkvm_mmu_refresh_passthrough_bits(vcpu, mmu);\n", ""),
        Substitution(MMU_H, "if (!tdp_enabled || w == &vcpu->arch.ngpa_walk)", "if (!tdp_enabled)", "7.3"),
        Substitution(MMU_H, "((pte_access & PT_USER_MASK) ? PFERR_RSVD_MASK : 0)", "0", "7.3"),
    ],
)

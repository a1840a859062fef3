# SPDX-License-Identifier: GPL-2.0-only
"""Write access: W, MMU-writable and Host-writable; and whether an SPTE allows the access of a fault."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.model.changes import DYNAMIC_WRITABLE_BITS
from conformance.model.layout import PT_PRESENT_MASK, PT_WRITABLE_MASK
from conformance.model.semantics import Semantics
from conformance.model.spte.predicates import is_executable_pte, is_shadow_present_pte
from conformance.model.words import Truth, Word, any_set, either, no, shl, shr, when

__all__ = [
    "PFERR_FETCH_MASK",
    "PFERR_USER_MASK",
    "PFERR_WRITE_MASK",
    "check_spte_writable_invariants",
    "is_access_allowed",
    "is_mmu_writable_spte",
    "is_writable_pte",
    "spte_permission_fault",
]

PFERR_WRITE_MASK = 1 << 1
PFERR_USER_MASK = 1 << 2
PFERR_FETCH_MASK = 1 << 4


def is_writable_pte(spte: Word) -> Truth:
    """Whether the processor allows writes through the SPTE: the W bit.

    Where W is clear, MMU-writable and Host-writable give the reason; see ``states``.
    """
    return any_set(spte, PT_WRITABLE_MASK)


def is_mmu_writable_spte(k: Semantics, spte: Word) -> Truth:
    """Whether fast_page_fault() may set W without mmu_lock.

    Before 5fc3424f8b85 in v5.13 this was spte_can_locklessly_be_made_writable(), which required both
    Host-writable and MMU-writable.
    """
    if k.has(DYNAMIC_WRITABLE_BITS):
        return any_set(spte, k.shadow_mmu_writable_mask)
    both = k.shadow_host_writable_mask | k.shadow_mmu_writable_mask
    return (spte & both) == both


def check_spte_writable_invariants(k: Semantics, spte: Word, where: Truth | bool = True) -> None:
    """WARN if a present leaf SPTE is in no legal state of writability, in the cases where ``where`` holds.

    MMU-writable requires Host-writable, and W requires MMU-writable; see ``states``.
    """
    mmu_writable = any_set(spte, k.shadow_mmu_writable_mask)
    host_writable = any_set(spte, k.shadow_host_writable_mask)
    illegal = either(mmu_writable, no(host_writable), is_writable_pte(spte))
    k.warn_on("check_spte_writable_invariants", illegal & where)


def is_access_allowed(k: Semantics, spte: Word, *, exec: Truth | bool, write: Truth | bool) -> Truth:
    """Whether a present leaf SPTE allows the access that faulted, so that the fault was spurious.

    A fetch requires execution only, a write requires W, a read requires the present (EPT: read) bit.
    """
    data = either(write, is_writable_pte(spte), any_set(spte, PT_PRESENT_MASK))
    return either(exec, is_executable_pte(k, spte), data)


def spte_permission_fault(k: Semantics, spte: Word, error_code: Word, permissions: Sequence[Word]) -> Truth:
    """Whether the SPTE forbids the access of ``error_code``. An SPTE that is not present forbids all access.

    ``permissions`` is the MMU's permission bitmap: sixteen rows of sixteen bits, four rows to a word. The
    access (error code bits 4:1: write, user, fetch) selects the row, the access that the SPTE grants the
    bit. From 216b1a47e80c ("KVM: x86/mmu: use kvm_page_format to test SPTEs") in v7.3.
    """
    bits = k.layout
    by_nx = k.shadow_nx_mask != 0
    user = any_set(spte, either(by_nx, k.shadow_user_mask, k.shadow_xu_mask))
    executable = either(by_nx, no(any_set(spte, k.shadow_nx_mask)), any_set(spte, k.shadow_x_mask))
    granted = spte & (PT_PRESENT_MASK | PT_WRITABLE_MASK)
    granted = granted | when(user, bits.acc_user_mask) | when(executable, bits.acc_exec_mask)
    access = shr(error_code & (PFERR_WRITE_MASK | PFERR_USER_MASK | PFERR_FETCH_MASK), 1)
    row = permissions[3]
    for n in (2, 1, 0):
        row = either(shr(access, 2) == n, permissions[n], row)
    row = shr(row, shl(access & 3, 4)) & 0xFFFF
    return no(is_shadow_present_pte(k, spte)) | any_set(shr(row, granted), 1)

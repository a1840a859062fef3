# SPDX-License-Identifier: GPL-2.0-only
"""Accessed and Dirty bits, access tracking where the processor sets neither, and volatile bits."""

from __future__ import annotations

from conformance.model.changes import (
    ACCESSED_NOT_VOLATILE,
    AD_DISABLED_ALWAYS_VOLATILE,
    RESTORE_ACC_TRACK_QUIET,
    SOFTWARE_ACCESSED,
    SPTE_INVARIANTS_HELPER,
    VOLATILE_CALLER_CHECKS_PRESENT,
    WRITABLE_NOT_VOLATILE,
)
from conformance.model.semantics import Semantics
from conformance.model.spte.predicates import is_shadow_present_pte
from conformance.model.spte.writability import (
    check_spte_writable_invariants,
    is_mmu_writable_spte,
    is_writable_pte,
)
from conformance.model.words import Truth, Word, any_set, clear, either, no, shl, shr, when

__all__ = [
    "is_access_track_spte",
    "is_accessed_spte",
    "is_dirty_spte",
    "mark_spte_for_access_track",
    "restore_acc_track_spte",
    "spte_ad_enabled",
    "spte_ad_need_write_protect",
    "spte_has_volatile_bits",
    "spte_shadow_accessed_mask",
]


def spte_ad_enabled(k: Semantics, spte: Word) -> Truth:
    """Whether the processor sets Accessed and Dirty in this present SPTE."""
    return (spte & k.layout.spte_tdp_ad_mask) != k.layout.spte_tdp_ad_disabled


def spte_shadow_accessed_mask(k: Semantics, spte: Word) -> Word:
    """The Accessed bit of this present SPTE, 0 if the processor does not set it there.

    Gone with 7971801b5618 in v6.13: since then software keeps the bit where the processor does not.
    """
    return when(spte_ad_enabled(k, spte), k.shadow_accessed_mask)


def spte_ad_need_write_protect(k: Semantics, spte: Word) -> Truth:
    """Whether writes through this present SPTE must be logged by write-protection, not by Dirty bits.

    That is so without A/D bits, and for SPTEs of L2 with PML, which would log L2's addresses.
    """
    return any_set(spte, k.layout.spte_tdp_ad_mask)


def is_access_track_spte(k: Semantics, spte: Word) -> Truth:
    """Whether all access was removed from this present SPTE for aging, so that the next access faults."""
    return no(spte_ad_enabled(k, spte)) & no(any_set(spte, k.shadow_acc_track_mask))


def is_accessed_spte(k: Semantics, spte: Word) -> Truth:
    """Whether the guest has used this present SPTE since it was last aged.

    Without A/D bits: whether it is not access-tracked. Since 7971801b5618 in v6.13 software maintains the
    Accessed bit in that case.
    """
    if k.has(SOFTWARE_ACCESSED):
        return any_set(spte, k.shadow_accessed_mask)
    untracked = no(is_access_track_spte(k, spte))
    by_hardware = spte_ad_enabled(k, spte) & (k.shadow_accessed_mask != 0)
    return either(by_hardware, any_set(spte, k.shadow_accessed_mask), untracked)


def is_dirty_spte(k: Semantics, spte: Word) -> Truth:
    """Whether the guest may have written through this present SPTE: Dirty, or W in modes without Dirty."""
    by_hardware = spte_ad_enabled(k, spte) & (k.shadow_dirty_mask != 0)
    return either(by_hardware, any_set(spte, k.shadow_dirty_mask), is_writable_pte(spte))


def mark_spte_for_access_track(k: Semantics, spte: Word, where: Truth | bool = True) -> Word:
    """The present leaf SPTE after aging.

    With A/D bits Accessed is cleared. Without, R and X are saved in high bits and all access is removed. W
    is not saved: the SPTE must be in a state in which a fault can restore W. WARNs only where ``where``
    holds.
    """
    saved = k.layout.acc_track_saved_mask
    shift = k.layout.acc_track_saved_shift
    hardware = spte_ad_enabled(k, spte)
    marked_now = no(hardware) & no(is_access_track_spte(k, spte))
    _warn_if_not_restorable(k, spte, marked_now & where)
    k.warn_on("mark_spte_for_access_track", any_set(spte, saved << shift) & marked_now & where)

    taken = k.shadow_acc_track_mask
    if k.has(SOFTWARE_ACCESSED):
        taken = taken | k.shadow_accessed_mask
    marked = clear(spte | shl(spte & saved, shift), taken)
    return either(hardware, clear(spte, k.shadow_accessed_mask), either(marked_now, marked, spte))


def _warn_if_not_restorable(k: Semantics, spte: Word, where: Truth | bool) -> None:
    """WARN if fast_page_fault() could not restore the SPTE's write access."""
    if k.has(SPTE_INVARIANTS_HELPER):
        check_spte_writable_invariants(k, spte, where)
    else:
        unrestorable = is_writable_pte(spte) & no(is_mmu_writable_spte(k, spte))
        k.warn_on("mark_spte_for_access_track", unrestorable & where)


def restore_acc_track_spte(k: Semantics, spte: Word) -> Word:
    """An access-tracked SPTE with its saved R and X restored; W stays clear, for the fault to decide."""
    if not k.has(RESTORE_ACC_TRACK_QUIET):
        k.warn_on("restore_acc_track_spte", spte_ad_enabled(k, spte))
        k.warn_on("restore_acc_track_spte", no(is_access_track_spte(k, spte)))
    saved = k.layout.acc_track_saved_mask
    shift = k.layout.acc_track_saved_shift
    return clear(spte, k.shadow_acc_track_mask | saved << shift) | (shr(spte, shift) & saved)


def spte_has_volatile_bits(k: Semantics, spte: Word) -> Truth:
    """Whether bits of a shadow-present leaf SPTE may change outside mmu_lock and must not be lost.

    fast_page_fault() may set W if the SPTE is MMU-writable, and restore R and X if it is access-tracked; the
    processor may set Accessed and Dirty. Called spte_needs_atomic_update() since 61d65f2dc766 in v6.15.

    The caller checks shadow-present: 54eb3ef56f36 ("KVM: x86/mmu: Move shadow-present check out of
    spte_has_volatile_bits()") in v5.18.
    """
    writable = is_writable_pte(spte)
    fixable = is_mmu_writable_spte(k, spte)
    if k.has(WRITABLE_NOT_VOLATILE):
        fixable = fixable & no(writable)

    if k.has(AD_DISABLED_ALWAYS_VOLATILE):
        tracked = no(spte_ad_enabled(k, spte))
    else:
        tracked = is_access_track_spte(k, spte)

    pending = writable & no(any_set(spte, k.shadow_dirty_mask))
    if not k.has(ACCESSED_NOT_VOLATILE):
        pending = spte_ad_enabled(k, spte) & (pending | no(any_set(spte, k.shadow_accessed_mask)))

    volatile = fixable | tracked | pending
    if k.has(VOLATILE_CALLER_CHECKS_PRESENT):
        return volatile
    return volatile & is_shadow_present_pte(k, spte)

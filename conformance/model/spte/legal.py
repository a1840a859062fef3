# SPDX-License-Identifier: GPL-2.0-only
"""Predicates: which SPTEs KVM makes, and how one may change outside mmu_lock.

They run over ints, arrays and z3 terms. ``illegal`` has the same rules for ints only, with a sentence for
each; the tests compare the two.
"""

from __future__ import annotations

from conformance.model.changes import (
    CHANGED_PTE_CLEARS_MMU_WRITABLE,
    EPT_AD_MASKS_ALWAYS,
    NO_ACCESS_WARNS,
    REMOVED_SPTE_5A0,
    SOFTWARE_ACCESSED,
)
from conformance.model.layout import (
    PG_LEVEL_1G,
    PG_LEVEL_4K,
    PT_WRITABLE_MASK,
    SPTE_BASE_ADDR_MASK,
    VMX_EPT_MT_MASK,
    VMX_EPT_READABLE_MASK,
    VMX_EPT_RWX_MASK,
    VMX_EPT_SUPPRESS_VE_BIT,
)
from conformance.model.semantics import Semantics
from conformance.model.spte.access import is_access_track_spte, spte_ad_enabled
from conformance.model.spte.decode.fields import bit_map
from conformance.model.spte.decode.hardware import MEMORY_TYPES, address_bits, required_me
from conformance.model.spte.make_spte import make_nonleaf_spte
from conformance.model.spte.predicates import (
    is_frozen_spte,
    is_large_pte,
    is_mmio_spte,
    is_shadow_present_pte,
)
from conformance.model.spte.writability import is_mmu_writable_spte, is_writable_pte
from conformance.model.words import ALL, Truth, Word, any_set, bits, clear, either, no, shr, when

__all__ = [
    "granted_to",
    "has_hardware_ad",
    "is_frozen",
    "is_legal_leaf",
    "is_legal_mmio",
    "is_legal_nonpresent",
    "is_legal_present",
    "is_legal_spte",
    "is_legal_table",
    "is_tracked",
    "known_bits",
    "may_become",
    "misaligned",
    "present_kind",
    "restored",
]


def known_bits(k: Semantics, kind: str) -> int:
    """The bits that have a meaning in SPTEs of a kind, "present" or "mmio"."""
    known = 0
    for field in bit_map(k, kind):
        known |= bits(field.high, field.low)
    return known


def has_hardware_ad(k: Semantics) -> bool:
    """Whether the processor of this mode has Accessed and Dirty bits."""
    return bool(k.kvm_ad_enabled if k.has(EPT_AD_MASKS_ALWAYS) else k.shadow_accessed_mask)


def is_frozen(k: Semantics, spte: Word) -> Truth:
    """Whether the SPTE is the frozen value; never before 715f1079eee1 in v5.13."""
    return is_frozen_spte(k, spte) & k.has(REMOVED_SPTE_5A0)


def present_kind(k: Semantics, spte: Word) -> Truth:
    """Whether the SPTE is shadow-present and not frozen; v5.10 does not distinguish the two."""
    return is_shadow_present_pte(k, spte) & no(is_frozen(k, spte)) & (spte != k.layout.nonpresent_value)


def is_tracked(k: Semantics, spte: Word) -> Truth:
    """Whether a present SPTE is access-tracked; never in modes without access tracking."""
    return is_access_track_spte(k, spte) & (k.shadow_acc_track_mask != 0)


def restored(k: Semantics, spte: Word) -> Word:
    """An access-tracked SPTE with its saved bits restored; any other unchanged."""
    saved, shift = k.layout.acc_track_saved_mask, k.layout.acc_track_saved_shift
    back = clear(spte, k.shadow_acc_track_mask | saved << shift) | (shr(spte, shift) & saved)
    return either(is_tracked(k, spte), back, spte)


def granted_to(k: Semantics, spte: Word) -> Word:
    """The ACC_* bits that a present leaf SPTE grants once restored; MMU-writable counts as write access."""
    layout = k.layout
    plain = restored(k, spte)
    if k.shadow_nx_mask:
        executable, user = no(any_set(plain, k.shadow_nx_mask)), any_set(plain, k.shadow_user_mask)
    else:
        # Before EPT's execute bit for users was used, R stood for user access, unless every SPTE has R.
        executable = any_set(plain, k.shadow_x_mask)
        user = any_set(plain, k.shadow_xu_mask or clear(k.shadow_user_mask, k.shadow_present_mask))
    readable = any_set(plain, VMX_EPT_READABLE_MASK)
    writable = is_writable_pte(plain) | any_set(plain, k.shadow_mmu_writable_mask)
    return (
        when(executable, layout.acc_exec_mask)
        | when(user, layout.acc_user_mask)
        | when(readable, layout.acc_read_mask)
        | when(writable, layout.acc_write_mask)
    )


def misaligned(spte: Word, level: Word) -> Word:
    """The address bits set in a leaf SPTE that must be 0 at ``level``."""
    below = either(level == PG_LEVEL_1G, bits(29, 12), bits(20, 12))
    return either(level == PG_LEVEL_4K, spte & 0, spte & below)


def _is_legally_present(k: Semantics, spte: Word) -> Truth:
    """The rules that leaf SPTEs and SPTEs of tables have in common."""
    layout = k.layout
    type_ = spte & layout.spte_tdp_ad_mask
    disabled = no(spte_ad_enabled(k, spte))
    missing = k.shadow_present_mask & clear(spte ^ ALL, when(is_tracked(k, spte), k.shadow_acc_track_mask))
    strange = SPTE_BASE_ADDR_MASK & (address_bits(k) ^ ALL)
    strange |= k.shadow_me_mask & (required_me(k) ^ ALL)
    strange |= known_bits(k, "present") ^ ALL
    legal = present_kind(k, spte) & no(is_mmio_spte(k, spte)) & (missing == 0) & no(any_set(spte, strange))
    legal = legal & (type_ != layout.spte_tdp_ad_mask)
    if not k.shadow_acc_track_mask:
        legal = legal & no(disabled)
    if not has_hardware_ad(k):
        legal = legal & disabled
    if not k.tdp_enabled:
        legal = legal & (type_ != layout.spte_tdp_ad_wrprot_only)
    return legal


def is_legal_leaf(k: Semantics, spte: Word, level: Word | None = None) -> Truth:
    """Whether KVM makes this SPTE for a page at ``level`` (1 to 3), or at any of them without ``level``."""
    large = is_large_pte(k, spte)
    if level is None:
        level = either(large, 2, 1)
    tracked = is_tracked(k, spte)
    mmu_writable, host_writable = (
        any_set(spte, mask) for mask in (k.shadow_mmu_writable_mask, k.shadow_host_writable_mask)
    )
    granted_in_vain = mmu_writable & no(host_writable)
    if not k.has(CHANGED_PTE_CLEARS_MMU_WRITABLE):
        granted_in_vain = granted_in_vain & is_writable_pte(spte)
    shift, saved = k.layout.acc_track_saved_shift, k.layout.acc_track_saved_mask
    wrong = (is_writable_pte(spte) & no(mmu_writable)) | granted_in_vain
    if k.shadow_acc_track_mask:
        wrong = wrong | (no(tracked) & any_set(spte, saved << shift))
        # The restored SPTE must grant access, and all that every present SPTE grants.
        back, least = shr(spte, shift) & saved, k.shadow_present_mask & saved
        wrong = wrong | (tracked & ((back == 0) | ((back & least) != least)))
    if k.has(SOFTWARE_ACCESSED):
        wrong = wrong | (tracked & any_set(spte, k.shadow_accessed_mask))
    else:
        wrong = wrong | (
            no(spte_ad_enabled(k, spte)) & any_set(spte, k.shadow_accessed_mask | k.shadow_dirty_mask)
        )
    if k.shadow_x_mask:
        if k.has(NO_ACCESS_WARNS):
            wrong = wrong | (no(any_set(spte, VMX_EPT_RWX_MASK | k.shadow_xu_mask)) & no(tracked))
        wrong = wrong | (is_writable_pte(spte) & no(any_set(spte, VMX_EPT_READABLE_MASK)))
        type_ = shr(spte & VMX_EPT_MT_MASK, 3)
        known = type_ == 0
        for each in MEMORY_TYPES:
            known = known | (type_ == each)
        wrong = wrong | no(known)
    sized = either(level == PG_LEVEL_4K, no(large), large & (level <= PG_LEVEL_1G))
    return _is_legally_present(k, spte) & sized & (misaligned(spte, level) == 0) & no(wrong)


def is_legal_table(k: Semantics, spte: Word) -> Truth:
    """Whether KVM makes this SPTE for a table."""
    child = clear(spte & SPTE_BASE_ADDR_MASK, k.shadow_me_mask)
    made = make_nonleaf_spte(k, child, no(spte_ad_enabled(k, spte)))
    return _is_legally_present(k, spte) & (clear(spte ^ made, k.shadow_accessed_mask) == 0)


def is_legal_present(k: Semantics, spte: Word, level: Word | None = None) -> Truth:
    """Whether KVM makes this SPTE for a page or a table at ``level`` (1 to 5), or at any."""
    table = is_legal_table(k, spte)
    return is_legal_leaf(k, spte, level) | (table if level is None else table & (level != PG_LEVEL_4K))


def is_legal_mmio(k: Semantics, spte: Word) -> Truth:
    """Whether KVM makes this SPTE to cache that a gfn is MMIO."""
    needed = k.shadow_mmio_value | k.shadow_nonpresent_or_rsvd_mask
    other = is_frozen(k, spte) | present_kind(k, spte) | (spte == k.layout.nonpresent_value) | (spte == 0)
    unknown = known_bits(k, "mmio") ^ ALL
    return is_mmio_spte(k, spte) & no(other) & ((spte & needed) == needed) & no(any_set(spte, unknown))


def is_legal_nonpresent(k: Semantics, spte: Word) -> Truth:
    """Whether this is the value of an entry that maps nothing."""
    if k.shadow_present_mask & VMX_EPT_SUPPRESS_VE_BIT:
        return spte == k.layout.nonpresent_value
    return (spte == k.layout.nonpresent_value) | (spte == 0)


def is_legal_spte(k: Semantics, spte: Word, level: Word | None = None) -> Truth:
    """Whether an entry of a table at ``level``, or of any table, may hold this SPTE."""
    absent = is_legal_nonpresent(k, spte) | is_frozen(k, spte) | is_legal_mmio(k, spte)
    return is_legal_present(k, spte, level) | absent


def may_become(k: Semantics, old: Word, now: Word) -> Truth:
    """Whether a legal SPTE may change from ``old`` to ``now`` without mmu_lock.

    fast_page_fault() sets W where MMU-writable is set, and restores access-tracked SPTEs; the processor sets
    Accessed, and Dirty where it may write.
    """
    present = present_kind(k, old)
    fixed = present & is_tracked(k, old) & no(is_tracked(k, now))
    base = either(fixed, restored(k, old), old)
    gained, lost = now & (base ^ ALL), base & (now ^ ALL)
    allowed = when(present & is_mmu_writable_spte(k, old), PT_WRITABLE_MASK)
    if has_hardware_ad(k):
        enabled = present & spte_ad_enabled(k, old)
        dirty = enabled & is_writable_pte(now)
        allowed = allowed | when(enabled, k.shadow_accessed_mask) | when(dirty, k.shadow_dirty_mask)
    if k.has(SOFTWARE_ACCESSED):
        allowed = allowed | when(fixed, k.shadow_accessed_mask)
    return (lost == 0) & ((gained & (allowed ^ ALL)) == 0)

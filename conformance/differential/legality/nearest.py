# SPDX-License-Identifier: GPL-2.0-only
"""The legal SPTE nearest to a word, which keeps as much of it as KVM would. Over ints and arrays."""

from __future__ import annotations

from conformance.model.changes import CHANGED_PTE_CLEARS_MMU_WRITABLE, SOFTWARE_ACCESSED
from conformance.model.layout import (
    PG_LEVEL_1G,
    PG_LEVEL_4K,
    PT_PAGE_SIZE_MASK,
    PT_WRITABLE_MASK,
    SPTE_BASE_ADDR_MASK,
    VMX_EPT_MT_MASK,
    VMX_EPT_READABLE_MASK,
)
from conformance.model.semantics import Semantics
from conformance.model.spte.decode.hardware import MEMORY_TYPES, address_bits, required_me
from conformance.model.spte.legal import (
    has_hardware_ad,
    is_frozen,
    is_legal_nonpresent,
    is_legal_present,
    is_tracked,
    known_bits,
    misaligned,
    present_kind,
    restored,
)
from conformance.model.spte.make_spte import make_nonleaf_spte
from conformance.model.spte.predicates import is_large_pte, is_mmio_spte, is_shadow_present_pte
from conformance.model.spte.writability import is_mmu_writable_spte
from conformance.model.words import ALL, Truth, Word, any_set, clear, either, no, shl, shr, when

__all__ = [
    "nearest_future",
    "nearest_leaf",
    "nearest_mmio",
    "nearest_present",
    "nearest_spte",
    "nearest_table",
]

_WRITE_BACK = 6 << 3


def _ad_type(k: Semantics, spte: Word) -> Word:
    """The A/D type nearest to the SPTE's that there is in this mode."""
    bits = k.layout
    type_ = spte & bits.spte_tdp_ad_mask
    if not has_hardware_ad(k):
        return (spte & 0) | bits.spte_tdp_ad_disabled
    kept = spte & 0
    if k.shadow_acc_track_mask:
        kept = when(type_ == bits.spte_tdp_ad_disabled, bits.spte_tdp_ad_disabled) | kept
    if k.tdp_enabled:
        kept = kept | when(type_ == bits.spte_tdp_ad_wrprot_only, bits.spte_tdp_ad_wrprot_only)
    return kept


def _address(k: Semantics, spte: Word) -> Word:
    # Where the masks do not bound addresses, the bits that mark MMIO SPTEs are no address bits.
    not_there = k.shadow_me_mask | (k.shadow_mmio_value & SPTE_BASE_ADDR_MASK)
    return clear(spte & SPTE_BASE_ADDR_MASK & address_bits(k), not_there) | required_me(k)


def nearest_leaf(k: Semantics, spte: Word, level: Word | None = None) -> Word:
    """An SPTE for a page at ``level`` (1 to 3); without it, at 1 or 2 as it was large or not."""
    bits = k.layout
    if level is None:
        level = either(is_large_pte(k, spte), 2, PG_LEVEL_4K)
    saved, shift = bits.acc_track_saved_mask, bits.acc_track_saved_shift
    type_ = _ad_type(k, spte)
    disabled = type_ == bits.spte_tdp_ad_disabled
    tracked: Truth | bool = (
        disabled & no(any_set(spte, k.shadow_acc_track_mask)) & (k.shadow_acc_track_mask != 0)
    )
    back = (shr(spte, shift) & saved) | (k.shadow_present_mask & saved)
    tracked = tracked & (back != 0)

    host = spte & k.shadow_host_writable_mask
    mmu = when(host != 0, spte & k.shadow_mmu_writable_mask)
    if not k.has(CHANGED_PTE_CLEARS_MMU_WRITABLE):
        mmu = spte & k.shadow_mmu_writable_mask
    writable = when((host != 0) & (mmu != 0), spte & PT_WRITABLE_MASK)
    own = (
        k.shadow_host_writable_mask | k.shadow_mmu_writable_mask | PT_WRITABLE_MASK | PT_PAGE_SIZE_MASK
        | SPTE_BASE_ADDR_MASK | bits.spte_tdp_ad_mask | bits.spte_mmu_present_mask | k.shadow_me_mask
    )  # fmt: skip
    if k.shadow_acc_track_mask:
        own |= saved << shift
    rest = spte & known_bits(k, "present") & (own ^ ALL)
    if not k.has(SOFTWARE_ACCESSED):
        rest = clear(rest, when(disabled, k.shadow_accessed_mask | k.shadow_dirty_mask))
    if k.shadow_x_mask:
        known = shr(spte & VMX_EPT_MT_MASK, 3) == 0
        for each in MEMORY_TYPES:
            known = known | (shr(spte & VMX_EPT_MT_MASK, 3) == each)
        rest = either(known, rest, clear(rest, VMX_EPT_MT_MASK) | _WRITE_BACK)

    made = rest | type_ | host | mmu | writable | bits.spte_mmu_present_mask | k.shadow_present_mask
    if k.shadow_x_mask:
        # W without R is a misconfiguration, and no access at all a WARN.
        nothing = no(any_set(made, k.shadow_acc_track_mask))
        made = made | when((writable != 0) | nothing, VMX_EPT_READABLE_MASK)
        taken = k.shadow_acc_track_mask | (k.shadow_accessed_mask if k.has(SOFTWARE_ACCESSED) else 0)
        made = either(tracked, clear(made, taken) | shl(back, shift), made)
    made = made | when(level != PG_LEVEL_4K, PT_PAGE_SIZE_MASK) | _address(k, spte)
    return clear(made, misaligned(made, either(level <= PG_LEVEL_1G, level, PG_LEVEL_1G)))


def nearest_table(k: Semantics, spte: Word) -> Word:
    """An SPTE for a table."""
    type_ = _ad_type(k, spte)
    child = clear(_address(k, spte), k.shadow_me_mask)
    made = make_nonleaf_spte(k, child, type_ == k.layout.spte_tdp_ad_disabled)
    return clear(made, k.shadow_accessed_mask & (spte ^ ALL))


def nearest_mmio(k: Semantics, spte: Word) -> Word:
    """An MMIO SPTE, where this mode has them."""
    fixed = k.shadow_mmio_value | k.shadow_mmio_mask | k.shadow_nonpresent_or_rsvd_mask
    kept = spte & known_bits(k, "mmio") & (fixed ^ ALL)
    return kept | k.shadow_mmio_value | k.shadow_nonpresent_or_rsvd_mask


def nearest_present(k: Semantics, spte: Word, level: Word | None = None) -> Word:
    """An SPTE for a page or, above 4 KiB, where the word is not large, for a table at ``level``."""
    if level is None:
        return either(is_legal_present(k, spte), spte, nearest_leaf(k, spte))
    leaf = (level == PG_LEVEL_4K) | (is_large_pte(k, spte) & (level <= PG_LEVEL_1G))
    return either(leaf, nearest_leaf(k, spte, level), nearest_table(k, spte))


def nearest_spte(k: Semantics, spte: Word, level: Word | None = None) -> Word:
    """What an entry of a table at ``level`` may hold: the same kind of SPTE if there is one."""
    kept = is_legal_nonpresent(k, spte) | is_frozen(k, spte)
    made = either(is_shadow_present_pte(k, spte), nearest_present(k, spte, level), k.layout.nonpresent_value)
    if k.shadow_mmio_value:
        cached = is_mmio_spte(k, spte) & no(present_kind(k, spte))
        made = either(cached, nearest_mmio(k, spte), made)
    return either(kept, spte, made)


def nearest_future(k: Semantics, old: Word, now: Word) -> Word:
    """What ``old`` may have become without mmu_lock that is most like ``now``."""
    present = present_kind(k, old)
    fixed = present & is_tracked(k, old) & any_set(now, k.shadow_acc_track_mask)
    base = either(fixed, restored(k, old), old)
    writable = present & is_mmu_writable_spte(k, old) & any_set(old, k.shadow_host_writable_mask)
    write = when(writable, now & PT_WRITABLE_MASK)
    # An access-tracked SPTE that stays so has no W.
    write = when(fixed | no(is_tracked(k, old)), write)
    base = base | write
    if has_hardware_ad(k):
        enabled = present & ((old & k.layout.spte_tdp_ad_mask) != k.layout.spte_tdp_ad_disabled)
        base = base | when(enabled, now & k.shadow_accessed_mask)
        base = base | when(enabled & any_set(base, PT_WRITABLE_MASK), now & k.shadow_dirty_mask)
    return base

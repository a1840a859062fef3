# SPDX-License-Identifier: GPL-2.0-only
"""Predicates on one SPTE: present, large, last, executable, MMIO, frozen; and what it points to."""

from __future__ import annotations

from conformance.model.changes import (
    EPT_XU_RESERVED_BITS,
    MMIO_CACHING_FLAG,
    MMIO_VALUE_AND_MASK,
    MMU_PRESENT_BIT,
    XS_XU,
)
from conformance.model.layout import (
    PAGE_SHIFT,
    PG_LEVEL_4K,
    PT_PAGE_SIZE_MASK,
    SPTE_BASE_ADDR_MASK,
    VMX_EPT_EXECUTABLE_MASK,
    VMX_EPT_MISCONFIG_WX_VALUE,
    VMX_EPT_RWX_MASK,
    VMX_EPT_SUPPRESS_VE_BIT,
    VMX_EPT_USER_EXECUTABLE_MASK,
)
from conformance.model.semantics import Semantics
from conformance.model.words import Truth, Word, any_set, either, no, shl, shr

__all__ = [
    "is_ept_ve_possible",
    "is_executable_pte",
    "is_frozen_spte",
    "is_large_pte",
    "is_last_spte",
    "is_mmio_spte",
    "is_rsvd_spte",
    "is_shadow_present_pte",
    "spte_index",
    "spte_to_pfn",
]


def is_shadow_present_pte(k: Semantics, spte: Word) -> Truth:
    """Whether the SPTE maps a page or a table.

    An access-tracked SPTE is shadow-present although the processor cannot use it. MMIO, frozen and zapped
    SPTEs are not. Before edea7c4fc215 in v5.13 every SPTE but 0 and MMIO SPTEs was, frozen ones included.
    """
    if k.has(MMU_PRESENT_BIT):
        return any_set(spte, k.layout.spte_mmu_present_mask)
    return (spte != 0) & no(is_mmio_spte(k, spte))


def is_mmio_spte(k: Semantics, spte: Word) -> Truth:
    """Whether the SPTE caches that its gfn is emulated MMIO.

    No SPTE does while enable_mmio_caching is off: 8b9e74bfbf8c in v5.19.
    """
    if not k.has(MMIO_VALUE_AND_MASK):
        return (spte & k.layout.spte_tdp_ad_mask) == k.layout.spte_tdp_ad_mask
    matches = (spte & k.shadow_mmio_mask) == k.shadow_mmio_value
    if k.has(MMIO_CACHING_FLAG):
        return matches & (k.enable_mmio_caching != 0)
    return matches


def is_large_pte(k: Semantics, spte: Word) -> Truth:
    """Whether a present SPTE above the lowest level maps a huge page."""
    return any_set(spte, PT_PAGE_SIZE_MASK)


def is_last_spte(k: Semantics, spte: Word, level: Word) -> Truth:
    """Whether a present SPTE at ``level`` (1 is 4 KiB) is a leaf: maps a page, not a table."""
    return (level == PG_LEVEL_4K) | is_large_pte(k, spte)


def is_executable_pte(k: Semantics, spte: Word) -> Truth:
    """Whether a present SPTE allows execution, for fast_page_fault().

    Since 2e111d932d1d in v7.2 either of EPT's two execute bits is enough.
    """
    if k.has(XS_XU):
        mask = k.shadow_x_mask | k.shadow_xu_mask | k.shadow_nx_mask
        return (spte & mask) != k.shadow_nx_mask
    return (spte & (k.shadow_x_mask | k.shadow_nx_mask)) == k.shadow_x_mask


def is_frozen_spte(k: Semantics, spte: Word) -> Truth:
    """Whether the TDP MMU has frozen the entry while it removes what the entry mapped; others must retry."""
    return spte == k.layout.frozen_spte


def is_ept_ve_possible(k: Semantics, spte: Word) -> Truth:
    """Whether an EPT violation on the SPTE could reach the guest as a #VE, which KVM must prevent.

    From 837d557aba6b ("KVM: x86/mmu: Add sanity checks that KVM doesn't create EPT #VE SPTEs").
    """
    suppressed = any_set(spte, VMX_EPT_SUPPRESS_VE_BIT)
    misconfigured = (spte & VMX_EPT_RWX_MASK) == VMX_EPT_MISCONFIG_WX_VALUE
    return no(suppressed) & no(misconfigured) & any_set(k.shadow_present_mask, VMX_EPT_SUPPRESS_VE_BIT)


def spte_to_pfn(k: Semantics, spte: Word) -> Word:
    """The host page frame number that the SPTE points to."""
    return shr(spte & SPTE_BASE_ADDR_MASK, PAGE_SHIFT)


def spte_index(k: Semantics, address: Word) -> Word:
    """The index, 0 to 511, in its table of the SPTE at ``address``."""
    return shr(address, 3) & 511


def is_rsvd_spte(k: Semantics, spte: Word, *, rsvd_bits_mask: tuple[Word, Word], bad_mt_xwr: Word) -> Truth:
    """Whether reserved bits are set in the SPTE, for the processor.

    ``rsvd_bits_mask`` holds the reserved bits at its level, for SPTEs with bit 7 clear and with bit 7 set.
    ``bad_mt_xwr`` has a bit for each bad combination of the low six bits (EPT's memory type and XWR); since
    d220bcf026f0 in v7.2 the execute bit for users counts as X there.
    """
    mask = either(any_set(spte, PT_PAGE_SIZE_MASK), rsvd_bits_mask[1], rsvd_bits_mask[0])
    low = spte & 0x3F
    if k.has(EPT_XU_RESERVED_BITS):
        low = low | either(any_set(spte, VMX_EPT_USER_EXECUTABLE_MASK), VMX_EPT_EXECUTABLE_MASK, 0)
    return any_set(spte, mask) | any_set(bad_mt_xwr, shl(low * 0 + 1, low))

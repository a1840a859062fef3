# SPDX-License-Identifier: GPL-2.0-only
"""Bits of an SPTE that depend on the mode: of EPT, saved by access tracking, of the address."""

from __future__ import annotations

from conformance.model.changes import ME_VALUE
from conformance.model.layout import PAGE_SHIFT, PG_LEVEL_1G, PG_LEVEL_2M, SPTE_BASE_ADDR_MASK
from conformance.model.semantics import Semantics
from conformance.model.spte.make_spte import make_nonleaf_spte
from conformance.model.words import ALL, bits

__all__ = [
    "HUGE_LEVELS",
    "MEMORY_TYPES",
    "SIZES",
    "address_bits",
    "ept_bits",
    "ordinary_bits",
    "pfn_of",
    "required_me",
    "saved_bits",
    "unlike_table",
]

SIZES = {1: "4 KiB", 2: "2 MiB", 3: "1 GiB", 4: "512 GiB", 5: "256 TiB"}
"""How much memory an SPTE covers, by the level of its table."""

HUGE_LEVELS = (PG_LEVEL_2M, PG_LEVEL_1G)
"""The levels at which an SPTE may map a huge page."""

MEMORY_TYPES = {0: "UC", 1: "WC", 4: "WT", 5: "WP", 6: "WB"}
"""The memory types of EPT by number; others are reserved."""


def ept_bits(k: Semantics, mask: int) -> int:
    """``mask`` if the mode uses EPT, else 0."""
    return mask if k.shadow_x_mask else 0


def ordinary_bits(k: Semantics, mask: int) -> int:
    """``mask`` if the mode uses ordinary page tables (shadow paging, NPT), else 0."""
    return 0 if k.shadow_x_mask else mask


def saved_bits(k: Semantics, mask: int = ALL) -> int:
    """Where access tracking saves the bits of ``mask``; 0 in modes without access tracking."""
    if not k.shadow_acc_track_mask:
        return 0
    return (k.layout.acc_track_saved_mask & mask) << k.layout.acc_track_saved_shift


def address_bits(k: Semantics) -> int:
    """The address bits that a present SPTE may use on the mode's host, those of memory encryption included.

    With the L1TF mitigation the masks do not contain the number of physical address bits. If it is not known
    from the host either, all address bits are allowed.
    """
    if not k.shadow_nonpresent_or_rsvd_mask:
        return k.shadow_nonpresent_or_rsvd_lower_gfn_mask | k.shadow_me_mask
    if k.phys_bits is None:
        return SPTE_BASE_ADDR_MASK
    return bits(k.phys_bits - 1, PAGE_SHIFT) | k.shadow_me_mask


def required_me(k: Semantics) -> int:
    """The memory encryption bits that an SPTE for memory carries."""
    return k.shadow_me_value if k.has(ME_VALUE) else k.shadow_me_mask


def pfn_of(k: Semantics, spte: int) -> int:
    """The page frame number without memory encryption bits."""
    return (spte & SPTE_BASE_ADDR_MASK & ~k.shadow_me_mask) >> PAGE_SHIFT


def unlike_table(k: Semantics, spte: int) -> int:
    """The bits in which the SPTE differs from one that points to a table at its address, without Accessed."""
    disabled = spte & k.layout.spte_tdp_ad_mask == k.layout.spte_tdp_ad_disabled
    child = spte & SPTE_BASE_ADDR_MASK & ~k.shadow_me_mask
    return (spte ^ make_nonleaf_spte(k, child, disabled)) & ~k.shadow_accessed_mask

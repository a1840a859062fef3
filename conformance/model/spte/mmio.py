# SPDX-License-Identifier: GPL-2.0-only
"""MMIO SPTEs cache that a gfn is emulated MMIO, with its access bits and the memslots generation."""

from __future__ import annotations

from conformance.model.changes import NO_MMIO_VALUE_ALLOWED, NO_MMIO_VALUE_WARNS
from conformance.model.layout import PAGE_SHIFT
from conformance.model.semantics import Semantics
from conformance.model.words import Truth, Word, any_set, bits, no, shl, shr

__all__ = [
    "KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS",
    "check_mmio_spte",
    "generation_mmio_spte_mask",
    "get_mmio_spte_access",
    "get_mmio_spte_generation",
    "get_mmio_spte_gfn",
    "make_mmio_spte",
]

KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS = 1 << 63

SHADOW_NONPRESENT_OR_RSVD_MASK_LEN = 5
"""The number of address bits that are set against L1TF; the gfn's own bits there move left by as many."""


def generation_mmio_spte_mask(k: Semantics, generation: Word) -> Word:
    """The bits of an MMIO SPTE that hold the (already truncated) memslots ``generation``."""
    low, high = k.layout.mmio_gen_low, k.layout.mmio_gen_high
    return (shl(generation, low[1]) & bits(*low)) | (
        shl(generation, high[1] - k.layout.mmio_gen_low_bits) & bits(*high)
    )


def make_mmio_spte(k: Semantics, gfn: Word, access: Word, generation: Word) -> Word:
    """The SPTE that caches that ``gfn`` is MMIO, with the ACC_* bits that the mode can keep.

    The address bits of the L1TF mitigation are set, and the gfn's bits in their place are stored further
    left.
    """
    if k.has(NO_MMIO_VALUE_WARNS) and not k.has(NO_MMIO_VALUE_ALLOWED):
        k.warn_on("make_mmio_spte", k.shadow_mmio_value == 0)
    gpa = shl(gfn, PAGE_SHIFT)
    relocated = shl(gpa & k.shadow_nonpresent_or_rsvd_mask, SHADOW_NONPRESENT_OR_RSVD_MASK_LEN)
    return (
        generation_mmio_spte_mask(k, generation & k.layout.mmio_gen_mask)
        | k.shadow_mmio_value
        | (access & k.shadow_mmio_access_mask)
        | gpa
        | k.shadow_nonpresent_or_rsvd_mask
        | relocated
    )


def get_mmio_spte_generation(k: Semantics, spte: Word) -> Word:
    """The truncated memslots generation in which an MMIO SPTE was made."""
    low, high = k.layout.mmio_gen_low, k.layout.mmio_gen_high
    return shr(spte & bits(*low), low[1]) | shr(spte & bits(*high), high[1] - k.layout.mmio_gen_low_bits)


def get_mmio_spte_gfn(k: Semantics, spte: Word) -> Word:
    """The gfn for which an MMIO SPTE was made, reassembled from its two parts."""
    gpa = spte & k.shadow_nonpresent_or_rsvd_lower_gfn_mask
    gpa = gpa | (shr(spte, SHADOW_NONPRESENT_OR_RSVD_MASK_LEN) & k.shadow_nonpresent_or_rsvd_mask)
    return shr(gpa, PAGE_SHIFT)


def get_mmio_spte_access(k: Semantics, spte: Word) -> Word:
    """The ACC_* bits in an MMIO SPTE; the kernel's type for them has 32 bits."""
    return spte & k.shadow_mmio_access_mask & 0xFFFFFFFF


def check_mmio_spte(k: Semantics, spte: Word, generation: Word) -> Truth:
    """Whether an MMIO SPTE is valid: memslots are not being updated, and were not since it was made."""
    updating = any_set(generation, KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS)
    return no(updating) & (get_mmio_spte_generation(k, spte) == (generation & k.layout.mmio_gen_mask))

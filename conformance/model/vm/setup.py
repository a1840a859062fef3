# SPDX-License-Identifier: GPL-2.0-only
"""What the module and a VM are set up with: parameters that KVM chooses, limits, and sizes of arrays."""

from __future__ import annotations

from conformance.model.semantics import Semantics
from conformance.model.words import ALL, Truth, Word, no, shl, shr

__all__ = [
    "UNTRANSLATED",
    "__kvm_mmu_slot_lpages",
    "calc_nx_huge_pages_recovery_period",
    "get_nx_auto_mode",
    "kvm_memslots_have_rmaps",
    "kvm_mmu_max_gfn",
]

HOUR = 3600
"""Seconds."""
UNTRANSLATED = 52
"""The most physical address bits that a guest's page tables can hold."""


def get_nx_auto_mode(k: Semantics, *, has_bug: Truth | bool, mitigations_off: Truth | bool) -> Truth | bool:
    """Whether huge pages are not executable by default: with iTLB multihit, unless mitigations=off."""
    return has_bug & no(mitigations_off)


def calc_nx_huge_pages_recovery_period(
    k: Semantics, enabled: int, ratio: int, period_ms: int
) -> tuple[bool, int]:
    """Whether the worker recovers huge pages that were split for execution, and after how many milliseconds.

    Each run recovers a ``ratio``-th of them. Without a period, all are recovered in an hour, but the worker
    runs at most once a second.
    """
    if not enabled or not ratio:
        return False, 0
    return True, period_ms or HOUR * 1000 // min(ratio, HOUR)


def kvm_mmu_max_gfn(k: Semantics, phys_bits: Word) -> Word:
    """The highest gfn that can be mapped: with two-dimensional paging, by the host's ``phys_bits``.

    No processor walks tables for a guest's physical address that the host does not have.
    """
    bits: Word = phys_bits if k.tdp_enabled else phys_bits * 0 + UNTRANSLATED
    return shl(bits * 0 + 1, bits - 12) - 1


def __kvm_mmu_slot_lpages(k: Semantics, base_gfn: Word, npages: Word, level: Word) -> Word:
    """How many pages of ``level`` a memslot touches: the length of its arrays for that level."""
    shift = (level - 1) * 9
    last = (base_gfn + npages - 1) & ALL
    return (shr(last, shift) - shr(base_gfn, shift) + 1) & ALL


def kvm_memslots_have_rmaps(k: Semantics, *, tdp_mmu: Truth | bool, had_shadow_root: Truth | bool) -> Truth:
    """Whether memslots have reverse maps: only shadow pages need them, the TDP MMU walks its tables."""
    return no(tdp_mmu) | had_shadow_root

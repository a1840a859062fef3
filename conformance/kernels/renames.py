# SPDX-License-Identifier: GPL-2.0-only
"""Functions that upstream renamed."""

from __future__ import annotations

__all__ = ["RENAMED"]

RENAMED = (
    ("spte_can_locklessly_be_made_writable", "is_mmu_writable_spte"),
    ("mmu_need_write_protect", "mmu_try_to_unsync_pages"),
    ("is_removed_spte", "is_frozen_spte"),
    ("spte_has_volatile_bits", "spte_needs_atomic_update"),
    ("kvm_tdp_mmu_spte_need_atomic_write", "kvm_tdp_mmu_spte_need_atomic_update"),
    ("kvm_recover_nx_lpages", "kvm_recover_nx_huge_pages"),
    ("make_huge_page_split_spte", "make_small_spte"),
    ("is_access_allowed", "spte_permission_fault"),
)
"""Old and new names of functions whose body changed too, or is too short to be recognised."""

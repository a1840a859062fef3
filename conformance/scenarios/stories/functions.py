# SPDX-License-Identifier: GPL-2.0-only
"""Kernel functions that several stories are about, by what KVM does in them.

Each has every name under which one of the kernels has it: which of them exist differs.
"""

__all__ = [
    "AGING",
    "CLEAR_LOG",
    "COLLAPSE",
    "FAULT",
    "HUGE_EDGES",
    "HUGE_LEVEL",
    "INVALIDATE",
    "IN_PROGRESS",
    "LOG_BY_PROCESSOR",
    "MMIO",
    "NX",
    "NX_RECOVERY",
    "READ_LOG",
    "SHADOW_FAULT",
    "SPLIT",
    "SYNC",
    "UNMAP",
    "UNSYNC",
    "WRITE_EMULATED",
    "WRITE_PROTECT",
    "WRITE_PROTECT_HUGE",
    "ZAP_ROOTS",
]

FAULT = ("kvm_tdp_page_fault", "kvm_tdp_mmu_map", "tdp_mmu_map_handle_target_level", "make_spte")

SHADOW_FAULT = (
    "paging64_page_fault",
    "paging64_walk_addr_generic",
    "paging64_fetch",
    "kvm_mmu_get_child_sp",
    "link_shadow_page",
    "mmu_set_spte",
)

UNSYNC = ("mmu_try_to_unsync_pages", "kvm_unsync_page", "mark_unsync")
SYNC = (
    "kvm_sync_page",
    "kvm_sync_page_check",
    "paging64_sync_page",
    "paging64_sync_spte",
    "mmu_sync_children",
)
WRITE_EMULATED = (
    "emulator_write_phys",
    "kvm_mmu_pte_write",
    "kvm_mmu_track_write",
    "get_written_sptes",
    "mmu_page_zap_pte",
)

INVALIDATE = ("kvm_mmu_notifier_invalidate_range_start", "kvm_mmu_notifier_invalidate_range_end")
IN_PROGRESS = (
    "kvm_mmu_invalidate_begin",
    "kvm_mmu_invalidate_start",
    "kvm_mmu_invalidate_end",
    "is_page_fault_stale",
)
UNMAP = ("kvm_tdp_mmu_unmap_gfn_range", "tdp_mmu_zap_leafs")
AGING = ("kvm_age_gfn", "kvm_tdp_mmu_age_gfn_range", "age_gfn_range", "kvm_tdp_mmu_age_spte")

HUGE_LEVEL = ("kvm_mmu_hugepage_adjust", "host_pfn_mapping_level")
HUGE_EDGES = ("kvm_alloc_memslot_metadata", "kvm_mmu_hugepage_adjust")
COLLAPSE = (
    "kvm_mmu_zap_collapsible_sptes",
    "zap_collapsible_spte_range",
    "kvm_mmu_recover_huge_pages",
    "recover_huge_pages_range",
)
SPLIT = (
    "kvm_tdp_mmu_try_split_huge_pages",
    "tdp_mmu_split_huge_pages_root",
    "tdp_mmu_split_huge_page",
    "make_huge_page_split_spte",
    "make_small_spte",
)

WRITE_PROTECT = ("kvm_mmu_slot_remove_write_access", "kvm_tdp_mmu_wrprot_slot", "wrprot_gfn_range")
WRITE_PROTECT_HUGE = ("kvm_mmu_slot_gfn_write_protect", "kvm_tdp_mmu_write_protect_gfn", "write_protect_gfn")
READ_LOG = (
    "kvm_get_dirty_log_protect",
    "kvm_arch_mmu_enable_log_dirty_pt_masked",
    "kvm_tdp_mmu_clear_dirty_pt_masked",
    "clear_dirty_pt_masked",
)
CLEAR_LOG = (
    "kvm_clear_dirty_log_protect",
    "kvm_arch_mmu_enable_log_dirty_pt_masked",
    "kvm_tdp_mmu_clear_dirty_pt_masked",
    "clear_dirty_pt_masked",
)
LOG_BY_PROCESSOR = ("kvm_mmu_slot_leaf_clear_dirty", "kvm_tdp_mmu_clear_dirty_slot", "clear_dirty_gfn_range")

MMIO = ("make_mmio_spte", "handle_mmio_page_fault")
ZAP_ROOTS = (
    "kvm_tdp_mmu_invalidate_all_roots",
    "kvm_tdp_mmu_invalidate_roots",
    "kvm_tdp_mmu_zap_invalidated_roots",
    "tdp_mmu_zap_root",
)
NX = ("disallowed_hugepage_adjust", "account_huge_nx_page", "track_possible_nx_huge_page")
NX_RECOVERY = (
    "kvm_recover_nx_lpages",
    "kvm_recover_nx_huge_pages",
    "kvm_tdp_mmu_zap_sp",
    "kvm_tdp_mmu_zap_possible_nx_huge_page",
)

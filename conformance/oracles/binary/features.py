# SPDX-License-Identifier: GPL-2.0-only
"""Which functions a module has, and in which shape: the shim's HAVE_* names, out of BTF and the symbol table.

A function that the compiler has inlined everywhere counts as absent, since nobody can call it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from conformance.oracles.binary.btf import Btf

__all__ = ["features"]

_SYMBOLS = (
    "check_spte_writable_invariants",
    "enable_mmio_caching",
    "is_access_allowed",
    "is_dirty_spte",
    "is_ept_ve_possible",
    "is_executable_pte",
    "is_frozen_spte",
    "is_mmu_writable_spte",
    "is_removed_spte",
    "is_rsvd_spte",
    "kvm_host",
    "kvm_mmu_changed_pte_notifier_make_spte",
    "kvm_mmu_page_set_gfn",
    "kvm_mmu_page_set_translation",
    "kvm_mmu_set_mask_ptes",
    "kvm_mmu_set_me_spte_mask",
    "kvm_mmu_spte_module_init",
    "kvm_set_pfn_dirty",
    "kvm_tdp_mmu_spte_need_atomic_update",
    "kvm_tdp_mmu_spte_need_atomic_write",
    "kvm_tdp_mmu_write_spte",
    "kvm_tdp_mmu_write_spte_atomic",
    "leaf_spte_change_needs_tlb_flush",
    "make_huge_page_split_spte",
    "make_huge_spte",
    "make_small_spte",
    "mark_page_dirty_in_slot",
    "mmu_try_to_unsync_pages",
    "shadow_host_writable_mask",
    "shadow_me_value",
    "shadow_memtype_mask",
    "shadow_mmio_mask",
    "shadow_xs_mask",
    "spte_index",
    "spte_needs_atomic_update",
    "spte_permission_fault",
    "spte_wrprot_for_clear_dirty",
    "tdp_mmu_clear_spte_bits",
    "tdp_mmu_clear_spte_bits_atomic",
)
"""Functions and variables of the module that some kernels have and others do not."""

_TYPES = ("kvm_page_fault", "kvm_page_format", "tdp_iter")

_MEMBERS = {
    "ROLE_PASSTHROUGH": ("kvm_mmu_page_role", "passthrough"),
    "SHADOWED_TRANSLATION": ("kvm_mmu_page", "shadowed_translation"),
    "TDP_ITER_YIELDED": ("tdp_iter", "yielded"),
    "VM_DIRTY_LOG_SIZE": ("kvm_arch", "cpu_dirty_log_size"),
    "VM_MMIO_VALUE": ("kvm_arch", "shadow_mmio_value"),
    "disable_nx_huge_pages": ("kvm_arch", "disable_nx_huge_pages"),
}

Parameters = tuple[tuple[str, str], ...]
"""Of each parameter, its name and the name of the structure that it points to."""

_PROTOTYPES: dict[str, tuple[str, Callable[[Parameters], bool]]] = {
    "EPT_EXEC_ONLY_PARAMETER": ("kvm_mmu_set_ept_masks", lambda given: len(given) == 2),
    "MAKE_SPTE_SP": ("make_spte", lambda given: given[1][1] == "kvm_mmu_page"),
    "MARK_PAGE_DIRTY_KVM": ("mark_page_dirty_in_slot", lambda given: given[0][1] == "kvm"),
    "TDP_ITER_GFN_BITS": ("tdp_iter_start", lambda given: given[-1][0] == "gfn_bits"),
    "TDP_ITER_ROOT": ("tdp_iter_start", lambda given: given[1][1] == "kvm_mmu_page"),
}


def features(btf: Btf, symbols: Collection[str]) -> list[str]:
    """The ``HAVE_*`` names, sorted, of a module with these types and these symbols, its imports included.

    What only source can tell (RSVD_ASKED_APART) is not among them: it is about inlined functions.
    """
    found = [name for name in _SYMBOLS if name in symbols]
    found += [name for name in _TYPES if btf.aggregate(name) is not None]
    for name, (whole, path) in _MEMBERS.items():
        number = btf.aggregate(whole)
        if number is not None and btf.member(number, path) is not None:
            found.append(name)
    for name, (function, holds) in _PROTOTYPES.items():
        given = _parameters(btf, function)
        if given and holds(given):
            found.append(name)
    if "kvm_ad_enabled" in symbols:
        found.append("KVM_AD_ENABLED_VARIABLE")
    # Vendors had to have the call until 5be2226f417d in v5.18 made it one that returns 0 by default.
    if "__static_call_return0" not in symbols:
        found.append("SVM_MT_MASK")
    return sorted(f"HAVE_{name}" for name in found)


def _parameters(btf: Btf, function: str) -> Parameters:
    prototype = btf.function(function)
    if prototype is None:
        return ()
    return tuple((name, _pointed(btf, kind)) for name, kind in prototype.parameters)


def _pointed(btf: Btf, number: int) -> str:
    found = btf.type(btf.strip(number))
    return btf.type(btf.strip(found.target)).name if found.kind == "pointer" else ""

# SPDX-License-Identifier: GPL-2.0-only
"""Checks of mmu.c on roots, on the modes of MMUs, and on freeing them."""

from __future__ import annotations

from conformance.traces.checks.check import Check, adds, within

__all__ = ["ROOTS"]

_check = within("mmu.c")
_NO_ROOT = "The load of the root fails with -EIO; the virtual machine usually ends."
_LEAK = "A root is leaked, or is used after it was freed."
_MODE = "The guest's paging mode and KVM's view of it disagree."
_QUADRANT = adds("7f49777550e5", "KVM: x86/mmu: Always pass 0 for @quadrant when gptes are 8 bytes", "6.0")

ROOTS = (
    _check(
        "shadow_walk_init_using_root", "a walk begins at a root of PAE paging that is not the vCPU's own",
        "The thread is killed: the roots of the vCPU are damaged.", names="root !=", bug=True,
    ),
    _check(
        "shadow_walk_init_using_root", "a walk of page tables begins without a valid root",
        "Nothing is walked. Without this check an invalid address is read as a page table.",
        since="7.2", names="VALID_PAGE", fixes=("b6249c1d5665",),
    ),
    _check("mmu_free_root_page", "a root that is put has no shadow page", _LEAK),
    Check(
        "mmu_internal.h", "kvm_mmu_get_root", "a root is taken whose count is zero",
        "The root was freed already: the thread is killed.", until="5.10", bug=True,
        added=adds("02c00b3a2f7e", "kvm: x86/mmu: Allocate and free TDP MMU roots", "5.10"),
    ),
    _check(
        "kvm_mmu_free_roots", "roots are to be freed that no MMU has", _LEAK, since="6.12",
        names="roots_to_free",
    ),
    _check(
        "kvm_mmu_free_roots", "freeing roots of the TDP MMU has zapped shadow pages",
        "The shadow pages are leaked.", since="6.12", names="invalid_list",
    ),
    _check(
        "kvm_mmu_free_guest_mode_roots", "roots of nested guests are freed while the MMU runs one",
        "A nested guest may run on page tables that are freed.", since="6.1",
    ),
    _check(
        "mmu_alloc_root", "a root of 64-bit entries has a quadrant",
        f"{_MODE} A wrong part of the guest's table is shadowed.", since="6.1", names="quadrant",
        added=_QUADRANT,
    ),
    _check(
        "mmu_alloc_root", "a direct root shadows a table of 32-bit entries",
        f"{_MODE} A direct root shadows no table.", since="6.1", names=r"role\.direct",
        added=_QUADRANT,
    ),
    _check(
        "mmu_alloc_direct_roots", "the page for the four top entries of PAE paging is missing", _NO_ROOT,
        since="6.1", names=r"^!mmu->pae_root",
    ),
    _check(
        "mmu_alloc_direct_roots", "a top entry of PAE paging is in use when roots are allocated", _LEAK,
        names="VALID_P", debug=True,
    ),
    _check(
        "mmu_alloc_direct_roots", "the paging of the guest has a level that no root has", _NO_ROOT,
        names="Bad TDP root level|^$", says="Bad TDP root level", bug=True,
    ),
    _check(
        "mmu_alloc_shadow_roots", "a root is in use when roots are allocated", _LEAK,
        until="5.10", names="root_hpa", debug=True,
    ),
    _check(
        "mmu_alloc_shadow_roots", "a table for 32-bit nested NPT is needed though TDP is off", _NO_ROOT,
        until="5.10", names="tdp_enabled",
    ),
    _check(
        "mmu_alloc_shadow_roots", "the page for the four top entries of PAE paging is missing", _NO_ROOT,
        since="6.1", names=r"^!mmu->pae_root",
    ),
    _check(
        "mmu_alloc_shadow_roots", "the four-level root above PAE paging is missing", _NO_ROOT,
        since="6.1", names=r"^!mmu->pml4_root",
    ),
    _check(
        "mmu_alloc_shadow_roots", "the five-level root above PAE paging is missing", _NO_ROOT,
        since="6.1", names=r"^!mmu->pml5_root",
    ),
    _check(
        "mmu_alloc_shadow_roots", "a top entry of PAE paging is in use when roots are allocated", _LEAK,
        names=r"pae_root\[i\]", debug=True,
    ),
    _check(
        "mmu_alloc_special_roots", "some of the roots for 32-bit nested NPT exist, but not all", _NO_ROOT,
        since="6.1",
    ),
    _check(
        "is_unsync_root", "a root that is to be synchronized has no shadow page",
        "The root is taken for synchronized: the guest may keep using old entries.", since="6.1",
    ),
    _check(
        "is_root_usable", "a root that is kept for reuse has no shadow page", "Another root is made.",
        since="6.12",
    ),
    _check(
        "kvm_mmu_new_pgd", "the root that becomes the vCPU's has no shadow page",
        "Its count of writes to page tables is not reset.", since="6.12",
    ),
    _check(
        "kvm_mmu_unload", "the root of the vCPU is valid after it was freed", _LEAK, names="root_mmu",
    ),
    _check(
        "kvm_mmu_unload", "the root for nested guests is valid after it was freed", _LEAK, names="guest_mmu",
    ),
    _check(
        "reset_shadow_zero_bits_mask", "shadow paging has fewer than three levels",
        f"{_MODE} Reserved bits are not those of the processor.", since="6.1",
    ),
    _check(
        "boot_cpu_is_amd", "reserved bits of TDP are asked for while TDP is off",
        "Reserved bits may not be those of the processor.",
    ),
    _check(
        "paging64_init_context_common", "an MMU for 64-bit entries is set up for a guest without PAE", _MODE,
        until="5.10", debug=True,
    ),
    _check(
        "kvm_init_shadow_npt_mmu", "an MMU for nested NPT is set up for a guest without paging or nesting",
        _MODE,
        since="6.1",
    ),
    _check(
        "kvm_calc_shadow_ept_root_page_role", "nested EPT is set up in system management mode",
        f"{_MODE} Memslots of the wrong address space are used.", since="6.1",
    ),
    _check(
        "kvm_calc_cpu_role", "the guest is in long mode without PAE",
        "No processor allows that. The guest is taken for a 32-bit one.", since="7.3", ends_vm=True,
    ),
    _check(
        "kvm_mmu_after_set_cpuid", "the CPUID of a vCPU was changed after it had run",
        "Page tables that were made for the old CPUID are used with the new.", since="6.1", ends_vm=True,
        added=adds("feb627e8d6f6", "KVM: x86: Forbid KVM_SET_CPUID{,2} after KVM_RUN", "5.16"),
    ),
    _check(
        "__kvm_mmu_create", "the host encrypts its memory though TDP is on and PAE roots are plain",
        "The roots of PAE paging would be encrypted: the guest cannot run in that mode.", since="6.1",
        added=adds("e54f1ff244ac", "KVM: x86/mmu: Add shadow_me_value and repurpose shadow_me_mask", "5.19"),
    ),
    _check(
        "__kvm_mmu_invalidate_addr", "another MMU than the vCPU's current one is asked to drop an address",
        "Nothing is dropped: the guest keeps using an old entry.", since="6.12",
    ),
    _check(
        "kvm_mmu_invalidate_addr", "an address is to be dropped in roots that no MMU has",
        "The unknown roots are ignored.", since="6.12",
    ),
)  # fmt: skip
"""Checks on roots and modes."""

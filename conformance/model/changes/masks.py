# SPDX-License-Identifier: GPL-2.0-only
"""Changes in which bits of an SPTE mean what, and in the masks that say so."""

from __future__ import annotations

from conformance.model.changes.registry import Change

MMU_PRESENT_BIT = Change(
    commit="edea7c4fc215",
    title="KVM: x86/mmu: Use a dedicated bit to track shadow/MMU-present SPTEs",
    since="5.13",
    effect="Bit 11 alone means shadow-present; before, every SPTE but 0 and MMIO SPTEs was.",
)

DYNAMIC_WRITABLE_BITS = Change(
    commit="5fc3424f8b85",
    title="KVM: x86/mmu: Make Host-writable and MMU-writable bit locations dynamic",
    since="5.13",
    effect=(
        "Host-writable and MMU-writable are masks, by default bits 9 and 10, and MMU-writable "
        "alone allows W to be set; before, they were bits 10 and 11, and both had to be set."
    ),
)

EPT_WRITABLE_HIGH_BITS = Change(
    commit="613a3f379752",
    title="KVM: x86/mmu: Use high bits for host/mmu writable masks for EPT SPTEs",
    since="5.13",
    effect="EPT keeps Host-writable and MMU-writable in bits 57 and 58.",
)

MASKS_IN_MMU = Change(
    commit="e7b7bdea77f3",
    title="KVM: x86/mmu: Move logic for setting SPTE masks for EPT into the MMU proper",
    since="5.13",
    effect=(
        "kvm_mmu_reset_all_pte_masks() sets up shadow paging and kvm_mmu_set_ept_masks() EPT; "
        "before, the vendor modules passed every mask to kvm_mmu_set_mask_ptes()."
    ),
)

TDP_REMOVED_SPTE = Change(
    commit="e25f0e0cd51b",
    title="KVM: x86/mmu: Mark SPTEs in disconnected pages as removed",
    since="5.12",
    effect="The TDP MMU marks entries of removed tables: is_removed_spte().",
)

REMOVED_SPTE_5A0 = Change(
    commit="715f1079eee1",
    title="KVM: x86/mmu: Use low available bits for removed SPTEs",
    since="5.13",
    effect="A removed SPTE is 0x5a0.",
)

FROZEN_SPTE_NAME = Change(
    commit="964cea817196",
    title="KVM: x86/tdp_mmu: Rename REMOVED_SPTE to FROZEN_SPTE",
    since="6.11",
    effect="is_removed_spte() is called is_frozen_spte().",
)

NONPRESENT_BIT_63 = Change(
    commit="7f01cab84928",
    title="KVM: x86/mmu: Allow non-zero value for non-present SPTE and removed SPTE",
    since="6.10",
    effect="A non-present SPTE, and a removed one, has bit 63 set.",
)

ME_VALUE = Change(
    commit="e54f1ff244ac",
    title="KVM: x86/mmu: Add shadow_me_value and repurpose shadow_me_mask",
    since="5.19",
    effect="SPTEs get shadow_me_value, a subset of shadow_me_mask; before, the whole mask.",
)

MEMTYPE_MASK = Change(
    commit="38bf9d7bf277",
    title="KVM: x86/mmu: Add shadow mask for effective host MTRR memtype",
    since="6.0",
    effect="The memory type is asked for if shadow_memtype_mask is set; before, if TDP was on.",
)

NO_MEMTYPE_MASK = Change(
    commit="3fee4837ef40",
    title="KVM: x86: remove shadow_memtype_mask",
    since="6.16",
    effect="The vendor module is asked for the memory type if it has get_mt_mask().",
)

SUPPRESS_VE = Change(
    commit="7fa5e2929198",
    title="KVM: x86/mmu: Add Suppress VE bit to EPT shadow_mmio_mask/shadow_present_mask",
    since="6.10",
    effect="Present SPTEs of EPT have the Suppress #VE bit set; MMIO SPTEs of EPT have it in their mask.",
)

EPT_VE_CHECK = Change(
    commit="837d557aba6b",
    title="KVM: x86/mmu: Add sanity checks that KVM doesn't create EPT #VE SPTEs",
    since="6.10",
    effect="is_ept_ve_possible() exists.",
)

EPT_AD_MASKS_ALWAYS = Change(
    commit="3835819fb1b3",
    title="KVM: x86/mmu: Set shadow_accessed_mask for EPT even if A/D bits disabled",
    since="6.13",
    effect=(
        "EPT has Accessed and Dirty masks even without A/D bits; kvm_ad_enabled is true if "
        "the processor sets them."
    ),
)

HIGH_BITS_SHUFFLED = Change(
    commit="be4e45f360a2",
    title="KVM: x86/mmu: shuffle high bits of SPTEs in preparation for MBEC",
    since="7.2",
    effect=(
        "The type of A/D tracking lies in bits 61:60, saved R and X bits are shifted by 52, EPT's "
        "Host-writable and MMU-writable are bits 53 and 55."
    ),
)

BIT_10_FREED = Change(
    commit="9a67ab74021b",
    title="KVM: x86/mmu: free up bit 10 of PTEs in preparation for MBEC",
    since="7.2",
    effect=(
        "The MMIO generation lies in bits 9:3 and 62:52, a frozen SPTE has the low bits 0x1a0, "
        "and MMIO masks may use bit 10."
    ),
)

ACC_READ = Change(
    commit="a8827c196146",
    title="KVM: x86/mmu: introduce ACC_READ_MASK",
    since="7.2",
    effect=("Read access has a bit of its own in role.access, which grows to four bits; execution is bit 3."),
)

XS_XU = Change(
    commit="2e111d932d1d",
    title="KVM: x86/mmu: split XS/XU bits for EPT",
    since="7.2",
    effect=(
        "EPT has two execute bits, for supervisor and for user; shadow_user_mask is no longer EPT's read bit."
    ),
)

EPT_XU_RESERVED_BITS = Change(
    commit="d220bcf026f0",
    title="KVM: x86/mmu: add support for MBEC to EPT page table walks",
    since="7.2",
    effect=(
        "Execution by users has a bit in entries of EPT: it counts as execution in the check for bad "
        "combinations of memory type and XWR, and as a right of users."
    ),
)

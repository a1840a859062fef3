# SPDX-License-Identifier: GPL-2.0-only
"""The mask setters: how the host's features decide the meaning of the bits of an SPTE."""

from __future__ import annotations

from conformance.model.changes import (
    ACC_READ,
    EPT_AD_MASKS_ALWAYS,
    MASKS_IN_MMU,
    MEMTYPE_MASK,
    MMIO_CACHING_REEVALUATED,
    MMIO_L1TF_COLLISION,
    MMIO_VALUE_AND_MASK,
    NO_MEMTYPE_MASK,
    SUPPRESS_VE,
    XS_XU,
)
from conformance.model.layout import (
    PAGE_SHIFT,
    PT64_NX_MASK,
    PT_ACCESSED_MASK,
    PT_DIRTY_MASK,
    PT_PRESENT_MASK,
    PT_USER_MASK,
    VMX_EPT_ACCESS_BIT,
    VMX_EPT_DIRTY_BIT,
    VMX_EPT_EXECUTABLE_MASK,
    VMX_EPT_IPAT_BIT,
    VMX_EPT_MISCONFIG_WX_VALUE,
    VMX_EPT_MT_MASK,
    VMX_EPT_READABLE_MASK,
    VMX_EPT_RWX_MASK,
    VMX_EPT_SUPPRESS_VE_BIT,
    VMX_EPT_USER_EXECUTABLE_MASK,
)
from conformance.model.semantics import Semantics
from conformance.model.spte.mmio import SHADOW_NONPRESENT_OR_RSVD_MASK_LEN
from conformance.model.words import Truth, Word, any_set, bit, clear, either, no, shl, when, word

__all__ = [
    "kvm_mmu_reset_all_pte_masks",
    "kvm_mmu_set_ept_masks",
    "kvm_mmu_set_mask_ptes",
    "kvm_mmu_set_me_spte_mask",
    "kvm_mmu_set_mmio_spte_mask",
]


def kvm_mmu_reset_all_pte_masks(
    k: Semantics, *, phys_bits: Word, cache_bits: Word, l1tf: Truth | bool, mmio_caching: Truth | bool
) -> None:
    """Set the masks of shadow paging and NPT, on a processor with ``phys_bits`` physical address bits.

    Against L1TF the top five of the ``cache_bits`` that the L1 cache uses are set in non-present SPTEs,
    unless too few remain for the gfn. A reserved address bit makes MMIO SPTEs fault; with 52 address bits
    no bit is reserved. ``mmio_caching`` is the module parameter. Before e7b7bdea77f3 in v5.13 this only
    cleared the masks.
    """
    room = cache_bits < 52 - SHADOW_NONPRESENT_OR_RSVD_MASK_LEN
    k.warn_on("kvm_mmu_reset_all_pte_masks", no(room) & l1tf)
    guarded = room & l1tf
    low_phys_bits = either(guarded, cache_bits - SHADOW_NONPRESENT_OR_RSVD_MASK_LEN, phys_bits)
    k.shadow_nonpresent_or_rsvd_mask = when(guarded, _below(cache_bits) ^ _below(low_phys_bits))
    k.shadow_nonpresent_or_rsvd_lower_gfn_mask = clear(_below(low_phys_bits), _below(PAGE_SHIFT))

    shadow = k.has(MASKS_IN_MMU)
    k.shadow_user_mask = PT_USER_MASK if shadow else 0
    k.shadow_accessed_mask = PT_ACCESSED_MASK if shadow else 0
    k.shadow_dirty_mask = PT_DIRTY_MASK if shadow else 0
    k.shadow_nx_mask = PT64_NX_MASK if shadow else 0
    k.shadow_x_mask = k.shadow_xu_mask = 0
    k.shadow_present_mask = PT_PRESENT_MASK if shadow else 0
    k.shadow_memtype_mask = 0
    k.shadow_acc_track_mask = 0
    if not shadow:
        return
    k.shadow_me_value = k.shadow_me_mask = 0
    k.shadow_host_writable_mask = k.layout.default_host_writable
    k.shadow_mmu_writable_mask = k.layout.default_mmu_writable
    k.kvm_ad_enabled = int(k.has(EPT_AD_MASKS_ALWAYS))
    # The module parameter is the variable itself until v6.0, and this runs right after the module is loaded.
    k.enable_mmio_caching = word(mmio_caching)
    reserved = when(phys_bits < 52, bit(51) | PT_PRESENT_MASK)
    both = k.layout.acc_write_mask | k.layout.acc_user_mask
    kvm_mmu_set_mmio_spte_mask(k, reserved, reserved, both, mmio_caching=mmio_caching)


def _below(n: Word) -> Word:
    """All bits below bit ``n``."""
    return shl(n * 0 + 1, n) - 1


def kvm_mmu_set_ept_masks(
    k: Semantics, *, has_ad_bits: Truth | bool, has_exec_only: Truth | bool, mmio_caching: Truth | bool
) -> None:
    """Set the masks of EPT; MMIO SPTEs are misconfigured (writable and executable, but not readable)."""
    k.shadow_user_mask = 0 if k.has(XS_XU) else VMX_EPT_READABLE_MASK
    always = k.has(EPT_AD_MASKS_ALWAYS)
    k.shadow_accessed_mask = VMX_EPT_ACCESS_BIT if always else when(has_ad_bits, VMX_EPT_ACCESS_BIT)
    k.shadow_dirty_mask = VMX_EPT_DIRTY_BIT if always else when(has_ad_bits, VMX_EPT_DIRTY_BIT)
    k.kvm_ad_enabled = word(has_ad_bits) if always else 0
    k.shadow_nx_mask = 0
    k.shadow_x_mask = VMX_EPT_EXECUTABLE_MASK
    k.shadow_xu_mask = VMX_EPT_USER_EXECUTABLE_MASK if k.has(XS_XU) else 0
    suppress_ve = VMX_EPT_SUPPRESS_VE_BIT if k.has(SUPPRESS_VE) else 0
    readable = 0 if k.has(ACC_READ) else when(no(has_exec_only), VMX_EPT_READABLE_MASK)
    k.shadow_present_mask = suppress_ve | readable
    if k.has(MEMTYPE_MASK) and not k.has(NO_MEMTYPE_MASK):
        k.shadow_memtype_mask = VMX_EPT_MT_MASK | VMX_EPT_IPAT_BIT
    k.shadow_acc_track_mask = VMX_EPT_RWX_MASK | k.shadow_xu_mask
    k.shadow_host_writable_mask = k.layout.ept_host_writable
    k.shadow_mmu_writable_mask = k.layout.ept_mmu_writable
    kvm_mmu_set_mmio_spte_mask(
        k, VMX_EPT_MISCONFIG_WX_VALUE, VMX_EPT_RWX_MASK | suppress_ve, 0, mmio_caching=mmio_caching
    )


def kvm_mmu_set_mmio_spte_mask(
    k: Semantics, mmio_value: Word, mmio_mask: Word, access_mask: Word, *, mmio_caching: Truth | bool
) -> None:
    """Set the value and mask that identify MMIO SPTEs, and the ACC_* bits that they can keep.

    An ambiguous value is refused, which turns MMIO caching off, as the module parameter ``mmio_caching``
    does. BUGs if ``access_mask`` does not fit 32 bits.
    """
    function = "kvm_mmu_set_mmio_spte_mask"
    too_wide = any_set(access_mask, 0xFFFFFFFF << 32)
    fits = no(too_wide)
    k.bug_on(function, too_wide)
    collides = shl(k.shadow_nonpresent_or_rsvd_mask, SHADOW_NONPRESENT_OR_RSVD_MASK_LEN)
    k.warn_on(function, any_set(mmio_value, k.shadow_nonpresent_or_rsvd_lower_gfn_mask) & fits)
    if not k.has(MMIO_VALUE_AND_MASK):
        k.warn_on(function, any_set(mmio_value, collides) & fits)
        k.shadow_mmio_value = either(fits, mmio_value | k.layout.spte_tdp_ad_mask, k.shadow_mmio_value)
        k.shadow_mmio_access_mask = either(fits, access_mask, k.shadow_mmio_access_mask)
        return

    frozen = k.layout.frozen_spte
    caching = mmio_caching if k.has(MMIO_CACHING_REEVALUATED) else k.enable_mmio_caching != 0
    value = when(caching, mmio_value)
    not_allowed = clear(mmio_mask, k.layout.mmio_allowed_mask) != 0
    k.warn_on(function, not_allowed & fits)
    value = when(no(not_allowed), value)
    if k.has(MMIO_L1TF_COLLISION):
        relocated = any_set(value, collides)
        k.warn_on(function, relocated & fits)
        value = when(no(relocated), value)
    outside = (value & mmio_mask) != value
    like_frozen = no(outside) & (value != 0) & ((mmio_mask & frozen) == value)
    k.warn_on(function, outside & fits)
    k.warn_on(function, like_frozen & fits)
    value = when(no(outside | like_frozen), value)

    k.enable_mmio_caching = either(fits, word(value != 0), k.enable_mmio_caching)
    k.shadow_mmio_value = either(fits, value, k.shadow_mmio_value)
    k.shadow_mmio_mask = either(fits, mmio_mask, k.shadow_mmio_mask)
    k.shadow_mmio_access_mask = either(fits, access_mask, k.shadow_mmio_access_mask)


def kvm_mmu_set_me_spte_mask(k: Semantics, me_value: Word, me_mask: Word) -> None:
    """Set the address bits that memory encryption uses, and those of them that are set in SPTEs."""
    wrong = clear(me_value, me_mask) != 0
    k.warn_on("kvm_mmu_set_me_spte_mask", wrong)
    k.shadow_me_value = when(no(wrong), me_value)
    k.shadow_me_mask = when(no(wrong), me_mask)


def kvm_mmu_set_mask_ptes(
    k: Semantics,
    user: Word,
    accessed: Word,
    dirty: Word,
    nx: Word,
    x: Word,
    present: Word,
    acc_track: Word,
    me: Word,
) -> None:
    """Set every mask to what the vendor module passes; until e7b7bdea77f3 in v5.13.

    BUGs unless Accessed and Dirty are both given or both 0, and Accessed or access tracking is given.
    """
    one_only = (dirty == 0) != (accessed == 0)
    neither = no(one_only) & (accessed == 0) & (acc_track == 0)
    special = no(one_only | neither) & any_set(acc_track, k.layout.spte_tdp_ad_mask)
    for condition in (one_only, neither, special):
        k.bug_on("kvm_mmu_set_mask_ptes", condition)
    sane = no(one_only | neither | special)
    k.shadow_user_mask = either(sane, user, k.shadow_user_mask)
    k.shadow_accessed_mask = either(sane, accessed, k.shadow_accessed_mask)
    k.shadow_dirty_mask = either(sane, dirty, k.shadow_dirty_mask)
    k.shadow_nx_mask = either(sane, nx, k.shadow_nx_mask)
    k.shadow_x_mask = either(sane, x, k.shadow_x_mask)
    k.shadow_present_mask = either(sane, present, k.shadow_present_mask)
    k.shadow_acc_track_mask = either(sane, acc_track, k.shadow_acc_track_mask)
    k.shadow_me_mask = either(sane, me, k.shadow_me_mask)

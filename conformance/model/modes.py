# SPDX-License-Identifier: GPL-2.0-only
"""Modes: a host and how KVM uses it, as data; the kernel's own setters compute the masks."""

from __future__ import annotations

from dataclasses import dataclass, replace

from conformance.model.changes import MASKS_IN_MMU, ME_VALUE
from conformance.model.layout import (
    PT64_NX_MASK,
    PT_ACCESSED_MASK,
    PT_DIRTY_MASK,
    PT_PRESENT_MASK,
    PT_USER_MASK,
    VMX_EPT_ACCESS_BIT,
    VMX_EPT_DIRTY_BIT,
    VMX_EPT_EXECUTABLE_MASK,
    VMX_EPT_MISCONFIG_WX_VALUE,
    VMX_EPT_READABLE_MASK,
    VMX_EPT_RWX_MASK,
    Layout,
)
from conformance.model.profiles import Profile
from conformance.model.semantics import Semantics
from conformance.model.spte.masks import (
    kvm_mmu_reset_all_pte_masks,
    kvm_mmu_set_ept_masks,
    kvm_mmu_set_mask_ptes,
    kvm_mmu_set_me_spte_mask,
    kvm_mmu_set_mmio_spte_mask,
)
from conformance.model.words import Truth, Word, no, when

__all__ = ["MODES", "VM_MODES", "Mode", "kernel_as_compiled", "kernel_in"]


@dataclass(frozen=True)
class Mode:
    """A host and how KVM uses it.

    ``phys_bits`` and ``cache_bits`` are numbers of address bits, ``me_value`` and ``me_mask`` the address
    bits that memory encryption uses. All but ``tdp``, ``ept`` and ``tdp_mmu`` may be z3 terms, for many hosts
    at once.
    """

    name: str
    description: str
    phys_bits: Word = 48
    cache_bits: Word = 48
    l1tf: Truth | bool = False
    mmio_caching: Truth | bool = True
    tdp: bool = True
    ept: bool = False
    tdp_mmu: bool = True
    """The module parameter: without it, two-dimensional paging uses the legacy direct MMU."""
    ad_bits: Truth | bool = False
    exec_only: Truth | bool = False
    me_value: Word = 0
    me_mask: Word = 0

    def host(self) -> dict[str, int]:
        """The mode as plain numbers, for oracles, which do not import the model."""
        return {name: int(value) for name, value in vars(self).items() if not isinstance(value, str)}


MODES = {
    mode.name: mode
    for mode in (
        Mode("shadow", "shadow paging", tdp=False),
        Mode("shadow-l1tf", "shadow paging, L1TF, 46 address bits", 46, 44, l1tf=True, tdp=False),
        Mode("shadow-nommio", "shadow paging, MMIO caching off", mmio_caching=False, tdp=False),
        Mode("npt", "AMD nested paging"),
        Mode("npt-me", "AMD nested paging, memory encryption", 47, me_value=1 << 47, me_mask=1 << 47),
        Mode("npt-52", "AMD nested paging, 52 address bits: no reserved bit for MMIO", 52, 52),
        Mode("ept-ad", "EPT with A/D bits", ept=True, ad_bits=True, exec_only=True),
        Mode("ept-noad", "EPT without A/D bits", ept=True, exec_only=True),
        Mode("ept-ad-noxo", "EPT with A/D bits, without exec-only", ept=True, ad_bits=True),
        Mode("ept-noad-noxo", "EPT without A/D bits and exec-only", ept=True),
        Mode("ept-l1tf", "EPT with A/D bits, L1TF, 46 address bits", 46, 44, True, ept=True, ad_bits=True),
        Mode("ept-tme", "EPT with A/D bits, memory encryption (key ids 51:46)", 46, ept=True, ad_bits=True,
             me_mask=0x3F << 46),
    )
}  # fmt: skip
"""Every mode by name."""

VM_MODES = MODES | {
    f"legacy-{name}": replace(
        MODES[name], name=f"legacy-{name}", description=f"{MODES[name].description}, without the TDP MMU",
        tdp_mmu=False,
    )
    for name in ("ept-ad", "ept-noad", "npt")
}  # fmt: skip
"""The modes of a VM: single functions do not depend on tdp_mmu, VMs do."""


def kernel_as_compiled(mode: Mode, profile: Profile, layout: Layout) -> Semantics:
    """The semantics of a kernel with the constants that it was compiled with, to decode its SPTEs.

    If the mask setters fail with these constants, those of its profile are used.
    """
    try:
        return kernel_in(mode, profile, layout)
    except (ArithmeticError, LookupError, ValueError):
        return kernel_in(mode, profile)


def kernel_in(mode: Mode, profile: Profile, layout: Layout | None = None) -> Semantics:
    """The semantics of a kernel of this profile, with the masks that vendor modules set on the mode's host.

    ``layout`` is given for a kernel whose constants are not those of its profile. Events of the setters are
    dropped.
    """
    k = Semantics(profile)
    k.layout = layout or k.layout
    k.tdp_enabled = mode.tdp
    k.get_mt_mask = mode.ept
    k.phys_bits = mode.phys_bits
    if not profile.has(MASKS_IN_MMU):
        # The same fixed bits in every mode.
        k.shadow_host_writable_mask = k.layout.default_host_writable
        k.shadow_mmu_writable_mask = k.layout.default_mmu_writable
    kvm_mmu_reset_all_pte_masks(
        k,
        phys_bits=mode.phys_bits,
        cache_bits=mode.cache_bits,
        l1tf=mode.l1tf,
        mmio_caching=mode.mmio_caching,
    )
    if profile.has(MASKS_IN_MMU):
        if mode.ept:
            kvm_mmu_set_ept_masks(
                k, has_ad_bits=mode.ad_bits, has_exec_only=mode.exec_only, mmio_caching=mode.mmio_caching
            )
        if profile.has(ME_VALUE):
            kvm_mmu_set_me_spte_mask(k, mode.me_value, mode.me_mask)
    else:
        _set_masks_as_vendor(k, mode)
    k.events.clear()
    return k


def _set_masks_as_vendor(k: Semantics, mode: Mode) -> None:
    """Set the masks that x86.c, svm.c and vmx.c passed to the MMU before v5.13."""
    reserved = when(mode.phys_bits < 52, 1 << 51 | PT_PRESENT_MASK)
    both = k.layout.acc_write_mask | k.layout.acc_user_mask
    kvm_mmu_set_mmio_spte_mask(k, reserved, 0, both, mmio_caching=True)
    kvm_mmu_set_mask_ptes(
        k, PT_USER_MASK, PT_ACCESSED_MASK, PT_DIRTY_MASK, PT64_NX_MASK, 0, PT_PRESENT_MASK, 0, mode.me_mask
    )
    if mode.ept:
        accessed = when(mode.ad_bits, VMX_EPT_ACCESS_BIT)
        dirty = when(mode.ad_bits, VMX_EPT_DIRTY_BIT)
        present = when(no(mode.exec_only), VMX_EPT_READABLE_MASK)
        kvm_mmu_set_mask_ptes(
            k,
            VMX_EPT_READABLE_MASK,
            accessed,
            dirty,
            0,
            VMX_EPT_EXECUTABLE_MASK,
            present,
            VMX_EPT_RWX_MASK,
            0,
        )
        kvm_mmu_set_mmio_spte_mask(k, VMX_EPT_MISCONFIG_WX_VALUE, 0, 0, mmio_caching=True)

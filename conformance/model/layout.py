# SPDX-License-Identifier: GPL-2.0-only
"""Where the bits of an SPTE are: constants of the hardware, and those that KVM chose, by profile."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.model.changes import (
    ACC_READ,
    BIT_10_FREED,
    DYNAMIC_WRITABLE_BITS,
    EPT_WRITABLE_HIGH_BITS,
    HIGH_BITS_SHUFFLED,
    MMIO_GENERATION_52,
    MMU_PRESENT_BIT,
    NONPRESENT_BIT_63,
    XS_XU,
)
from conformance.model.profiles import Profile
from conformance.model.words import bit, bits

__all__ = [
    "PAGE_SHIFT",
    "PG_LEVEL_1G",
    "PG_LEVEL_2M",
    "PG_LEVEL_4K",
    "PT64_NX_MASK",
    "PT_ACCESSED_MASK",
    "PT_DIRTY_MASK",
    "PT_PAGE_SIZE_MASK",
    "PT_PRESENT_MASK",
    "PT_USER_MASK",
    "PT_WRITABLE_MASK",
    "SPTE_BASE_ADDR_MASK",
    "SPTE_ENT_PER_PAGE",
    "VMX_EPT_ACCESS_BIT",
    "VMX_EPT_DIRTY_BIT",
    "VMX_EPT_EXECUTABLE_MASK",
    "VMX_EPT_IPAT_BIT",
    "VMX_EPT_MISCONFIG_WX_VALUE",
    "VMX_EPT_MT_MASK",
    "VMX_EPT_READABLE_MASK",
    "VMX_EPT_RWX_MASK",
    "VMX_EPT_SUPPRESS_VE_BIT",
    "VMX_EPT_USER_EXECUTABLE_MASK",
    "VMX_EPT_WRITABLE_MASK",
    "Layout",
]

PAGE_SHIFT = 12
PG_LEVEL_4K, PG_LEVEL_2M, PG_LEVEL_1G = 1, 2, 3

# Page tables of shadow paging and NPT (Intel SDM vol. 3, 4.5; AMD APM vol. 2, 5.3).
PT_PRESENT_MASK = bit(0)
PT_WRITABLE_MASK = bit(1)
PT_USER_MASK = bit(2)
PT_ACCESSED_MASK = bit(5)
PT_DIRTY_MASK = bit(6)
PT_PAGE_SIZE_MASK = bit(7)
PT64_NX_MASK = bit(63)

# EPT (Intel SDM vol. 3, 29.3.2).
VMX_EPT_READABLE_MASK = bit(0)
VMX_EPT_WRITABLE_MASK = bit(1)
VMX_EPT_EXECUTABLE_MASK = bit(2)
VMX_EPT_RWX_MASK = bits(2, 0)
VMX_EPT_MT_MASK = bits(5, 3)
VMX_EPT_IPAT_BIT = bit(6)
VMX_EPT_ACCESS_BIT = bit(8)
VMX_EPT_DIRTY_BIT = bit(9)
VMX_EPT_USER_EXECUTABLE_MASK = bit(10)
VMX_EPT_SUPPRESS_VE_BIT = bit(63)
VMX_EPT_MISCONFIG_WX_VALUE = VMX_EPT_WRITABLE_MASK | VMX_EPT_EXECUTABLE_MASK

SPTE_BASE_ADDR_MASK = bits(51, PAGE_SHIFT)
SPTE_ENT_PER_PAGE = 512
"""How many entries a page table has."""


@dataclass(frozen=True)
class Layout:
    """The constants that one kernel was compiled with."""

    spte_mmu_present_mask: int
    """The bit that means shadow-present, 0 in kernels without such a bit."""
    spte_tdp_ad_mask: int
    """The two bits that hold the type of A/D tracking: 0 if the processor sets Accessed and Dirty ..."""
    spte_tdp_ad_disabled: int
    """... this value if it sets neither ..."""
    spte_tdp_ad_wrprot_only: int
    """... and this one if it sets both, but writes must fault to be logged."""
    default_host_writable: int
    default_mmu_writable: int
    ept_host_writable: int
    ept_mmu_writable: int
    acc_track_saved_mask: int
    """The bits that access tracking saves ..."""
    acc_track_saved_shift: int
    """... shifted left by this many bits."""
    mmio_gen_low: tuple[int, int]
    mmio_gen_high: tuple[int, int]
    """The highest and the lowest bit of each part of the MMIO generation in an SPTE."""
    mmio_allowed_mask: int
    """The bits that an MMIO mask may contain."""
    nonpresent_value: int
    frozen_spte: int
    acc_exec_mask: int
    acc_write_mask: int
    acc_user_mask: int
    acc_read_mask: int
    """0 in kernels in which read access has no bit of its own."""
    acc_all: int

    @property
    def mmio_gen_low_bits(self) -> int:
        """The number of bits in the low part of the generation."""
        return self.mmio_gen_low[0] - self.mmio_gen_low[1] + 1

    @property
    def mmio_gen_mask(self) -> int:
        """The bits of the memslots generation that an MMIO SPTE keeps."""
        high = self.mmio_gen_high[0] - self.mmio_gen_high[1] + 1
        return bits(self.mmio_gen_low_bits + high - 1, 0)

    @classmethod
    def of(cls, profile: Profile) -> Layout:
        """The layout of a kernel with this profile."""
        shuffled = profile.has(HIGH_BITS_SHUFFLED)
        ad_shift = 60 if shuffled else 52
        if profile.has(DYNAMIC_WRITABLE_BITS):
            host, mmu = bit(9), bit(10)
        else:
            host, mmu = bit(10), bit(11)
        if shuffled:
            ept_host, ept_mmu = bit(53), bit(55)
        elif profile.has(EPT_WRITABLE_HIGH_BITS):
            ept_host, ept_mmu = bit(57), bit(58)
        else:
            ept_host, ept_mmu = host, mmu
        if profile.has(BIT_10_FREED):
            gen_low, gen_high = (9, 3), (62, 52)
        elif profile.has(MMIO_GENERATION_52):
            gen_low, gen_high = (10, 3), (62, 52)
        else:
            gen_low, gen_high = (11, 3), (62, 54)
        nonpresent = bit(63) if profile.has(NONPRESENT_BIT_63) else 0
        saved = VMX_EPT_READABLE_MASK | VMX_EPT_EXECUTABLE_MASK
        bit_10 = bit(10) if profile.has(BIT_10_FREED) else 0
        exec_, read = (bit(3), bit(0)) if profile.has(ACC_READ) else (bit(0), 0)
        return cls(
            spte_mmu_present_mask=bit(11) if profile.has(MMU_PRESENT_BIT) else 0,
            spte_tdp_ad_mask=3 << ad_shift,
            spte_tdp_ad_disabled=1 << ad_shift,
            spte_tdp_ad_wrprot_only=2 << ad_shift,
            default_host_writable=host,
            default_mmu_writable=mmu,
            ept_host_writable=ept_host,
            ept_mmu_writable=ept_mmu,
            acc_track_saved_mask=saved | (VMX_EPT_USER_EXECUTABLE_MASK if profile.has(XS_XU) else 0),
            acc_track_saved_shift=52 if shuffled else 54,
            mmio_gen_low=gen_low,
            mmio_gen_high=gen_high,
            mmio_allowed_mask=bit(63) | bits(51, 12) | bits(2, 0) | bit_10,
            nonpresent_value=nonpresent,
            frozen_spte=nonpresent | (0x1A0 if profile.has(BIT_10_FREED) else 0x5A0),
            acc_exec_mask=exec_,
            acc_write_mask=PT_WRITABLE_MASK,
            acc_user_mask=PT_USER_MASK,
            acc_read_mask=read,
            acc_all=exec_ | PT_WRITABLE_MASK | PT_USER_MASK | read,
        )

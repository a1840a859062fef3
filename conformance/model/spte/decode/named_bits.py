# SPDX-License-Identifier: GPL-2.0-only
"""The bits of each kind of SPTE by name, as tables: which they are, and what their values mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from conformance.model.layout import (
    PAGE_SHIFT,
    PG_LEVEL_4K,
    PT_PAGE_SIZE_MASK,
    PT_PRESENT_MASK,
    PT_USER_MASK,
    PT_WRITABLE_MASK,
    SPTE_BASE_ADDR_MASK,
    VMX_EPT_EXECUTABLE_MASK,
    VMX_EPT_IPAT_BIT,
    VMX_EPT_MT_MASK,
    VMX_EPT_READABLE_MASK,
    VMX_EPT_SUPPRESS_VE_BIT,
    VMX_EPT_USER_EXECUTABLE_MASK,
)
from conformance.model.semantics import Semantics
from conformance.model.spte.decode.hardware import (
    HUGE_LEVELS,
    MEMORY_TYPES,
    SIZES,
    address_bits,
    ept_bits,
    ordinary_bits,
    pfn_of,
    required_me,
    saved_bits,
)
from conformance.model.spte.mmio import (
    SHADOW_NONPRESENT_OR_RSVD_MASK_LEN,
    get_mmio_spte_generation,
    get_mmio_spte_gfn,
)
from conformance.model.words import bits

__all__ = ["FROZEN", "MMIO", "NONPRESENT", "PRESENT", "BitName", "mmio_access", "not_mmio"]


@dataclass(frozen=True)
class BitName:
    """Bits under one name, and what their values mean.

    ``label`` is a short name for pictures. ``means`` is a table of values, or a function of the whole SPTE
    and its level.
    """

    name: str
    label: str
    mask: Callable[[Semantics], int]
    means: Mapping[int, str] | Callable[[Semantics, int, int | None], str]


def mmio_access(k: Semantics, spte: int) -> str:
    """The access bits that an MMIO SPTE keeps, with a dash for each that is clear."""
    kept = ((k.layout.acc_write_mask, "w"), (k.layout.acc_user_mask, "u"))
    return "".join(
        letter if spte & mask else "-" for mask, letter in kept if mask & k.shadow_mmio_access_mask
    )


def _large(spte: int, level: int | None) -> str:
    """The meaning of bit 7, which depends on the level of the table."""
    if level is None:
        if spte & PT_PAGE_SIZE_MASK:
            return "a huge page: 2 MiB at level 2, 1 GiB at level 3"
        return "a 4 KiB page at level 1, a table above it"
    if not spte & PT_PAGE_SIZE_MASK:
        return "a 4 KiB page, as always at level 1" if level == PG_LEVEL_4K else "a table, not a page"
    if level in HUGE_LEVELS:
        return f"a page of {SIZES[level]}"
    return "never set at level 1" if level == PG_LEVEL_4K else f"reserved: no page has {SIZES[level]}"


_AD_TYPES = {
    0: "A/D enabled: the processor sets Accessed and Dirty",
    1: "A/D disabled: it sets neither",
    2: "write-protect only: A/D enabled, but writes must fault to be logged",
}

PRESENT = (
    BitName("NX", "NX", lambda k: k.shadow_nx_mask, {0: "instructions may be fetched", 1: "no execution"}),
    BitName(
        "Suppress #VE", "SVE", lambda k: k.shadow_present_mask & VMX_EPT_SUPPRESS_VE_BIT,
        {0: "an EPT violation may reach the guest as #VE", 1: "EPT violations are KVM's, not #VE"},
    ),
    BitName("A/D type", "A/D", lambda k: k.layout.spte_tdp_ad_mask, _AD_TYPES),
    BitName(
        "Host-writable", "HW", lambda k: k.shadow_host_writable_mask,
        {0: "memslot or host mapping is read-only", 1: "the host lets KVM write to the page"},
    ),
    BitName(
        "MMU-writable", "MW", lambda k: k.shadow_mmu_writable_mask,
        {0: "only under mmu_lock may W be set", 1: "fast_page_fault() may set W without mmu_lock"},
    ),
    BitName(
        "saved R", "sR", lambda k: saved_bits(k, VMX_EPT_READABLE_MASK),
        {0: "nothing saved", 1: "R comes back with the next access"},
    ),
    BitName(
        "saved X", "sX", lambda k: saved_bits(k, VMX_EPT_EXECUTABLE_MASK),
        {0: "nothing saved", 1: "X comes back with the next access"},
    ),
    BitName(
        "saved XU", "sXU", lambda k: saved_bits(k, VMX_EPT_USER_EXECUTABLE_MASK),
        {0: "nothing saved", 1: "XU comes back with the next access"},
    ),
    BitName(
        "memory encryption", "ME", lambda k: k.shadow_me_mask,
        lambda k, spte, level: "as KVM sets it" if spte & k.shadow_me_mask == required_me(k)
        else "not as KVM sets it for memory",
    ),
    BitName(
        "reserved", "rsv", lambda k: SPTE_BASE_ADDR_MASK & ~address_bits(k),
        lambda k, spte, level: "more address bits than the mode's host has"
        if spte & SPTE_BASE_ADDR_MASK & ~address_bits(k) else "must be 0",
    ),
    BitName(
        "pfn", "pfn", lambda k: SPTE_BASE_ADDR_MASK,
        lambda k, spte, level: f"address {pfn_of(k, spte) << PAGE_SHIFT:#x}",
    ),
    BitName(
        "shadow-present", "SP", lambda k: k.layout.spte_mmu_present_mask,
        {0: "maps nothing, to KVM", 1: "maps a page or a table, to KVM"},
    ),
    BitName("Accessed", "A", lambda k: k.shadow_accessed_mask, {0: "not used since aged", 1: "used"}),
    BitName("Dirty", "D", lambda k: k.shadow_dirty_mask, {0: "not written since cleared", 1: "written"}),
    BitName("large", "PS", lambda k: PT_PAGE_SIZE_MASK, lambda k, spte, level: _large(spte, level)),
    BitName(
        "ignore PAT", "IPT", lambda k: ept_bits(k, VMX_EPT_IPAT_BIT),
        {0: "the guest's PAT has a say", 1: "the memory type below decides alone"},
    ),
    BitName("memory type", "MT", lambda k: ept_bits(k, VMX_EPT_MT_MASK), MEMORY_TYPES),
    BitName("execute, user", "XU", lambda k: k.shadow_xu_mask, {0: "no execution", 1: "users may execute"}),
    BitName("execute", "X", lambda k: k.shadow_x_mask, {0: "no execution", 1: "instructions may be fetched"}),
    BitName("user", "U", lambda k: ordinary_bits(k, PT_USER_MASK), {0: "supervisor only", 1: "user, too"}),
    BitName("write", "W", lambda k: PT_WRITABLE_MASK, {0: "writes fault", 1: "may be written"}),
    BitName("read", "R", lambda k: ept_bits(k, VMX_EPT_READABLE_MASK), {0: "reads fault", 1: "may be read"}),
    BitName(
        "present", "P", lambda k: ordinary_bits(k, PT_PRESENT_MASK),
        {0: "accesses fault", 1: "may be read"},
    ),
)  # fmt: skip

MMIO = (
    BitName(
        "MMIO value", "IO", lambda k: k.shadow_mmio_mask | k.shadow_mmio_value,
        lambda k, spte, level: "what MMIO SPTEs are known by",
    ),
    BitName(
        "generation", "gen", lambda k: bits(*k.layout.mmio_gen_high) | bits(*k.layout.mmio_gen_low),
        lambda k, spte, level: f"part of {get_mmio_spte_generation(k, spte)}, the memslots' when it was made",
    ),
    BitName(
        "access", "acc", lambda k: k.shadow_mmio_access_mask,
        lambda k, spte, level: f"{mmio_access(k, spte)}: of write and user",
    ),
    BitName(
        "L1TF", "L1T", lambda k: k.shadow_nonpresent_or_rsvd_mask,
        lambda k, spte, level: "set, so that no cached memory is addressed",
    ),
    BitName(
        "gfn, moved", "gfn", lambda k: k.shadow_nonpresent_or_rsvd_mask << SHADOW_NONPRESENT_OR_RSVD_MASK_LEN,
        lambda k, spte, level: "the gfn's bits from where L1TF's are",
    ),
    BitName(
        "gfn", "gfn", lambda k: k.shadow_nonpresent_or_rsvd_lower_gfn_mask,
        lambda k, spte, level: f"of gfn {get_mmio_spte_gfn(k, spte):#x}",
    ),
)  # fmt: skip

NONPRESENT = BitName(
    "non-present value",
    "NP",
    lambda k: k.layout.nonpresent_value,
    {0: "clear, though set in what maps nothing", 1: "set in what maps nothing"},
)

FROZEN = (
    NONPRESENT,
    BitName("frozen value", "frz", lambda k: bits(10, 5), lambda k, spte, level: "no other SPTE has this"),
)


def not_mmio(k: Semantics, spte: int) -> int:
    """The bits set in an SPTE that have no meaning in MMIO SPTEs."""
    known = 0
    for claim in MMIO:
        known |= claim.mask(k)
    return spte & ~known

# SPDX-License-Identifier: GPL-2.0-only
"""The reserved bits of page table entries, by the format of the tables and the level of the entry.

Intel SDM, volume 3, "4-level paging and 5-level paging", "PAE paging", "32-bit paging" and "The extended page
table mechanism"; AMD APM, volume 2, "Long-mode page translation". KVM checks the guest's entries with them,
and with those of the host the SPTEs that it makes.
"""

from __future__ import annotations

from typing import NamedTuple

from conformance.model.layout import PG_LEVEL_1G, PG_LEVEL_4K
from conformance.model.semantics import Semantics
from conformance.model.words import Truth, Word, bit, bits, clear, either, no, shl, when

__all__ = [
    "ReservedBits",
    "__reset_rsvds_bits_mask",
    "__reset_rsvds_bits_mask_ept",
    "reset_ept_shadow_zero_bits_mask",
    "reset_guest_rsvds_bits_mask",
    "reset_rsvds_bits_mask_ept",
    "reset_shadow_zero_bits_mask",
    "reset_tdp_shadow_zero_bits_mask",
]

NX, PAGE_SIZE, GLOBAL = bit(63), bit(7), bit(8)
PSE36_ROOM = bits(21, 17)
"""In a 4 MiB page of 32-bit paging: bits 16:13 hold the address bits from 32 on, of 36."""
PT32E_ROOT_LEVEL = 3
PDPTE_OF_PAE = bits(2, 1) | bits(8, 5)
MEMORY_TYPES = {0: "UC", 1: "WC", 4: "WT", 5: "WP", 6: "WB"}
"""The memory types that an EPT entry may have."""


class ReservedBits(NamedTuple):
    """What is reserved in an entry of one level, with bit 7 (page size) as given."""

    mask: Word
    bad_mt_xwr: Word
    """Of EPT: a bit for each combination of the entry's bits 5:0 that is a misconfiguration."""


def __reset_rsvds_bits_mask(
    k: Semantics,
    level: Word,
    large: Truth | bool,
    *,
    root_level: Word,
    pa_bits: Word,
    nx: Truth | bool,
    gbpages: Truth | bool,
    pse: Truth | bool,
    amd: Truth | bool,
) -> ReservedBits:
    """The reserved bits of an entry of ordinary page tables with ``root_level`` levels.

    ``large``: bit 7 of the entry is set. ``pa_bits`` has the address bits that the processor does not have.
    ``nx``, ``gbpages`` and ``pse`` say which features are enabled, ``amd`` that the processor is AMD's, which
    reserves bit 8 of PML4 and PML5 entries. 0 for a level above the root.
    """
    no_nx = when(no(nx), NX)
    table = no(large)

    long_mode = (pa_bits & bits(51, 0)) | no_nx
    upper = long_mode | PAGE_SIZE | when(amd, GLOBAL)
    directory_pointer = long_mode | when(no(gbpages), PAGE_SIZE) | when(large, bits(29, 13))
    directory = long_mode | when(large, bits(20, 13))
    of_long_mode = either(
        level >= 4, upper, either(level == 3, directory_pointer, either(level == 2, directory, long_mode))
    )

    pae = (pa_bits & bits(62, 0)) | no_nx
    # The four PDPTEs are loaded into registers: they have no rights, and no pages.
    pdpte = when(table, pae | NX | PDPTE_OF_PAE)
    of_pae = either(level == 3, pdpte, either(level == 2, pae | when(large, bits(20, 13)), pae))

    of_32_bit = when((level == 2) & large & pse, PSE36_ROOM)

    mask = either(root_level >= 4, of_long_mode, either(root_level == 3, of_pae, of_32_bit))
    return ReservedBits(when(level <= root_level, mask), 0)


def __reset_rsvds_bits_mask_ept(
    k: Semantics, level: Word, large: Truth | bool, *, pa_bits: Word, execonly: Truth | bool, huge_level: Word
) -> ReservedBits:
    """The reserved bits of an entry of EPT at any of five levels.

    ``huge_level`` is the highest level at which pages are supported, ``execonly`` whether pages may be
    executable without being readable.
    """
    high = pa_bits & bits(51, 0)
    upper = high | bits(7, 3)
    # Of an entry that points to a table, bits 6:3 are reserved: a page has its memory type there.
    unsupported = when(level > huge_level, PAGE_SIZE)
    address = either(level == PG_LEVEL_1G, bits(29, 12), bits(20, 12))
    middle = high | unsupported | either(large, address, bits(6, 3))
    mask = either(level > PG_LEVEL_1G, upper, either(level == PG_LEVEL_4K, high, middle))
    return ReservedBits(mask, either(execonly, _misconfigured(True), _misconfigured(False)))


def _misconfigured(execonly: bool) -> int:
    """The combinations of memory type (bits 5:3) and X, W, R (bits 2:0) that are misconfigurations."""
    found = 0
    for combination in range(64):
        memory_type, rights = combination >> 3, combination & 7
        readable, writable, executable = rights & 1, rights & 2, rights & 4
        unreadable = not readable and (writable or (executable and not execonly))
        if memory_type not in MEMORY_TYPES or unreadable:
            found |= bit(combination)
    return found


def reset_guest_rsvds_bits_mask(
    k: Semantics,
    level: Word,
    large: Truth | bool,
    *,
    root_level: Word,
    reserved_gpa_bits: Word,
    efer_nx: Truth | bool,
    cr4_pse: Truth | bool,
    gbpages: Truth | bool,
    amd: Truth | bool,
) -> ReservedBits:
    """The reserved bits of the guest's own page tables, by its role and its CPUID.

    ``gbpages`` and ``amd`` are the guest's CPUID: 1 GiB pages, and the vendor.
    """
    return __reset_rsvds_bits_mask(
        k,
        level,
        large,
        root_level=root_level,
        pa_bits=reserved_gpa_bits,
        nx=efer_nx,
        gbpages=gbpages,
        pse=cr4_pse,
        amd=amd,
    )


def reset_tdp_shadow_zero_bits_mask(
    k: Semantics,
    level: Word,
    large: Truth | bool,
    *,
    root_level: Word,
    huge_level: Word,
    gbpages: Truth | bool,
) -> ReservedBits:
    """The bits that no SPTE of two-dimensional paging may have, by the format of the host's second stage.

    The bits of memory encryption are not reserved. KVM makes no execute-only SPTE here, on any host.
    ``huge_level`` is the highest level at which EPT supports pages, ``gbpages`` whether NPT does at 1 GiB.
    """
    # Asked only with two-dimensional paging: without it, EPT's execute bit does not tell the vendor.
    k.warn_on("boot_cpu_is_amd", not k.tdp_enabled)
    beyond = _reserved_hpa_bits(k)
    if k.shadow_x_mask:
        found = __reset_rsvds_bits_mask_ept(
            k, level, large, pa_bits=beyond, execonly=False, huge_level=huge_level
        )
    else:
        found = __reset_rsvds_bits_mask(
            k,
            level,
            large,
            root_level=root_level,
            pa_bits=beyond,
            nx=True,
            gbpages=gbpages,
            pse=False,
            amd=True,
        )
    usable = when(level <= root_level, k.shadow_me_mask)
    return ReservedBits(clear(found.mask, usable), found.bad_mt_xwr)


def reset_shadow_zero_bits_mask(
    k: Semantics,
    level: Word,
    large: Truth | bool,
    *,
    root_level: Word,
    efer_nx: Truth | bool,
    gbpages: Truth | bool,
) -> ReservedBits:
    """The bits that no SPTE may have that shadows the guest's own tables, or the nested host's NPT.

    ``gbpages``: the guest may use 1 GiB pages. Of the bits of memory encryption, those that KVM sets are not
    reserved, and the others are.
    """
    k.warn_on("reset_shadow_zero_bits_mask", root_level < PT32E_ROOT_LEVEL)
    found = __reset_rsvds_bits_mask(
        k,
        level,
        large,
        root_level=root_level,
        pa_bits=_reserved_hpa_bits(k),
        nx=efer_nx,
        gbpages=gbpages,
        pse=False,
        amd=True,
    )
    encryption = when(level <= root_level, k.shadow_me_mask)
    return ReservedBits(
        clear(found.mask | encryption, when(encryption != 0, k.shadow_me_value)), found.bad_mt_xwr
    )


def reset_ept_shadow_zero_bits_mask(
    k: Semantics, level: Word, large: Truth | bool, *, execonly: Truth | bool, huge_level: Word
) -> ReservedBits:
    """The bits that no SPTE may have that shadows the nested host's EPT.

    Pages that can only be executed are allowed if that host may use them, ``huge_level`` is the processor's.
    """
    return __reset_rsvds_bits_mask_ept(
        k, level, large, pa_bits=_reserved_hpa_bits(k), execonly=execonly, huge_level=huge_level
    )


def reset_rsvds_bits_mask_ept(
    k: Semantics,
    level: Word,
    large: Truth | bool,
    *,
    reserved_gpa_bits: Word,
    execonly: Truth | bool,
    huge_level: Word,
) -> ReservedBits:
    """The reserved bits of the nested host's EPT, by its capabilities and its CPUID."""
    return __reset_rsvds_bits_mask_ept(
        k, level, large, pa_bits=reserved_gpa_bits, execonly=execonly, huge_level=huge_level
    )


def _reserved_hpa_bits(k: Semantics) -> Word:
    """The address bits that the host's processor does not have."""
    assert k.phys_bits is not None
    return shl(k.phys_bits * 0 + 1, k.phys_bits) - 1 ^ bits(63, 0)

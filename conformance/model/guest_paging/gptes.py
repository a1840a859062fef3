# SPDX-License-Identifier: GPL-2.0-only
"""One entry of the guest's page tables (a gpte): whether it is present, what it points to, what it grants.

Intel SDM, volume 3, "32-bit paging", "PAE paging", "4-level paging and 5-level paging" and "The extended page
table mechanism"; AMD APM, volume 2, "Page translation and protection". The kernel compiles paging_tmpl.h once
for each of the three formats.
"""

from __future__ import annotations

from enum import Enum

from conformance.model.changes import ACC_READ, EPT_XU_RESERVED_BITS, LAST_GPTE_BY_BIT_7
from conformance.model.layout import (
    PAGE_SHIFT,
    PG_LEVEL_4K,
    PT_ACCESSED_MASK,
    PT_DIRTY_MASK,
    PT_PAGE_SIZE_MASK,
    PT_PRESENT_MASK,
    PT_USER_MASK,
    PT_WRITABLE_MASK,
    VMX_EPT_ACCESS_BIT,
    VMX_EPT_DIRTY_BIT,
    VMX_EPT_EXECUTABLE_MASK,
    VMX_EPT_READABLE_MASK,
    VMX_EPT_RWX_MASK,
    VMX_EPT_USER_EXECUTABLE_MASK,
    VMX_EPT_WRITABLE_MASK,
)
from conformance.model.semantics import Semantics
from conformance.model.spte.predicates import is_rsvd_spte
from conformance.model.words import Truth, Word, any_set, bits, clear, either, no, shl, shr, when

__all__ = [
    "GuestFormat",
    "gpte_access",
    "gpte_pkeys",
    "gpte_to_gfn_lvl",
    "is_last_gpte",
    "is_present_gpte",
    "is_rsvd_bits_set",
    "prefetch_invalid_gpte",
    "protect_clean_gpte",
    "pse36_gfn_delta",
]


class GuestFormat(Enum):
    """A format of the guest's page tables: one of the three instances of paging_tmpl.h.

    The value is what the kernel's functions of the instance begin with.
    """

    PAGING32 = "paging32"
    PAGING64 = "paging64"
    """PAE paging, 4 and 5 levels; the tables of NPT too, if the nested host does not use 32-bit paging."""
    EPT = "ept"

    @property
    def gpte_bytes(self) -> int:
        """The size of an entry."""
        return 4 if self is GuestFormat.PAGING32 else 8

    @property
    def level_bits(self) -> int:
        """How many bits of an address one level translates (PT_LEVEL_BITS)."""
        return 10 if self is GuestFormat.PAGING32 else 9

    @property
    def accessed(self) -> int:
        """Accessed (PT_GUEST_ACCESSED_MASK)."""
        return VMX_EPT_ACCESS_BIT if self is GuestFormat.EPT else PT_ACCESSED_MASK

    @property
    def dirty(self) -> int:
        """Dirty (PT_GUEST_DIRTY_MASK)."""
        return VMX_EPT_DIRTY_BIT if self is GuestFormat.EPT else PT_DIRTY_MASK

    @property
    def base_addr_mask(self) -> int:
        """The bits of an entry that may hold an address (PT_BASE_ADDR_MASK)."""
        return bits(31, PAGE_SHIFT) if self is GuestFormat.PAGING32 else bits(51, PAGE_SHIFT)


PAGING32, PAGING64, EPT = GuestFormat

PSE36_BITS, PSE36_SHIFT = bits(16, 13), 32 - 13 - PAGE_SHIFT
"""In the entry of a 4 MiB page, bits 16:13 are bits 35:32 of the address."""
PKEY_SHIFT, PKEY_MASK = 59, 0xF


def is_present_gpte(fmt: GuestFormat, gpte: Word, *, mbec: Truth | bool = False) -> Truth:
    """Whether the entry is present: P, or in EPT any right.

    ``mbec``: the nested host uses mode-based execute control, so that users' right to execute is one of them;
    since d220bcf026f0 in v7.2.
    """
    if fmt is not EPT:
        return any_set(gpte, PT_PRESENT_MASK)
    return any_set(gpte, VMX_EPT_RWX_MASK) | any_set(gpte, VMX_EPT_USER_EXECUTABLE_MASK) & mbec


def gpte_access(k: Semantics, fmt: GuestFormat, gpte: Word) -> Word:
    """The rights that the entry grants, as ACC_* bits, whether or not the paging mode looks at each.

    An ordinary entry that is present grants reading. Execution is the absence of NX; of an entry without P,
    which callers do not pass, KVM's exclusive or gave NX itself until a8827c196146 in v7.2. In EPT, R was
    kept as the right of users before it had a bit.
    """
    bit = k.layout
    if fmt is EPT:
        reading = bit.acc_read_mask if k.has(ACC_READ) else bit.acc_user_mask
        rights = [
            (VMX_EPT_READABLE_MASK, reading),
            (VMX_EPT_WRITABLE_MASK, bit.acc_write_mask),
            (VMX_EPT_EXECUTABLE_MASK, bit.acc_exec_mask),
        ]
        if k.has(EPT_XU_RESERVED_BITS):
            rights.append((VMX_EPT_USER_EXECUTABLE_MASK, bit.acc_user_mask))
        access: Word = gpte & 0
        for in_gpte, in_access in rights:
            access = access | when(any_set(gpte, in_gpte), in_access)
        return access
    # W and U are where ACC_WRITE_MASK and ACC_USER_MASK are; since v7.2, P is where ACC_READ_MASK is.
    access = gpte & (PT_WRITABLE_MASK | PT_USER_MASK | bit.acc_read_mask)
    no_execute = shr(gpte, 63)
    executable = no_execute == 0 if k.has(ACC_READ) else (gpte & PT_PRESENT_MASK) != no_execute
    return access | when(executable, bit.acc_exec_mask)


def gpte_to_gfn_lvl(fmt: GuestFormat, gpte: Word, level: Word) -> Word:
    """The gfn of the page, or table, that the entry points to if it is a page's of ``level`` (1 to 5)."""
    address = gpte & fmt.base_addr_mask
    for at in range(2, 6):
        inside = bits(PAGE_SHIFT + (at - 1) * fmt.level_bits - 1, 0)
        address = either(level == at, clear(address, inside), address)
    return shr(address, PAGE_SHIFT)


def pse36_gfn_delta(gpte: Word) -> Word:
    """What the high address bits in the entry of a 4 MiB page add to its gfn."""
    return shl(gpte & PSE36_BITS, PSE36_SHIFT)


def gpte_pkeys(fmt: GuestFormat, gpte: Word) -> Word:
    """The protection key of the page; only entries of 64 bits have one."""
    return shr(gpte, PKEY_SHIFT) & PKEY_MASK if fmt is PAGING64 else gpte & 0


def is_last_gpte(
    k: Semantics, fmt: GuestFormat, level: Word, gpte: Word, *, root_level: Word, cr4_pse: Truth | bool
) -> Truth:
    """Whether the walk ends at this entry, which then maps a page.

    It does at level 1, and above if bit 7 is set. In 32-bit paging without CR4.PSE, bit 7 is ignored. In the
    root of other formats it is reserved, which callers check before.
    """
    large = any_set(gpte, PT_PAGE_SIZE_MASK)
    if not k.has(LAST_GPTE_BY_BIT_7):
        large = large & (level < root_level + when((root_level == 2) & cr4_pse, 1))
    elif fmt is PAGING32:
        large = large & (level < 2 + when(cr4_pse, 1))
    return (level == PG_LEVEL_4K) | large


def protect_clean_gpte(
    k: Semantics, fmt: GuestFormat, access: Word, gpte: Word, *, ad_disabled: Truth | bool = False
) -> Word:
    """``access`` without the right to write, if the entry is not dirty: KVM wants to see the first write.

    ``ad_disabled``: the nested host's EPT has no Accessed and Dirty bits. Other formats always have them.
    """
    clean = no(any_set(gpte, fmt.dirty))
    if fmt is EPT:
        clean = clean & no(ad_disabled)
    return clear(access, when(clean, k.layout.acc_write_mask))


def is_rsvd_bits_set(
    k: Semantics, fmt: GuestFormat, gpte: Word, *, rsvd_bits_mask: tuple[Word, Word], bad_mt_xwr: Word
) -> Truth:
    """Whether the entry has reserved bits set, or in EPT a combination that is a misconfiguration.

    ``rsvd_bits_mask`` has the reserved bits of its level, for entries with bit 7 clear and with bit 7 set.
    """
    return is_rsvd_spte(
        k, gpte, rsvd_bits_mask=rsvd_bits_mask, bad_mt_xwr=bad_mt_xwr if fmt is EPT else gpte & 0
    )


def prefetch_invalid_gpte(
    k: Semantics,
    fmt: GuestFormat,
    gpte: Word,
    *,
    rsvd_bits_mask: tuple[Word, Word],
    bad_mt_xwr: Word,
    ad_disabled: Truth | bool = False,
    mbec: Truth | bool = False,
) -> Truth:
    """Whether KVM may not map the page of a level 1 entry before it is accessed, and drops what it mapped.

    It may not if the entry is not present, not accessed yet (where there is an Accessed bit), or has
    reserved bits set.
    """
    unaccessed = no(any_set(gpte, fmt.accessed))
    if fmt is EPT:
        unaccessed = unaccessed & no(ad_disabled)
    reserved = is_rsvd_bits_set(k, fmt, gpte, rsvd_bits_mask=rsvd_bits_mask, bad_mt_xwr=bad_mt_xwr)
    return no(is_present_gpte(fmt, gpte, mbec=mbec)) | unaccessed | reserved

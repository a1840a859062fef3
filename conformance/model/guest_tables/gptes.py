# SPDX-License-Identifier: GPL-2.0-only
"""Entries of the guest's page tables (gptes), in each of the three formats that KVM walks.

Intel SDM, volume 3, "32-bit paging", "PAE paging", "4-level paging and 5-level paging", "The extended page
table mechanism".
"""

from __future__ import annotations

from conformance.model.changes import ACC_READ
from conformance.model.guest_paging.reserved_bits import (
    ReservedBits,
    __reset_rsvds_bits_mask_ept,
    reset_guest_rsvds_bits_mask,
)
from conformance.model.layout import (
    PAGE_SHIFT,
    PG_LEVEL_4K,
    PT64_NX_MASK,
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
from conformance.model.vm.kvm_pagewalk import GuestFormat, KvmPagewalk
from conformance.model.vm.vm import KvmVcpu, Vm
from conformance.model.words import bits

__all__ = [
    "accessed_mask",
    "dirty_mask",
    "gpte_access",
    "gpte_pkeys",
    "gpte_size",
    "gpte_to_gfn",
    "gpte_to_gfn_lvl",
    "index_bits",
    "is_last_gpte",
    "is_present_gpte",
    "is_rsvd_bits_set",
    "protect_clean_gpte",
    "pse36_gfn_delta",
]

BASE_ADDR_MASK = bits(51, PAGE_SHIFT)
PT32_ROOT_LEVEL = 2
PSE36_MASK, PSE36_SHIFT = bits(16, 13), 7


def gpte_size(w: KvmPagewalk) -> int:
    """How many bytes an entry has."""
    return 4 if w.format is GuestFormat.PAGING32 else 8


def index_bits(w: KvmPagewalk) -> int:
    """How many bits of an address select an entry (PT_LEVEL_BITS)."""
    return 10 if w.format is GuestFormat.PAGING32 else 9


def accessed_mask(w: KvmPagewalk) -> int:
    """Accessed (PT_GUEST_ACCESSED_MASK)."""
    return VMX_EPT_ACCESS_BIT if w.ept else PT_ACCESSED_MASK


def dirty_mask(w: KvmPagewalk) -> int:
    """Dirty (PT_GUEST_DIRTY_MASK)."""
    return VMX_EPT_DIRTY_BIT if w.ept else PT_DIRTY_MASK


def is_present_gpte(w: KvmPagewalk, gpte: int) -> bool:
    """Whether the entry is present: Present, or any right of EPT."""
    return bool(gpte & (VMX_EPT_RWX_MASK if w.ept else PT_PRESENT_MASK))


def is_last_gpte(w: KvmPagewalk, level: int, gpte: int) -> bool:
    """Whether the entry maps a page. Bit 7 of a 32-bit directory entry is ignored unless CR4.PSE is set."""
    if level == PG_LEVEL_4K:
        return True
    if w.format is GuestFormat.PAGING32 and level >= PT32_ROOT_LEVEL + w.cpu_role.cr4_pse:
        return False
    return bool(gpte & PT_PAGE_SIZE_MASK)


def gpte_to_gfn(gpte: int) -> int:
    """The gfn that the entry refers to."""
    return gpte_to_gfn_lvl(gpte, PG_LEVEL_4K, 9)


def gpte_to_gfn_lvl(gpte: int, level: int, level_bits: int) -> int:
    """The first gfn of the page that an entry at ``level`` maps."""
    return (gpte & BASE_ADDR_MASK) >> PAGE_SHIFT & -1 << level_bits * (level - 1)


def pse36_gfn_delta(gpte: int) -> int:
    """The bits of a 4 MiB page's gfn that stand for address bits 35:32."""
    return (gpte & PSE36_MASK) << PSE36_SHIFT


def gpte_access(k: Semantics, w: KvmPagewalk, gpte: int) -> int:
    """The rights of an entry, as ACC_* bits. Before reading had a bit, ACC_USER_MASK stood for R of EPT."""
    layout = k.layout
    if w.ept:
        read = layout.acc_read_mask if k.has(ACC_READ) else layout.acc_user_mask
        rights = (
            (VMX_EPT_READABLE_MASK, read),
            (VMX_EPT_WRITABLE_MASK, layout.acc_write_mask),
            (VMX_EPT_EXECUTABLE_MASK, layout.acc_exec_mask),
            (VMX_EPT_USER_EXECUTABLE_MASK, layout.acc_user_mask if k.has(ACC_READ) else 0),
        )
        return sum([access for mask, access in rights if gpte & mask])
    access = gpte & (PT_WRITABLE_MASK | PT_USER_MASK)
    if k.has(ACC_READ):
        access |= gpte & PT_PRESENT_MASK
        return access if gpte & PT64_NX_MASK else access | layout.acc_exec_mask
    # Present takes the place of ACC_EXEC_MASK, and NX inverts it.
    return access | (gpte & PT_PRESENT_MASK ^ gpte >> 63 & 1)


def gpte_pkeys(w: KvmPagewalk, gpte: int) -> int:
    """The protection key: bits 62:59 of an entry of 8 bytes."""
    return gpte >> 59 & 15 if w.format is GuestFormat.PAGING64 else 0


def protect_clean_gpte(k: Semantics, w: KvmPagewalk, access: int, gpte: int) -> int:
    """``access`` without the right to write if the entry is not dirty: the first write must set Dirty."""
    if not w.have_accessed_dirty or gpte & dirty_mask(w):
        return access
    return access & ~int(k.layout.acc_write_mask)


def is_rsvd_bits_set(vm: Vm, vcpu: KvmVcpu, w: KvmPagewalk, gpte: int, level: int) -> bool:
    """Whether an entry has a reserved bit set, or is a misconfiguration of EPT."""
    reserved = guest_rsvd_check(vm, vcpu, w, level, bool(gpte & PT_PAGE_SIZE_MASK))
    return bool(gpte & reserved.mask) or bool(w.ept and reserved.bad_mt_xwr >> (gpte & 63) & 1)


def guest_rsvd_check(vm: Vm, vcpu: KvmVcpu, w: KvmPagewalk, level: int, large: bool) -> ReservedBits:
    """What is reserved in entries at ``level``, by the guest's paging mode and its CPUID."""
    beyond = bits(63, vcpu.maxphyaddr)
    if w.ept:
        return __reset_rsvds_bits_mask_ept(
            vm.k, level, large, pa_bits=beyond, execonly=w.execonly, huge_level=w.huge_page_level
        )
    role = w.cpu_role
    return reset_guest_rsvds_bits_mask(
        vm.k,
        level,
        large,
        root_level=role.level,
        reserved_gpa_bits=beyond,
        efer_nx=bool(role.efer_nx),
        cr4_pse=bool(role.cr4_pse),
        gbpages=True,
        amd=False,
    )

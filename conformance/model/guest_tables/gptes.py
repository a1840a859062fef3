# SPDX-License-Identifier: GPL-2.0-only
"""Entries of the guest's page tables, by the walk that reads them: its format, and what is reserved in it.

What an entry means is in ``guest_paging.gptes``.
"""

from __future__ import annotations

from conformance.model.guest_paging import gptes
from conformance.model.guest_paging.gptes import GuestFormat
from conformance.model.guest_paging.reserved_bits import (
    ReservedBits,
    __reset_rsvds_bits_mask_ept,
    reset_guest_rsvds_bits_mask,
)
from conformance.model.layout import PG_LEVEL_4K, PT_PAGE_SIZE_MASK
from conformance.model.semantics import Semantics
from conformance.model.vm.kvm_pagewalk import KvmPagewalk
from conformance.model.vm.vm import KvmVcpu, Vm
from conformance.model.words import bits

__all__ = [
    "accessed_mask",
    "dirty_mask",
    "gpte_access",
    "gpte_format",
    "gpte_pkeys",
    "gpte_size",
    "gpte_to_gfn",
    "gpte_to_gfn_lvl",
    "index_bits",
    "is_last_gpte",
    "is_present_gpte",
    "is_rsvd_bits_set",
    "prefetch_invalid_gpte",
    "protect_clean_gpte",
]


def gpte_format(w: KvmPagewalk) -> GuestFormat:
    """The format of the tables: of a walk without paging, that of the entries that KVM makes up."""
    return w.format or GuestFormat.PAGING64


def gpte_size(w: KvmPagewalk) -> int:
    """How many bytes an entry has."""
    return gpte_format(w).gpte_bytes


def index_bits(w: KvmPagewalk) -> int:
    """How many bits of an address select an entry (PT_LEVEL_BITS)."""
    return gpte_format(w).level_bits


def accessed_mask(w: KvmPagewalk) -> int:
    """Accessed (PT_GUEST_ACCESSED_MASK)."""
    return gpte_format(w).accessed


def dirty_mask(w: KvmPagewalk) -> int:
    """Dirty (PT_GUEST_DIRTY_MASK)."""
    return gpte_format(w).dirty


def is_present_gpte(w: KvmPagewalk, gpte: int) -> bool:
    """Whether the entry is present. L1 uses no mode-based execute control."""
    return bool(gptes.is_present_gpte(gpte_format(w), gpte))


def is_last_gpte(k: Semantics, w: KvmPagewalk, level: int, gpte: int) -> bool:
    """Whether the entry maps a page."""
    role = w.cpu_role
    return bool(
        gptes.is_last_gpte(k, gpte_format(w), level, gpte, root_level=role.level, cr4_pse=bool(role.cr4_pse))
    )


def gpte_to_gfn(gpte: int) -> int:
    """The gfn of the table that the entry points to, or of the page if it maps one of 4 KiB."""
    return int(gptes.gpte_to_gfn_lvl(GuestFormat.PAGING64, gpte, PG_LEVEL_4K))


def gpte_to_gfn_lvl(w: KvmPagewalk, gpte: int, level: int) -> int:
    """The first gfn of the page that an entry at ``level`` maps."""
    return int(gptes.gpte_to_gfn_lvl(gpte_format(w), gpte, level))


def gpte_access(k: Semantics, w: KvmPagewalk, gpte: int) -> int:
    """The rights of an entry, as ACC_* bits."""
    return int(gptes.gpte_access(k, gpte_format(w), gpte))


def gpte_pkeys(w: KvmPagewalk, gpte: int) -> int:
    """The protection key."""
    return int(gptes.gpte_pkeys(gpte_format(w), gpte))


def protect_clean_gpte(k: Semantics, w: KvmPagewalk, access: int, gpte: int) -> int:
    """``access`` without the right to write if the entry is not dirty: the first write must set Dirty."""
    return int(gptes.protect_clean_gpte(k, gpte_format(w), access, gpte, ad_disabled=w.ad_disabled))


def is_rsvd_bits_set(vm: Vm, vcpu: KvmVcpu, w: KvmPagewalk, gpte: int, level: int) -> bool:
    """Whether an entry has a reserved bit set, or is a misconfiguration of EPT."""
    found = _guest_rsvd_check(vm, vcpu, w, level, bool(gpte & PT_PAGE_SIZE_MASK))
    return bool(
        gptes.is_rsvd_bits_set(
            vm.k, gpte_format(w), gpte, rsvd_bits_mask=(found.mask, found.mask), bad_mt_xwr=found.bad_mt_xwr
        )
    )


def prefetch_invalid_gpte(vm: Vm, vcpu: KvmVcpu, w: KvmPagewalk, gpte: int) -> bool:
    """Whether KVM may not map the page of a level 1 entry before the guest accesses it."""
    found = _guest_rsvd_check(vm, vcpu, w, PG_LEVEL_4K, bool(gpte & PT_PAGE_SIZE_MASK))
    return bool(
        gptes.prefetch_invalid_gpte(
            vm.k,
            gpte_format(w),
            gpte,
            rsvd_bits_mask=(found.mask, found.mask),
            bad_mt_xwr=found.bad_mt_xwr,
            ad_disabled=w.ad_disabled,
        )
    )


def _guest_rsvd_check(vm: Vm, vcpu: KvmVcpu, w: KvmPagewalk, level: int, large: bool) -> ReservedBits:
    """What is reserved, by the guest's paging mode and its CPUID: with NPT, that of a processor of AMD."""
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
        amd=vm.mode.tdp and not vm.mode.ept,
    )

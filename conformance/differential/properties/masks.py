# SPDX-License-Identifier: GPL-2.0-only
"""Properties: the mask setters, over hosts."""

import copy
from collections.abc import Callable
from typing import Any

from conformance.differential.columns import Bits, Choice, FlagColumn
from conformance.differential.legality.needs import Callers, Case, need
from conformance.differential.legality.values import implies, within
from conformance.differential.outputs import Number
from conformance.differential.property import declare
from conformance.kernels.substitutions import SPTE_C, Substitution
from conformance.model.changes import MASKS_IN_MMU, ME_VALUE, SUPPRESS_VE
from conformance.model.layout import (
    PT_PRESENT_MASK,
    SPTE_BASE_ADDR_MASK,
    VMX_EPT_MISCONFIG_WX_VALUE,
    VMX_EPT_RWX_MASK,
    VMX_EPT_SUPPRESS_VE_BIT,
)
from conformance.model.semantics import MASKS, Semantics
from conformance.model.spte import masks
from conformance.model.spte.mmio import SHADOW_NONPRESENT_OR_RSVD_MASK_LEN
from conformance.model.words import ALL, Truth, Word, any_set, bits, either, no, when

GROUP = "masks"
WIDTHS = tuple(range(32, 53))
"""How many bits a physical address can have on any processor in 64-bit mode."""
HOST = (
    Choice("phys_bits", 6, WIDTHS),
    Choice("cache_bits", 6, WIDTHS),
    FlagColumn("l1tf"),
    FlagColumn("mmio_caching"),
)
BEFORE = ("shadow", "npt-me", "ept-l1tf", "ept-tme")
"""Whose masks the setters find: between them, each mask is once not what it must become."""
L1TF_FITS = implies(
    "l1tf",
    lambda k, case: case["cache_bits"] < 52 - SHADOW_NONPRESENT_OR_RSVD_MASK_LEN,
    "a processor with L1TF has fewer than 47 cache address bits",
)
ON_HOST = Callers(
    "The vendor modules set the masks once, on the host that there is.",
    (L1TF_FITS,),
)


def _host_reserved(k: Semantics, case: Case) -> Word:
    """Address bits that the host has not: what a physical address may hold, and is reserved."""
    reserved: Word = case["phys_bits"] & 0
    for width in WIDTHS[:-1]:
        reserved = either(case["phys_bits"] == width, bits(51, width), reserved)
    return reserved


def _mmio_mask(k: Semantics, case: Case) -> Word:
    """The mask that a caller passes with the value: that, or EPT's; v5.10 has none."""
    ept = case["mmio_value"] == VMX_EPT_MISCONFIG_WX_VALUE
    wide = VMX_EPT_RWX_MASK | (VMX_EPT_SUPPRESS_VE_BIT if k.has(SUPPRESS_VE) else 0)
    return either(ept, wide, case["mmio_value"])


_HIGHEST = 1 << 51 | PT_PRESENT_MASK
"""What kvm_mmu_reset_all_pte_masks() passes where that bit is reserved."""


def _is_mmio_value(k: Semantics, case: Case) -> Truth:
    value = case["mmio_value"]
    reserved = no(any_set(value, (_host_reserved(k, case) | PT_PRESENT_MASK) ^ ALL)) & any_set(
        value, PT_PRESENT_MASK
    )
    # Of the processors with L1TF none has a vendor module that passes more than the highest bit.
    reserved = reserved & any_set(value, SPTE_BASE_ADDR_MASK) & ((case["l1tf"] != 1) | (value == _HIGHEST))
    return (value == 0) | (value == VMX_EPT_MISCONFIG_WX_VALUE) | reserved


def _nearest_mmio_value(k: Semantics, case: Case) -> dict[str, Word]:
    value = case["mmio_value"]
    reserved = (value & _host_reserved(k, case)) | PT_PRESENT_MASK
    reserved = either((case["l1tf"] == 1) & (case["phys_bits"] < 52), _HIGHEST, reserved)
    other = either(any_set(reserved, SPTE_BASE_ADDR_MASK), reserved, VMX_EPT_MISCONFIG_WX_VALUE)
    return {"mmio_value": either(_is_mmio_value(k, case), value, other)}


MMIO_VALUES = Callers(
    "kvm_mmu_reset_all_pte_masks(), kvm_mmu_set_ept_masks() and svm_adjust_mmio_mask() pass reserved address"
    " bits and Present, EPT's misconfiguration, or nothing; the access that is kept is write and user.",
    (
        L1TF_FITS,
        need("mmio_value is not one that a caller passes", _is_mmio_value, _nearest_mmio_value),
        need(
            "mmio_mask is not the one that goes with mmio_value",
            lambda k, case: case["mmio_mask"] == _mmio_mask(k, case),
            lambda k, case: {"mmio_mask": _mmio_mask(k, case)},
        ),
        within(
            "access_mask",
            lambda k: k.layout.acc_write_mask | k.layout.acc_user_mask,
            "access_mask is more than write and user",
        ),
    ),
)


def _encrypts(k: Semantics, case: Case) -> dict[str, Word]:
    mask = case["me_mask"] & SPTE_BASE_ADDR_MASK
    return {"me_mask": mask, "me_value": case["me_value"] & mask}


ENCRYPTION = Callers(
    "svm_hardware_setup() passes the C-bit as both, vmx_setup_me_spte_mask() the KeyID bits as mask only.",
    (
        need(
            "me_value is not within me_mask, or they are no address bits",
            lambda k, case: (
                no(any_set(case["me_value"], case["me_mask"] ^ ALL))
                & no(any_set(case["me_mask"], SPTE_BASE_ADDR_MASK ^ ALL))
            ),
            _encrypts,
        ),
    ),
)
_SHADOW = {
    "user": 4,
    "accessed": 1 << 5,
    "dirty": 1 << 6,
    "nx": 1 << 63,
    "x": 0,
    "present": 1,
    "acc_track": 0,
}
_EPT = {"user": 1, "nx": 0, "x": 4, "acc_track": 7}


def _vendor_masks(k: Semantics, case: Case) -> dict[str, Word]:
    """The masks nearest to these that x86.c or vmx.c passes."""
    ept, ad, readable = any_set(case["x"], ALL), any_set(case["accessed"], ALL), any_set(case["present"], 1)
    wanted = {name: either(ept, _EPT.get(name, 0), value) for name, value in _SHADOW.items()}
    wanted["accessed"] = either(ept, when(ad, 1 << 8), 1 << 5)
    wanted["dirty"] = either(ept, when(ad, 1 << 9), 1 << 6)
    wanted["present"] = either(ept, when(readable, 1), 1)
    return {**wanted, "me": either(ept, case["me"] & 0, case["me"] & SPTE_BASE_ADDR_MASK)}


def _are_vendor_masks(k: Semantics, case: Case) -> Truth | bool:
    (first, value), *rest = _vendor_masks(k, case).items()
    same: Truth | bool = case[first] == value
    for name, wanted in rest:
        same = same & (case[name] == wanted)
    return same


VENDOR_MASKS = Callers(
    "kvm_mmu_module_init() passes the bits of ordinary page tables, vmx_enable_tdp() those of EPT.",
    (need("no vendor module passes these masks", _are_vendor_masks, _vendor_masks),),
)
AFTER = tuple(Number(name) for name in MASKS)
"""The state of every mask after a setter."""
EVENTS = (
    "WARN kvm_mmu_reset_all_pte_masks",
    "WARN kvm_mmu_set_mmio_spte_mask",
    "BUG kvm_mmu_set_mmio_spte_mask",
    "WARN kvm_mmu_set_me_spte_mask",
    "BUG kvm_mmu_set_mask_ptes",
)


def _after(setter: Callable[..., Any]) -> Callable[..., tuple[Word, ...]]:
    """A setter's observation: every mask, of a kernel that had those of the mode before."""

    def answer(k: Semantics, *columns: Word) -> tuple[Word, ...]:
        after = copy.copy(k)
        setter(after, *columns)
        return tuple(getattr(after, name) for name in MASKS)

    return answer


def _reset(k: Semantics, phys_bits: Word, cache_bits: Word, l1tf: Word, mmio_caching: Word) -> None:
    masks.kvm_mmu_reset_all_pte_masks(
        k, phys_bits=phys_bits, cache_bits=cache_bits, l1tf=l1tf == 1, mmio_caching=mmio_caching == 1
    )


def _ept(k: Semantics, *columns: Word) -> None:
    *host, ad_bits, exec_only = columns
    _reset(k, *host)
    masks.kvm_mmu_set_ept_masks(
        k, has_ad_bits=ad_bits == 1, has_exec_only=exec_only == 1, mmio_caching=host[3] == 1
    )


def _mmio(k: Semantics, *columns: Word) -> None:
    *host, value, mask, access = columns
    _reset(k, *host)
    k.events.clear()
    masks.kvm_mmu_set_mmio_spte_mask(k, value, mask, access, mmio_caching=host[3] == 1)


declare(
    masks.kvm_mmu_reset_all_pte_masks,
    GROUP,
    HOST,
    gives=AFTER,
    answer=_after(_reset),
    events=EVENTS,
    modes=BEFORE,
    callers=ON_HOST,
    mutants=[
        Substitution(SPTE_C, "\tshadow_x_mask\t\t= 0;\n", ""),
        Substitution(SPTE_C, "\tshadow_acc_track_mask\t= 0;\n", ""),
        Substitution(SPTE_C, "\tshadow_me_value\t\t= 0;\n", ""),
        Substitution(SPTE_C, "if (shadow_phys_bits < 52)", "if (shadow_phys_bits <= 52)"),
        Substitution(
            SPTE_C, "GENMASK_ULL(low_phys_bits - 1, PAGE_SHIFT)", "GENMASK_ULL(low_phys_bits, PAGE_SHIFT)"
        ),
    ],
)
declare(
    masks.kvm_mmu_set_ept_masks,
    GROUP,
    [*HOST, FlagColumn("has_ad_bits"), FlagColumn("has_exec_only")],
    gives=AFTER,
    answer=_after(_ept),
    events=EVENTS,
    modes=BEFORE,
    since=MASKS_IN_MMU,
    callers=ON_HOST,
    mutants=[Substitution(SPTE_C, "has_ad_bits ? VMX_EPT_DIRTY_BIT : 0ull", "VMX_EPT_DIRTY_BIT")],
)
declare(
    masks.kvm_mmu_set_mmio_spte_mask,
    GROUP,
    [*HOST, Bits("mmio_value"), Bits("mmio_mask", near="mmio_value"), Bits("access_mask", 34)],
    gives=AFTER,
    answer=_after(_mmio),
    events=EVENTS,
    modes=BEFORE,
    callers=MMIO_VALUES,
    mutants=[
        Substitution(
            SPTE_C, "WARN_ON((mmio_value & mmio_mask) != mmio_value)", "WARN_ON(mmio_value && !mmio_mask)"
        ),
        Substitution(SPTE_C, "BUG_ON((u64)(unsigned)access_mask != access_mask);", ""),
        Substitution(SPTE_C, "WARN_ON(mmio_value && (FROZEN_SPTE & mmio_mask) == mmio_value)", "0", "6.12"),
    ],
)
declare(
    masks.kvm_mmu_set_me_spte_mask,
    GROUP,
    [Bits("me_value"), Bits("me_mask", near="me_value")],
    gives=AFTER,
    answer=_after(masks.kvm_mmu_set_me_spte_mask),
    events=EVENTS,
    modes=BEFORE,
    since=ME_VALUE,
    callers=ENCRYPTION,
    mutants=[Substitution(SPTE_C, "me_value = me_mask = 0;", "me_value = 0;")],
)
declare(
    masks.kvm_mmu_set_mask_ptes,
    GROUP,
    [
        Bits(name, dense=True)
        for name in ("user", "accessed", "dirty", "nx", "x", "present", "acc_track", "me")
    ],
    gives=AFTER,
    answer=_after(masks.kvm_mmu_set_mask_ptes),
    events=EVENTS,
    modes=BEFORE,
    until=MASKS_IN_MMU,
    callers=VENDOR_MASKS,
    mutants=[Substitution(SPTE_C, "BUG_ON(!accessed_mask && !acc_track_mask);", "", "5.10")],
)

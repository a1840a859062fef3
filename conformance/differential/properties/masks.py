# SPDX-License-Identifier: GPL-2.0-only
"""Properties: the mask setters, over hosts."""

import copy
from collections.abc import Callable
from typing import Any

from conformance.differential.columns import Bits, Choice, Flag
from conformance.differential.property import Mutant, declare
from conformance.model import masks
from conformance.model.changes import MASKS_IN_MMU, ME_VALUE
from conformance.model.kernel import MASKS, Kernel
from conformance.model.words import Word

GROUP = "masks"
SPTE_C = "arch/x86/kvm/mmu/spte.c"
WIDTHS = tuple(range(32, 53))
"""How many bits a physical address can have on any processor in 64-bit mode."""
HOST = (
    Choice("phys_bits", 6, WIDTHS),
    Choice("cache_bits", 6, WIDTHS),
    Flag("l1tf"),
    Flag("mmio_caching"),
)
BEFORE = ("shadow", "npt-me", "ept-l1tf", "ept-tme")
"""Whose masks the setters find: between them, each mask is once not what it must become."""
EVENTS = (
    "WARN kvm_mmu_reset_all_pte_masks",
    "WARN kvm_mmu_set_mmio_spte_mask",
    "BUG kvm_mmu_set_mmio_spte_mask",
    "WARN kvm_mmu_set_me_spte_mask",
    "BUG kvm_mmu_set_mask_ptes",
)


def _after(setter: Callable[..., Any]) -> Callable[..., tuple[Word, ...]]:
    """A setter's observation: every mask, of a kernel that had those of the mode before."""

    def answer(k: Kernel, *columns: Word) -> tuple[Word, ...]:
        after = copy.copy(k)
        setter(after, *columns)
        return tuple(getattr(after, name) for name in MASKS)

    return answer


def _reset(k: Kernel, phys_bits: Word, cache_bits: Word, l1tf: Word, mmio_caching: Word) -> None:
    masks.kvm_mmu_reset_all_pte_masks(
        k, phys_bits=phys_bits, cache_bits=cache_bits, l1tf=l1tf == 1, mmio_caching=mmio_caching == 1
    )


def _ept(k: Kernel, *columns: Word) -> None:
    *host, ad_bits, exec_only = columns
    _reset(k, *host)
    masks.kvm_mmu_set_ept_masks(
        k, has_ad_bits=ad_bits == 1, has_exec_only=exec_only == 1, mmio_caching=host[3] == 1
    )


def _mmio(k: Kernel, *columns: Word) -> None:
    *host, value, mask, access = columns
    _reset(k, *host)
    k.events.clear()
    masks.kvm_mmu_set_mmio_spte_mask(k, value, mask, access, mmio_caching=host[3] == 1)


declare(
    masks.kvm_mmu_reset_all_pte_masks,
    GROUP,
    HOST,
    gives=MASKS,
    answer=_after(_reset),
    events=EVENTS,
    modes=BEFORE,
    mutants=[
        Mutant(SPTE_C, "\tshadow_x_mask\t\t= 0;\n", ""),
        Mutant(SPTE_C, "\tshadow_acc_track_mask\t= 0;\n", ""),
        Mutant(SPTE_C, "\tshadow_me_value\t\t= 0;\n", ""),
        Mutant(SPTE_C, "if (shadow_phys_bits < 52)", "if (shadow_phys_bits <= 52)"),
        Mutant(
            SPTE_C, "GENMASK_ULL(low_phys_bits - 1, PAGE_SHIFT)", "GENMASK_ULL(low_phys_bits, PAGE_SHIFT)"
        ),
    ],
)
declare(
    masks.kvm_mmu_set_ept_masks,
    GROUP,
    [*HOST, Flag("has_ad_bits"), Flag("has_exec_only")],
    gives=MASKS,
    answer=_after(_ept),
    events=EVENTS,
    modes=BEFORE,
    since=MASKS_IN_MMU,
    mutants=[Mutant(SPTE_C, "has_ad_bits ? VMX_EPT_DIRTY_BIT : 0ull", "VMX_EPT_DIRTY_BIT")],
)
declare(
    masks.kvm_mmu_set_mmio_spte_mask,
    GROUP,
    [*HOST, Bits("mmio_value"), Bits("mmio_mask", near="mmio_value"), Bits("access_mask", 34)],
    gives=MASKS,
    answer=_after(_mmio),
    events=EVENTS,
    modes=BEFORE,
    mutants=[
        Mutant(
            SPTE_C, "WARN_ON((mmio_value & mmio_mask) != mmio_value)", "WARN_ON(mmio_value && !mmio_mask)"
        ),
        Mutant(SPTE_C, "BUG_ON((u64)(unsigned)access_mask != access_mask);", ""),
        Mutant(SPTE_C, "WARN_ON(mmio_value && (FROZEN_SPTE & mmio_mask) == mmio_value)", "0", "6.12"),
    ],
)
declare(
    masks.kvm_mmu_set_me_spte_mask,
    GROUP,
    [Bits("me_value"), Bits("me_mask", near="me_value")],
    gives=MASKS,
    answer=_after(masks.kvm_mmu_set_me_spte_mask),
    events=EVENTS,
    modes=BEFORE,
    since=ME_VALUE,
    mutants=[Mutant(SPTE_C, "me_value = me_mask = 0;", "me_value = 0;")],
)
declare(
    masks.kvm_mmu_set_mask_ptes,
    GROUP,
    [
        Bits(name, dense=True)
        for name in ("user", "accessed", "dirty", "nx", "x", "present", "acc_track", "me")
    ],
    gives=MASKS,
    answer=_after(masks.kvm_mmu_set_mask_ptes),
    events=EVENTS,
    modes=BEFORE,
    until=MASKS_IN_MMU,
    mutants=[Mutant(SPTE_C, "BUG_ON(!accessed_mask && !acc_track_mask);", "", "5.10")],
)

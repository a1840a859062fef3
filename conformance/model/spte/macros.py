# SPDX-License-Identifier: GPL-2.0-only
"""KVM's macros for SPTEs, by their names in any kernel, and the attribute of a Layout for each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from conformance.model.layout import Layout

__all__ = ["MACROS", "laid_out", "value_of"]

MACROS: dict[str, str | tuple[str, int]] = {
    "SPTE_MMU_PRESENT_MASK": "spte_mmu_present_mask",
    "SPTE_SPECIAL_MASK": "spte_tdp_ad_mask",
    "SPTE_AD_DISABLED_MASK": "spte_tdp_ad_disabled",
    "SPTE_AD_WRPROT_ONLY_MASK": "spte_tdp_ad_wrprot_only",
    "SPTE_TDP_AD_MASK": "spte_tdp_ad_mask",
    "SPTE_TDP_AD_DISABLED_MASK": "spte_tdp_ad_disabled",
    "SPTE_TDP_AD_WRPROT_ONLY_MASK": "spte_tdp_ad_wrprot_only",
    "SPTE_TDP_AD_DISABLED": "spte_tdp_ad_disabled",
    "SPTE_TDP_AD_WRPROT_ONLY": "spte_tdp_ad_wrprot_only",
    "SPTE_HOST_WRITEABLE": "default_host_writable",
    "SPTE_MMU_WRITEABLE": "default_mmu_writable",
    "DEFAULT_SPTE_HOST_WRITABLE": "default_host_writable",
    "DEFAULT_SPTE_MMU_WRITABLE": "default_mmu_writable",
    "EPT_SPTE_HOST_WRITABLE": "ept_host_writable",
    "EPT_SPTE_MMU_WRITABLE": "ept_mmu_writable",
    "SHADOW_ACC_TRACK_SAVED_BITS_MASK": "acc_track_saved_mask",
    "SHADOW_ACC_TRACK_SAVED_BITS_SHIFT": "acc_track_saved_shift",
    "MMIO_SPTE_GEN_LOW_START": ("mmio_gen_low", 1),
    "MMIO_SPTE_GEN_LOW_END": ("mmio_gen_low", 0),
    "MMIO_SPTE_GEN_HIGH_START": ("mmio_gen_high", 1),
    "MMIO_SPTE_GEN_HIGH_END": ("mmio_gen_high", 0),
    "SPTE_MMIO_ALLOWED_MASK": "mmio_allowed_mask",
    "SHADOW_NONPRESENT_VALUE": "nonpresent_value",
    "REMOVED_SPTE": "frozen_spte",
    "FROZEN_SPTE": "frozen_spte",
    "ACC_READ_MASK": "acc_read_mask",
    "ACC_EXEC_MASK": "acc_exec_mask",
    "ACC_WRITE_MASK": "acc_write_mask",
    "ACC_USER_MASK": "acc_user_mask",
    "ACC_ALL": "acc_all",
}
"""For each macro the attribute of a Layout, or the attribute and an index if it is a pair."""


def value_of(layout: Layout, macro: str) -> int:
    """The value of a macro in a layout."""
    part = MACROS[macro]
    return int(getattr(layout, part) if isinstance(part, str) else getattr(layout, part[0])[part[1]])


def laid_out(layout: Layout, values: Mapping[str, int]) -> Layout:
    """The layout with these values of macros instead of its own. Names that are not in MACROS are ignored."""
    changed: dict[str, Any] = {}
    for macro, value in values.items():
        part = MACROS.get(macro)
        if isinstance(part, str):
            changed[part] = value
        elif part is not None:
            pair = list(changed.get(part[0], getattr(layout, part[0])))
            pair[part[1]] = value
            changed[part[0]] = tuple(pair)
    return dataclasses.replace(layout, **changed)

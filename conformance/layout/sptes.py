# SPDX-License-Identifier: GPL-2.0-only
"""The bits of SPTEs: the model's map of them, and its constants beside those that a kernel compiles to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from conformance.kernels import Kernel
from conformance.layout.found import Constant
from conformance.model.decode import Field, bit_map
from conformance.model.layout import Layout
from conformance.model.modes import MODES, kernel_in
from conformance.model.profiles import Profile
from conformance.review.constants import HEADERS, values_of

__all__ = ["bit_maps", "constants"]

_MODES = ("shadow", "ept-ad")
"""One for each of the two formats of page tables."""

_CONSTANTS: dict[str, Callable[[Layout], int]] = {
    "SPTE_MMU_PRESENT_MASK": lambda layout: layout.spte_mmu_present_mask,
    "SPTE_SPECIAL_MASK": lambda layout: layout.spte_tdp_ad_mask,
    "SPTE_AD_DISABLED_MASK": lambda layout: layout.spte_tdp_ad_disabled,
    "SPTE_AD_WRPROT_ONLY_MASK": lambda layout: layout.spte_tdp_ad_wrprot_only,
    "SPTE_TDP_AD_MASK": lambda layout: layout.spte_tdp_ad_mask,
    "SPTE_TDP_AD_DISABLED_MASK": lambda layout: layout.spte_tdp_ad_disabled,
    "SPTE_TDP_AD_WRPROT_ONLY_MASK": lambda layout: layout.spte_tdp_ad_wrprot_only,
    "SPTE_TDP_AD_DISABLED": lambda layout: layout.spte_tdp_ad_disabled,
    "SPTE_TDP_AD_WRPROT_ONLY": lambda layout: layout.spte_tdp_ad_wrprot_only,
    "SPTE_HOST_WRITEABLE": lambda layout: layout.default_host_writable,
    "SPTE_MMU_WRITEABLE": lambda layout: layout.default_mmu_writable,
    "DEFAULT_SPTE_HOST_WRITABLE": lambda layout: layout.default_host_writable,
    "DEFAULT_SPTE_MMU_WRITABLE": lambda layout: layout.default_mmu_writable,
    "EPT_SPTE_HOST_WRITABLE": lambda layout: layout.ept_host_writable,
    "EPT_SPTE_MMU_WRITABLE": lambda layout: layout.ept_mmu_writable,
    "SHADOW_ACC_TRACK_SAVED_BITS_MASK": lambda layout: layout.acc_track_saved_mask,
    "SHADOW_ACC_TRACK_SAVED_BITS_SHIFT": lambda layout: layout.acc_track_saved_shift,
    "MMIO_SPTE_GEN_LOW_START": lambda layout: layout.mmio_gen_low[1],
    "MMIO_SPTE_GEN_LOW_END": lambda layout: layout.mmio_gen_low[0],
    "MMIO_SPTE_GEN_HIGH_START": lambda layout: layout.mmio_gen_high[1],
    "MMIO_SPTE_GEN_HIGH_END": lambda layout: layout.mmio_gen_high[0],
    "SPTE_MMIO_ALLOWED_MASK": lambda layout: layout.mmio_allowed_mask,
    "SHADOW_NONPRESENT_VALUE": lambda layout: layout.nonpresent_value,
    "REMOVED_SPTE": lambda layout: layout.frozen_spte,
    "FROZEN_SPTE": lambda layout: layout.frozen_spte,
    "ACC_READ_MASK": lambda layout: layout.acc_read_mask,
    "ACC_EXEC_MASK": lambda layout: layout.acc_exec_mask,
    "ACC_WRITE_MASK": lambda layout: layout.acc_write_mask,
    "ACC_USER_MASK": lambda layout: layout.acc_user_mask,
    "ACC_ALL": lambda layout: layout.acc_all,
}
"""Macros by their names in any kernel, and what the model has for them."""


def constants(kernel: Kernel, profile: Profile) -> list[Constant]:
    """Those of the constants that the kernel has, as the compiler has them."""
    text = "\n".join(_headers(kernel))
    names = [name for name in _CONSTANTS if re.search(rf"^#\s*define\s+{name}\b", text, re.MULTILINE)]
    values, layout = values_of(kernel, names), Layout.of(profile)
    return [Constant(name, _CONSTANTS[name](layout), values[name]) for name in names if name in values]


def _headers(kernel: Kernel) -> Iterator[str]:
    """The text of what the MMU is written against."""
    for folder in ("arch/x86/kvm", "include", "arch/x86/include/asm"):
        for name in (*HEADERS, "kvm_host.h"):
            path = kernel.root / "src" / folder / name
            if path.is_file():
                yield path.read_text(errors="replace")


def bit_maps(profile: Profile) -> list[tuple[str, list[Field]]]:
    """Which bits are what in present and in MMIO SPTEs, by the model."""
    return [
        (f"{kind} SPTE, {mode}: {MODES[mode].description}", bit_map(kernel_in(MODES[mode], profile), kind))
        for kind in ("present", "mmio")
        for mode in _MODES
    ]

# SPDX-License-Identifier: GPL-2.0-only
"""The bits of SPTEs: the model's map, and its constants beside the values in the compiled kernel."""

from __future__ import annotations

from conformance.kernels import Kernel
from conformance.kernels.headers import defined, values_of
from conformance.layout.found import Constant
from conformance.model.layout import Layout
from conformance.model.modes import MODES, kernel_in
from conformance.model.profiles import Profile
from conformance.model.spte.decode.fields import Field, bit_map
from conformance.model.spte.macros import MACROS, value_of

__all__ = ["bit_maps", "constants"]

_MODES = ("shadow", "ept-ad")
"""One for each of the two formats of page tables."""


def constants(kernel: Kernel, profile: Profile) -> list[Constant]:
    """The constants that the kernel defines, with the model's value and the compiler's."""
    names = defined(kernel, MACROS)
    values, layout = values_of(kernel, names), Layout.of(profile)
    return [Constant(name, value_of(layout, name), values[name]) for name in names if name in values]


def bit_maps(profile: Profile) -> list[tuple[str, list[Field]]]:
    """The bits of present and of MMIO SPTEs, according to the model."""
    return [
        (f"{kind} SPTE, {mode}: {MODES[mode].description}", bit_map(kernel_in(MODES[mode], profile), kind))
        for kind in ("present", "mmio")
        for mode in _MODES
    ]

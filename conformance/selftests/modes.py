# SPDX-License-Identifier: GPL-2.0-only
"""The modes in which selftests are run: how KVM is loaded, by the names that modes have in all commands."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.errors import ConformanceError
from conformance.oracles.live.settings import Setting

__all__ = ["DEFAULT", "MODES", "chosen_modes"]

DEFAULT = "npt"

MODES = {
    DEFAULT: Setting(),
    "legacy-npt": Setting(kvm={"tdp_mmu": "N"}),
    "shadow": Setting(parameters={"npt": "0"}),
}


def chosen_modes(names: Sequence[str]) -> list[str]:
    """The modes of these names; the default one without any. Raises ConformanceError for any other name."""
    for name in names:
        if name not in MODES:
            raise ConformanceError(f"In mode {name} no selftests are run; there are {', '.join(MODES)}.")
    return [*dict.fromkeys(names)] or [DEFAULT]

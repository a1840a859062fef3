# SPDX-License-Identifier: GPL-2.0-only
"""The modes in which stories are played, by how KVM translates the guest's addresses in them."""

from __future__ import annotations

from conformance.model.changes import MMIO_CACHING_PARAMETER
from conformance.model.profiles import Profile

__all__ = [
    "DIRECT_MODES",
    "EPT_MODES",
    "LEGACY_MODES",
    "PML_MODES",
    "SHADOW_MODES",
    "STORY_MODES",
    "TDP_MODES",
    "absent",
    "with_legacy",
]

TDP_MODES = ("ept-ad", "ept-noad", "npt")
"""Two-dimensional paging by the TDP MMU."""


def with_legacy(*modes: str) -> tuple[str, ...]:
    """Modes of the TDP MMU, and the same without it."""
    return (*modes, *(f"legacy-{mode}" for mode in modes))


LEGACY_MODES = tuple(f"legacy-{mode}" for mode in TDP_MODES)
"""Two-dimensional paging by the direct MMU that the TDP MMU replaced."""

DIRECT_MODES = with_legacy(*TDP_MODES)
"""Two-dimensional paging."""

EPT_MODES = ("ept-ad", "ept-noad")
"""Of the TDP MMU, those on a host with EPT."""

PML_MODES = with_legacy("ept-ad")
"""Those with page modification logging."""

SHADOW_MODES = ("shadow", "shadow-l1tf", "shadow-nommio")
"""Shadow paging."""

STORY_MODES = (*DIRECT_MODES, *SHADOW_MODES)
"""All of them."""


def absent(mode: str, profile: Profile) -> str:
    """Why a kernel with this profile does not have a mode; "" if it has."""
    if mode == "shadow-nommio" and not profile.has(MMIO_CACHING_PARAMETER):
        return f"its parameter mmio_caching came with {MMIO_CACHING_PARAMETER}"
    return ""

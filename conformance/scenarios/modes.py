# SPDX-License-Identifier: GPL-2.0-only
"""The modes in which stories are played, by how KVM translates the guest's addresses in them."""

from __future__ import annotations

__all__ = ["DIRECT_MODES", "EPT_MODES", "LEGACY_MODES", "SHADOW_MODES", "STORY_MODES", "TDP_MODES"]

TDP_MODES = ("ept-ad", "ept-noad", "npt")
"""Two-dimensional paging by the TDP MMU."""

LEGACY_MODES = tuple(f"legacy-{mode}" for mode in TDP_MODES)
"""Two-dimensional paging by the direct MMU that the TDP MMU replaced."""

DIRECT_MODES = (*TDP_MODES, *LEGACY_MODES)
"""Two-dimensional paging."""

EPT_MODES = ("ept-ad", "ept-noad")
"""Of the TDP MMU, those on a host with EPT."""

SHADOW_MODES = ("shadow", "shadow-l1tf", "shadow-nommio")
"""Shadow paging."""

STORY_MODES = (*DIRECT_MODES, *SHADOW_MODES)
"""All of them."""

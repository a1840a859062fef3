# SPDX-License-Identifier: GPL-2.0-only
"""The properties of a host, as oracles take them."""

from __future__ import annotations

__all__ = ["HOST"]

HOST = (
    "phys_bits",
    "cache_bits",
    "l1tf",
    "mmio_caching",
    "tdp",
    "ept",
    "ad_bits",
    "exec_only",
    "me_value",
    "me_mask",
    "tdp_mmu",
)
"""The properties of a host, in the order of enum conformance_host."""

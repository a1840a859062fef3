# SPDX-License-Identifier: GPL-2.0-only
"""How a host is described to oracles."""

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
)
"""What describes a host, in the order of enum conformance_host."""

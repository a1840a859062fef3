# SPDX-License-Identifier: GPL-2.0-only
"""The paths of the project's own data."""

from pathlib import Path

__all__ = ["GOLDEN", "VENDOR_HEADERS"]

VENDOR_HEADERS = Path(__file__).parent / "vendor_headers"
"""kernels.toml, our environment headers, and kernels laid out by ``kernels vendor``.

In a checkout this is a link to the directory at the top; in an installed package it is a copy.
"""

GOLDEN = Path(__file__).parent / "golden"
"""Golden files, a folder per series; linked or copied likewise."""

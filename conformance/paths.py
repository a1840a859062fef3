# SPDX-License-Identifier: GPL-2.0-only
"""Where the project's own data lies: beside the package in a checkout, inside it once installed."""

from pathlib import Path

__all__ = ["PACKAGE", "VENDOR_HEADERS"]

PACKAGE = Path(__file__).resolve().parent
_installed = PACKAGE / "vendor_headers"
VENDOR_HEADERS = _installed if _installed.is_dir() else PACKAGE.parent / "vendor_headers"

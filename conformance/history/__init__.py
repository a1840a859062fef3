# SPDX-License-Identifier: GPL-2.0-only
"""The bugs that this field has had: each fix is taken out of a kernel, and some oracle must notice."""

from __future__ import annotations

from conformance.history.fix import Fix, Layer, Revert, Undetected
from conformance.history.fixes import FIXES
from conformance.history.undetected import UNDETECTED

__all__ = ["FIXES", "UNDETECTED", "Fix", "Layer", "Revert", "Undetected"]

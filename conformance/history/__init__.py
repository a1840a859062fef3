# SPDX-License-Identifier: GPL-2.0-only
"""The bugs that this field has had: each fix taken out of a kernel again, to see that somebody notices."""

from __future__ import annotations

from conformance.history.fix import Fix, Layer, Revert, Undetected
from conformance.history.functions import FUNCTIONS
from conformance.history.stories import STORIES
from conformance.history.undetected import UNSEEN

__all__ = ["FIXES", "UNSEEN", "Fix", "Layer", "Revert", "Undetected"]

FIXES: tuple[Fix, ...] = (*FUNCTIONS, *STORIES)
"""Every fix whose absence some oracle must notice."""

# SPDX-License-Identifier: GPL-2.0-only
"""Where structures and SPTE bits lie in a shipped kernel, in the shim, and in the model."""

from conformance.layout.found import Constant, Found, Row, Structure
from conformance.layout.looking import look

__all__ = ["Constant", "Found", "Row", "Structure", "look"]

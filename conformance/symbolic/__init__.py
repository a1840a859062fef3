# SPDX-License-Identifier: GPL-2.0-only
"""Machine code as formulas: what an entry of an image gives, as z3 terms of its inputs and of masks."""

from conformance.symbolic.errors import CannotRun
from conformance.symbolic.machine import Machine, Outcome
from conformance.symbolic.values import UNDEFINED

__all__ = ["UNDEFINED", "CannotRun", "Machine", "Outcome"]

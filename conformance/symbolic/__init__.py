# SPDX-License-Identifier: GPL-2.0-only
"""Symbolic execution of machine code: the outputs of an entry as z3 bit-vectors of its inputs and masks."""

from conformance.symbolic.errors import CannotRun
from conformance.symbolic.machine import Machine, Outcome
from conformance.symbolic.values import UNDEFINED

__all__ = ["UNDEFINED", "CannotRun", "Machine", "Outcome"]

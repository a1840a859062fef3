# SPDX-License-Identifier: GPL-2.0-only
"""Why machine code could not be turned into formulas."""

from __future__ import annotations

from conformance.errors import ConformanceError

__all__ = ["CannotRun"]


class CannotRun(ConformanceError):
    """A limit was reached, or the code does what the executor does not understand. Says which and where."""

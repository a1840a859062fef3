# SPDX-License-Identifier: GPL-2.0-only
"""The error that symbolic execution raises."""

from __future__ import annotations

from conformance.errors import ConformanceError

__all__ = ["CannotRun"]


class CannotRun(ConformanceError):
    """A limit was reached, or the code does what the executor does not support; names what and where."""

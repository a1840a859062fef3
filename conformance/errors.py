# SPDX-License-Identifier: GPL-2.0-only
"""What the user is told when something cannot be judged: plain sentences, status 2, no traceback."""

__all__ = ["ConformanceError"]


class ConformanceError(Exception):
    """One or two plain sentences: what was being done, to what, and what to do next."""

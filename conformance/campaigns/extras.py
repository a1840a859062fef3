# SPDX-License-Identifier: GPL-2.0-only
"""The packages that campaigns need; they are an extra."""

from __future__ import annotations

import importlib.util

from conformance.errors import ConformanceError

__all__ = ["need"]


def need(*modules: str) -> None:
    """Raise ConformanceError if a package is not installed."""
    absent = [module for module in modules if importlib.util.find_spec(module) is None]
    if absent:
        are = "is" if len(absent) == 1 else "are"
        raise ConformanceError(
            f"Campaigns need {' and '.join(absent)}, which {are} not installed. "
            "Install the suite with what it needs: pip install '.[campaign]'"
        )

# SPDX-License-Identifier: GPL-2.0-only
"""Whether the packages of the prove engine are installed: z3 and pypcode are an extra."""

from __future__ import annotations

import importlib.util

from conformance.errors import ConformanceError

__all__ = ["lacking", "left_out", "require"]

_PACKAGES = {"z3": "z3-solver", "pypcode": "pypcode"}


def lacking() -> list[str]:
    """The packages that proofs need and that are not installed."""
    return [package for module, package in _PACKAGES.items() if importlib.util.find_spec(module) is None]


def left_out() -> str:
    """One line that says why nothing can be proved; "" if proofs can run."""
    missing = lacking()
    return (
        f"without proofs: {' and '.join(missing)} not installed (pip install '.[prove]')" if missing else ""
    )


def require() -> None:
    """Raise ConformanceError unless this installation can prove."""
    missing = lacking()
    if missing:
        are = "are" if len(missing) > 1 else "is"
        raise ConformanceError(
            f"Proofs need {' and '.join(missing)}, which {are} not installed. "
            "Install the suite with what they need: pip install '.[prove]'"
        )

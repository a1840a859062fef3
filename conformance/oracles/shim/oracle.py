# SPDX-License-Identifier: GPL-2.0-only
"""Asking a shim library."""

from __future__ import annotations

from pathlib import Path

from conformance.oracles.child import FunctionOracle
from conformance.oracles.shim import worker

__all__ = ["ShimOracle"]


class ShimOracle(FunctionOracle):
    """A kernel's functions, compiled from its source into ``library``.

    ``plant`` is the number of the planted difference that shows; 0: none does.
    """

    def __init__(self, library: Path, *, patience: float = 10.0, plant: int = 0) -> None:
        more = (str(plant),) if plant else ()
        super().__init__(Path(worker.__file__), library, patience=patience, more=more)

# SPDX-License-Identifier: GPL-2.0-only
"""Drawing cases of a property at random, as likely to matter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from conformance.differential.property import Property
from conformance.model.semantics import Semantics

__all__ = ["draw"]


def draw(prop: Property, k: Semantics, rng: np.random.Generator, n: int) -> NDArray[np.uint64]:
    """``n`` cases for a kernel like ``k``: a row a column."""
    drawn: dict[str, NDArray[np.uint64]] = {}
    for column in prop.takes:
        drawn[column.name] = column.sample(k, rng, n, drawn)
    return np.stack(list(drawn.values()))

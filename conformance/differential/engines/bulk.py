# SPDX-License-Identifier: GPL-2.0-only
"""The bulk engine: chunks of drawn cases, numpy on the model's side, a loop in C on the kernel's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from conformance.differential.comparison import Comparison, Difference

__all__ = ["CHUNK", "bulk", "draw"]

CHUNK = 1 << 16
"""Cases in a chunk: few enough for a chunk's columns to stay in the processor's cache."""
SCALAR_CHUNK = 1 << 8
"""The same where the model's side runs over ints, one case at a time."""


def draw(comparison: Comparison, rng: np.random.Generator, n: int) -> NDArray[np.uint64]:
    """``n`` cases: a row a column."""
    drawn: dict[str, NDArray[np.uint64]] = {}
    for column in comparison.property.takes:
        drawn[column.name] = column.sample(comparison.kernel, rng, n, drawn)
    return np.stack(list(drawn.values()))


def bulk(comparison: Comparison, rng: np.random.Generator, chunks: int = 1) -> Difference | None:
    """Compare ``chunks`` chunks; the first difference, None if there is none."""
    n = min(SCALAR_CHUNK if comparison.property.scalar else CHUNK, comparison.capacity)
    for _ in range(chunks):
        found = comparison.compare(draw(comparison, rng, n))
        if found is not None:
            return found
    return None

# SPDX-License-Identifier: GPL-2.0-only
"""How a comparison of two kernels is searched for a difference: at random, exhaustively, and then shrunk."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from conformance.differential.comparison import Comparison, Difference
from conformance.differential.engines import bulk, control_space, exhaust
from conformance.differential.outputs import Writes
from conformance.differential.shrinking import smallest
from conformance.review.plan import ReviewPlan

__all__ = ["all_inputs", "every", "exhaustive", "random_chunk", "sample", "shrunk"]

Words = NDArray[np.uint64]

FIRST = 1 << 12
"""Random cases per property and mode, to measure what it executes."""
AT_ONCE = 1 << 14
"""Up to this many combinations are tried exhaustively."""


def _rng(comparison: Comparison, seed: int, how: str) -> np.random.Generator:
    return np.random.default_rng([seed, *f"{comparison.property.name}/{comparison.mode.name}/{how}".encode()])


def sample(comparison: Comparison, wanted: ReviewPlan) -> Difference | None:
    """Compare some random cases, or the case given by the user."""
    if wanted.case:
        return comparison.compare_once(wanted.case)
    n = min(FIRST, comparison.capacity) // (16 if comparison.property.scalar else 1)
    return comparison.compare(comparison.draw(_rng(comparison, wanted.seed, "first"), n))


def random_chunk(comparison: Comparison, seed: int) -> Difference | None:
    """Compare another chunk of random cases."""
    return bulk(comparison, _rng(comparison, seed + comparison.cases, "bulk"))


def all_inputs(comparison: Comparison) -> Words | None:
    """All inputs of a property whose columns are all enumerable, as a batch; None if there are too many."""
    listed = [column.choices(comparison.semantics) for column in comparison.property.takes]
    values = [one for one in listed if one is not None]
    if len(values) < len(listed) or math.prod(map(len, values)) > AT_ONCE:
        return None
    return np.array([*itertools.product(*values)], np.uint64).T.copy()


def every(comparison: Comparison, inputs: Words) -> Difference | None:
    """Compare all inputs."""
    for start in range(0, inputs.shape[1], comparison.capacity):
        found = comparison.compare(inputs[:, start : start + comparison.capacity].copy())
        if found is not None:
            return found
    return None


def exhaustive(comparison: Comparison, seed: int) -> Difference | None:
    """Compare every combination of the deciding bits, if there are few."""
    if comparison.property.scalar:
        return None
    rng = _rng(comparison, seed, "exhaustive")
    space = control_space(comparison, rng)
    if isinstance(space, Difference):
        return space
    found = exhaust(comparison, space, rng) if space.size <= AT_ONCE else None
    return found if isinstance(found, Difference) else None


def shrunk(comparison: Comparison, found: Difference, seed: int) -> Difference:
    """A small case on which the two differ; if possible one that differs in more than the kind of access.

    A lost update is more convincing than the fact that a write was not atomic.
    """
    if any(isinstance(output, Writes) for output in comparison.property.gives):
        rest = comparison.ignoring(Writes)
        better = rest.compare_once(found.case) or bulk(rest, _rng(rest, seed, "telling"))
        shown = smallest(rest, better, _rng(rest, seed, "smallest")) if better else None
        if shown is not None and comparison.property.legal(comparison.semantics, shown.case):
            return comparison.compare_once(shown.case) or shown
    return smallest(comparison, found, _rng(comparison, seed, "smallest"))

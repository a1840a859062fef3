# SPDX-License-Identifier: GPL-2.0-only
"""Making a counterexample small: fewest bits set, and columns alike, while the sides still differ."""

from __future__ import annotations

import numpy as np

from conformance.differential.columns import SpteColumn
from conformance.differential.comparison import Comparison, Difference
from conformance.model.kernel import Kernel
from conformance.model.shape import is_shadow_present_pte

__all__ = ["shrink"]


def shrink(comparison: Comparison, found: Difference) -> Difference:
    """The smallest difference that is reached from ``found`` one step at a time.

    A step clears a column, sets it to an earlier one, clears one bit of it or lowers it to the next
    smaller choice; each round tries all steps in one batch and takes the one that leaves the least.
    """
    if found.hung:
        return found
    best = found
    seen = {best.case}
    while True:
        steps = [case for case in _steps(comparison, best.case) if case not in seen]
        if not steps:
            return best
        seen.update(steps)
        differs = comparison.differing(np.array(steps, np.uint64).T.copy())
        smaller = sorted((case for case, hit in zip(steps, differs, strict=True) if hit), key=_size)
        for case in smaller:
            again = comparison.compare_once(case)
            if again is not None:
                best = again
                break
        else:
            return best


def _size(case: tuple[int, ...]) -> tuple[int, int, tuple[int, ...]]:
    """Cases with few set bits in few columns first."""
    return sum(bin(word).count("1") for word in case), sum(word != 0 for word in case), case


def _presence(k: Kernel, spte: int) -> bool:
    return bool(is_shadow_present_pte(k, spte))


def _steps(comparison: Comparison, case: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Every case one step smaller that the function may be called with."""
    k = comparison.kernel
    steps: list[tuple[int, ...]] = []
    for at, (column, word) in enumerate(zip(comparison.property.takes, case, strict=True)):
        choices = column.choices(k)
        if choices is not None:
            smaller = list(choices[: choices.index(word)]) if word in choices else []
        else:
            smaller = [0, *case[:at], *(word & ~(1 << n) for n in range(64) if word >> n & 1)]
        if isinstance(column, SpteColumn):
            # What is present stays so: an SPTE that maps something says more than a smaller word.
            smaller = [value for value in smaller if _presence(k, value) >= _presence(k, word)]
        for value in smaller:
            changed = (*case[:at], value, *case[at + 1 :])
            if value != word and column.admits(k, value) and _size(changed) < _size(case):
                steps.append(changed)
    return steps

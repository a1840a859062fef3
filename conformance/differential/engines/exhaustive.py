# SPDX-License-Identifier: GPL-2.0-only
"""The exhaustive engine: every combination of the bits that control a function.

Which bits those are is measured: each input bit is flipped in many drawn cases, on both sides. A bit
that only ever moves one bit of each observed word, always the same one, and no decision and no event, is
*data*: it is carried, perhaps dropped, but decides nothing. All others are *control*. Control bits of one
column whose flips had the same effect in every drawn case, except for the bit that each carries, are
interchangeable (the bits of a page frame number that is only compared): one of them stands for the class.
Every combination of the control bits is tried; the other bits are drawn anew for each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conformance.differential.comparison import Comparison, Difference

__all__ = ["Space", "control_space", "exhaust"]

Words = NDArray[np.uint64]

LEAST = 1 << 12
"""The least number of cases compared; combinations repeat if there are fewer."""
PROBES = 192
"""Drawn cases in which each bit is flipped."""


@dataclass(frozen=True)
class Space:
    """What controls a function: classes of bits, and columns of few values, each with its column."""

    bits: tuple[tuple[int, tuple[int, ...]], ...]
    choices: tuple[tuple[int, tuple[int, ...]], ...]

    @property
    def size(self) -> int:
        """The number of combinations."""
        size = 1 << len(self.bits)
        for _, values in self.choices:
            size *= len(values)
        return size

    def __str__(self) -> str:
        single = sum(len(bits) == 1 for _, bits in self.bits)
        classes = [len(bits) for _, bits in self.bits if len(bits) > 1]
        what = [f"{single} control bits"] if single else []
        what += (
            [f"{len(classes)} classes of interchangeable bits ({', '.join(map(str, classes))})"]
            if classes
            else []
        )
        what += [f"{len(self.choices)} choices"] if self.choices else []
        return (
            f"all {self.size} combinations of {', '.join(what) or 'nothing: no input bit decides anything'}"
        )


def exhaust(
    comparison: Comparison,
    space: Space,
    rng: np.random.Generator,
    *,
    more_time: Callable[[], bool] = lambda: True,
) -> Difference | bool:
    """Try every combination of ``space``, small spaces several times over.

    Returns the first difference; else True if all were tried, False if ``more_time`` ended it.
    """
    total = max(space.size, LEAST)
    step = min(comparison.capacity, 1 << 17)
    for start in range(0, total, step):
        if not more_time():
            return False
        numbers = np.arange(start, min(start + step, total), dtype=np.uint64) % np.uint64(space.size)
        difference = comparison.compare(_combinations(comparison, rng, space, numbers))
        if difference is not None:
            return difference
    return True


def _combinations(comparison: Comparison, rng: np.random.Generator, space: Space, numbers: Words) -> Words:
    """The combinations with these numbers, in drawn cases."""
    batch = comparison.draw(rng, len(numbers))
    rest = numbers
    for column, values in space.choices:
        batch[column] = np.array(values, np.uint64)[rest % np.uint64(len(values))]
        rest = rest // np.uint64(len(values))
    for column, bits in space.bits:
        bit = np.uint64(rng.choice(bits))
        batch[column] &= ~(np.uint64(1) << bit)
        batch[column] |= (rest & np.uint64(1)) << bit
        rest = rest >> np.uint64(1)
    return batch


def control_space(comparison: Comparison, rng: np.random.Generator) -> Space | Difference:
    """What controls the function, found by flipping; a Difference if the sides differ already there."""
    base = comparison.draw(rng, PROBES)
    # The last row, of events, decides, too.
    carries = [*(not output.decides for output in comparison.property.gives), False]
    classes: dict[tuple[int, bytes], list[int]] = {}
    choices: list[tuple[int, tuple[int, ...]]] = []
    for at, column in enumerate(comparison.property.takes):
        listed = column.choices(comparison.semantics)
        values = [np.full(PROBES, value, np.uint64) for value in listed or ()]
        values = values or [base[at] ^ np.uint64(1 << bit) for bit in range(column.width)]
        batch = np.tile(base, len(values) + 1)
        batch[at, PROBES:] = np.concatenate(values)
        found = comparison.compare(batch)
        if found is not None:
            return found
        # The sides agree, so that one answer shows what moved.
        observed = comparison.answer(comparison.right, batch)
        before = np.tile(observed[:, :PROBES], len(values))
        moved = (observed[:, PROBES:] ^ before).reshape(len(observed), len(values), PROBES)
        if listed is not None:
            if moved.any():
                choices.append((at, listed))
            continue
        for bit in range(column.width):
            effect = _without_carried(moved[:, bit], carries)
            if effect.any():
                classes.setdefault((at, effect.tobytes()), []).append(bit)
    return Space(tuple((at, tuple(bits)) for (at, _), bits in classes.items()), tuple(choices))


def _without_carried(moved: Words, carries: list[bool]) -> Words:
    """The changes that a flip made in each observed word, without those that only carry one bit over."""
    rest = moved.copy()
    for row, may_carry in zip(rest, carries, strict=True):
        ever = int(np.bitwise_or.reduce(row))
        if may_carry and ever & (ever - 1) == 0:
            row[:] = 0
    return rest

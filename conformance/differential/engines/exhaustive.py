# SPDX-License-Identifier: GPL-2.0-only
"""The exhaustive engine: every combination of the bits that control a function.

Which bits those are is found out, not guessed: each input bit is flipped in many drawn cases, on both
sides. A bit that only ever moves one bit of each observed word, always the same one, and no decision
and no event, is *data*: it is carried, perhaps dropped, but decides nothing. All others are *control*.
Every combination of the control bits is tried, with data drawn anew for each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conformance.differential.comparison import Comparison, Difference
from conformance.differential.engines.bulk import draw
from conformance.oracles.shim import KernelDied

__all__ = ["MOST", "Exhausted", "Space", "control_space", "exhaust"]

Words = NDArray[np.uint64]

MOST = 1 << 22
"""How many combinations are tried at the most."""
PROBES = 192
"""Drawn cases in which each bit is flipped."""


@dataclass(frozen=True)
class Space:
    """What controls a function: bits as (column, bit), and whole columns of few values as (column, values)."""

    bits: tuple[tuple[int, int], ...]
    choices: tuple[tuple[int, tuple[int, ...]], ...]
    data_bits: int
    """How many further input bits are data."""

    @property
    def size(self) -> int:
        """The number of combinations."""
        size = 1 << len(self.bits)
        for _, values in self.choices:
            size *= len(values)
        return size

    def __str__(self) -> str:
        parts = [f"2^{len(self.bits)}"] if self.bits else []
        parts += [str(len(values)) for _, values in self.choices]
        combinations = f"{' * '.join(parts)} = {self.size}" if len(parts) > 1 else str(self.size)
        return f"{combinations} combinations of {len(self.bits)} control bits and {len(self.choices)} choices"


@dataclass(frozen=True)
class Exhausted:
    """What came of it: the space, and the first difference; ``too_large`` if the space was not tried."""

    space: Space
    difference: Difference | None
    too_large: bool = False


def exhaust(
    comparison: Comparison, rng: np.random.Generator, *, more_time: Callable[[], bool] = lambda: True
) -> Exhausted | None:
    """Try every combination of what controls the function; None if ``more_time`` said no on the way."""
    space = control_space(comparison, rng)
    if isinstance(space, Difference):
        return Exhausted(Space((), (), 0), space)
    if space.size > MOST:
        return Exhausted(space, None, too_large=True)
    step = min(comparison.capacity, 1 << 17)
    for start in range(0, space.size, step):
        if not more_time():
            return None
        numbers = np.arange(start, min(start + step, space.size), dtype=np.uint64)
        difference = comparison.compare(_combinations(comparison, rng, space, numbers))
        if difference is not None:
            return Exhausted(space, difference)
    return Exhausted(space, None)


def _combinations(comparison: Comparison, rng: np.random.Generator, space: Space, numbers: Words) -> Words:
    """The combinations with these numbers, in drawn cases."""
    batch = draw(comparison, rng, len(numbers))
    rest = numbers.copy()
    for column, values in space.choices:
        batch[column] = np.array(values, np.uint64)[rest % np.uint64(len(values))]
        rest //= np.uint64(len(values))
    for column, bit in space.bits:
        batch[column] &= ~(np.uint64(1) << np.uint64(bit))
        batch[column] |= (rest & np.uint64(1)) << np.uint64(bit)
        rest >>= np.uint64(1)
    return batch


def control_space(comparison: Comparison, rng: np.random.Generator) -> Space | Difference:
    """What controls the function, found by flipping; a Difference if the sides differ already."""
    base = draw(comparison, rng, PROBES)
    found = comparison.compare(base)
    if found is not None:
        return found
    sides = (comparison.ask_kernel, comparison.ask_model)
    before = [side(base) for side in sides]
    words = [name not in comparison.property.truths for name in comparison.property.gives]

    bits: list[tuple[int, int]] = []
    choices: list[tuple[int, tuple[int, ...]]] = []
    data_bits = 0
    for at, column in enumerate(comparison.property.takes):
        listed = column.choices(comparison.kernel)
        if listed is not None:
            if any(_matters(sides, before, base, at, value) for value in listed):
                choices.append((at, listed))
            continue
        for bit in range(column.width):
            flipped = base.copy()
            flipped[at] ^= np.uint64(1 << bit)
            try:
                moved = [side(flipped) ^ old for side, old in zip(sides, before, strict=True)]
            except KernelDied:
                return comparison.compare(flipped) or Space((), (), 0)
            if any(_is_control(change, words) for change in moved):
                bits.append((at, bit))
            elif any(change.any() for change in moved):
                data_bits += 1
    return Space(tuple(bits), tuple(choices), data_bits)


def _matters(sides: tuple, before: list[Words], base: Words, at: int, value: int) -> bool:  # type: ignore[type-arg]
    """Whether setting a column to ``value`` ever changes an observation."""
    changed = base.copy()
    changed[at] = value
    return any((side(changed) != old).any() for side, old in zip(sides, before, strict=True))


def _is_control(moved: Words, words: list[bool]) -> bool:
    """Whether these changes of the observed words (the last: events) are more than a carried bit's."""
    if moved[-1].any():
        return True
    for row, is_word in zip(moved, words, strict=False):
        ever = np.bitwise_or.reduce(row)
        if ever and (not is_word or ever & (ever - np.uint64(1))):
            return True
    return False

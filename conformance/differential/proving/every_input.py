# SPDX-License-Identifier: GPL-2.0-only
"""Every input at once: a property's columns as symbols, restricted to what the kernel may be called with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import z3

from conformance.differential.columns import Column
from conformance.differential.property import Property
from conformance.model.semantics import Semantics

__all__ = ["EveryInput", "every_input"]


@dataclass(frozen=True)
class EveryInput:
    """``words`` are 64 bits wide, one a column; ``count`` is how many inputs ``restrictions`` leave."""

    words: tuple[z3.BitVecRef, ...]
    restrictions: tuple[z3.BoolRef, ...]
    count: int

    @property
    def stated(self) -> str:
        """How many there are, for people."""
        exponent = math.log2(self.count)
        return f"2^{exponent:g}" if exponent.is_integer() else f"2^{exponent:.1f}"


def every_input(prop: Property, k: Semantics) -> EveryInput:
    """All inputs of ``prop`` that a kernel like ``k`` may be called with."""
    made = [_word(column, column.choices(k)) for column in prop.takes]
    count = math.prod(_count(column, k) for column in prop.takes)
    restrictions = tuple(restriction for _, each in made for restriction in each)
    return EveryInput(tuple(word for word, _ in made), restrictions, count)


def _count(column: Column, k: Semantics) -> int:
    values = column.choices(k)
    return 1 << column.width if values is None else len(values)


def _word(column: Column, values: Sequence[int] | None) -> tuple[z3.BitVecRef, list[z3.BoolRef]]:
    """A column's symbol, no wider than its values, and which values it may have."""
    width = column.width if values is None else max(values).bit_length()
    symbol = z3.BitVec(column.name, max(width, 1))
    word = z3.ZeroExt(64 - symbol.size(), symbol) if symbol.size() < 64 else symbol
    if values is None or len(values) == 1 << symbol.size():
        return word, []
    return word, [z3.Or(*(symbol == value for value in values))]

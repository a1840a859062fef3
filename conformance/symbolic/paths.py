# SPDX-License-Identifier: GPL-2.0-only
"""Paths: a point of execution with its path condition, registers and memory; and merging two of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from conformance.symbolic.functions import Function, Point
from conformance.symbolic.instructions import NR_KEPT, REGISTER_WIDTHS, RSP
from conformance.symbolic.memory import STACK, Backing
from conformance.symbolic.path_conditions import Condition, PathConditions
from conformance.symbolic.terms import Terms, Value

__all__ = ["Array", "Frame", "Path", "merge"]

Array = tuple
"""Stores at symbolic addresses of an object, newest first: ("store", before, address, value) or
("ite", condition, array, array); () if there was no such store."""


@dataclass(frozen=True)
class Frame:
    """A call that has not returned: caller, call site, return address, and the stack slot that holds it."""

    function: Function
    point: Point
    after: int
    slot: int


@dataclass
class Path:
    """A state of the machine. ``words`` were written; ``arrays`` are keyed by first and last address."""

    function: Function
    point: Point
    condition: Condition
    registers: list[Value]
    words: dict[int, Value] = field(default_factory=dict)
    frames: tuple[Frame, ...] = ()
    arrays: dict[tuple[int, int], Array] = field(default_factory=dict)

    def fork(self, condition: Condition, point: Point) -> Path:
        """A copy of the path with another condition and point."""
        words, arrays = dict(self.words), dict(self.arrays)
        return Path(self.function, point, condition, list(self.registers), words, self.frames, arrays)

    def place(self) -> tuple[object, ...]:
        """The key of merging: paths with the same place can be merged."""
        calls = tuple((frame.after, frame.slot) for frame in self.frames)
        return (self.point, self.function.entry, self.registers[RSP], calls)

    def order(self) -> tuple[int, ...]:
        """The sort key of paths: the smallest can still reach the points of the others."""
        calls = (frame.function.order.get(frame.point, 0) for frame in self.frames)
        return (*calls, self.function.order.get(self.point, 0))


def merge(a: Path, b: Path, terms: Terms, conditions: PathConditions, backing: Backing) -> Path:
    """Merge two paths at the same place: values that differ become an ite."""
    condition = conditions.either(a.condition, b.condition)
    choice = conditions.term(conditions.given(a.condition, condition))

    def chosen(x: Value, y: Value, width: int) -> Value:
        if x is y or (x.__class__ is int and x == y):
            return x
        return terms.ite(choice, x, y, width)

    registers = [
        chosen(x, y, width) for x, y, width in zip(a.registers, b.registers, REGISTER_WIDTHS, strict=True)
    ]
    assert len(registers) == NR_KEPT
    stack_pointer = registers[RSP]
    words = {}
    for number in a.words.keys() | b.words.keys():
        if isinstance(stack_pointer, int) and STACK - 0x10_0000 <= 8 * number < stack_pointer & ~7:
            # Words below the stack pointer are dead.
            continue
        x, y = a.words.get(number), b.words.get(number)
        x = backing.word(number) if x is None else x
        y = backing.word(number) if y is None else y
        words[number] = chosen(x, y, 64)
    arrays = {}
    for key in a.arrays.keys() | b.arrays.keys():
        first, second = a.arrays.get(key, ()), b.arrays.get(key, ())
        arrays[key] = first if first is second else ("ite", choice, first, second)
    return Path(a.function, a.point, condition, registers, words, a.frames, arrays)

# SPDX-License-Identifier: GPL-2.0-only
"""Paths: where execution stands, under which condition, with which registers and memory; and merging two."""

from __future__ import annotations

from dataclasses import dataclass, field

from conformance.symbolic.functions import Function, Point
from conformance.symbolic.guards import Guard, Guards
from conformance.symbolic.instructions import NR_KEPT, REGISTER_WIDTHS, RSP
from conformance.symbolic.memory import STACK, Backing
from conformance.symbolic.terms import Terms, Value

__all__ = ["Array", "Frame", "Path", "merge"]

Array = tuple
"""What was written at unknown places of an object, newest first: ("store", before, address, value) or
("ite", condition, array, array); () where nothing was."""


@dataclass(frozen=True)
class Frame:
    """A call that has not returned: whose, from where, to where it returns, and where that is written."""

    function: Function
    point: Point
    after: int
    slot: int


@dataclass
class Path:
    """A state of the machine. ``words`` are what it has written; ``arrays`` by first and last address."""

    function: Function
    point: Point
    guard: Guard
    registers: list[Value]
    words: dict[int, Value] = field(default_factory=dict)
    frames: tuple[Frame, ...] = ()
    arrays: dict[tuple[int, int], Array] = field(default_factory=dict)

    def fork(self, guard: Guard, point: Point) -> Path:
        """A copy that goes on elsewhere."""
        words, arrays = dict(self.words), dict(self.arrays)
        return Path(self.function, point, guard, list(self.registers), words, self.frames, arrays)

    def place(self) -> tuple[object, ...]:
        """Paths that are at the same place can be merged."""
        calls = tuple((frame.after, frame.slot) for frame in self.frames)
        return (self.point, self.function.entry, self.registers[RSP], calls)

    def order(self) -> tuple[int, ...]:
        """Of two paths the one that comes first can still reach where the other is."""
        calls = (frame.function.order.get(frame.point, 0) for frame in self.frames)
        return (*calls, self.function.order.get(self.point, 0))


def merge(a: Path, b: Path, terms: Terms, guards: Guards, backing: Backing) -> Path:
    """One path that does as either does: values that differ become a choice."""
    guard = guards.either(a.guard, b.guard)
    choice = guards.term(guards.given(a.guard, guard))

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
            # Beyond the stack's end nothing is kept.
            continue
        x, y = a.words.get(number), b.words.get(number)
        x = backing.word(number) if x is None else x
        y = backing.word(number) if y is None else y
        words[number] = chosen(x, y, 64)
    arrays = {}
    for key in a.arrays.keys() | b.arrays.keys():
        first, second = a.arrays.get(key, ()), b.arrays.get(key, ())
        arrays[key] = first if first is second else ("ite", choice, first, second)
    return Path(a.function, a.point, guard, registers, words, a.frames, arrays)

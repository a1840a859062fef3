# SPDX-License-Identifier: GPL-2.0-only
"""The code of an image: functions are lifted when they are first reached, and their blocks compiled."""

from __future__ import annotations

from typing import Any

from conformance.oracles.image import Image
from conformance.symbolic.functions import Block, Function
from conformance.symbolic.instructions import Instruction, Jump, Op
from conformance.symbolic.lifting import lift
from conformance.symbolic.memory import Backing
from conformance.symbolic.operations import operations
from conformance.symbolic.terms import Terms, Value

__all__ = ["Code"]


class Code:
    """The image's code, lifted on demand and cached for all runs."""

    def __init__(self, image: Image, backing: Backing, terms: Terms) -> None:
        self.image = image
        self.terms = terms
        self._backing = backing
        self._instructions: dict[int, Instruction] = {}
        self._functions: dict[int, Function] = {}
        self._operations = operations(terms)
        starts = {segment.address: segment for segment in image.segments if segment.executable}
        self.names = {
            symbol.address: name
            for name, symbol in image.symbols.items()
            if any(start <= symbol.address < start + len(s.content) for start, s in starts.items())
        }

    def function(self, address: int) -> Function:
        """The function whose entry is at ``address``."""
        found = self._functions.get(address)
        if found is None:
            found = Function(address, self._instruction, self.is_entry)
            self._functions[address] = found
        return found

    def is_entry(self, address: int) -> bool:
        """Whether a symbol names ``address`` as a function's entry."""
        return address in self.names

    def name(self, address: int) -> str:
        """The name of the function at ``address``, or the address in words."""
        return self.names.get(address, f"the code at {address:#x}")

    def _instruction(self, address: int) -> Instruction:
        found = self._instructions.get(address)
        if found is None:
            code = self._backing.code(address)
            absent = Instruction(address, 1, jumps=[(0, Jump("none", "there is no code"))])
            found = self._instructions[address] = lift(code, address) if code else absent
        return found

    def compiled(self, block: Block) -> list[tuple[Any, ...]]:
        """A block's operations as tuples (how, out, a, b, width).

        ``how`` is a function of two values and a width, or the name of an operation that needs the path.
        """
        if block.code is None:
            block.code = [self._compile(op) for op in block.ops]
        return block.code

    def _compile(self, op: Op) -> tuple[Any, ...]:
        terms = self.terms
        how: Any = self._operations.get(op.name)
        width, at = op.width, op.at
        if op.name in ("LOAD", "STORE", "SELECT"):
            return (op.name, op.out, op.a, op.b, (width, at))
        if op.name == "EXTRACT":
            mask = (1 << width) - 1

            def how(a: Value, b: Value, n: int) -> Value:
                return (a >> at) & mask if a.__class__ is int else terms.extract(a, at, n)

        elif op.name == "EXTEND":

            def how(a: Value, b: Value, n: int) -> Value:
                return terms.zero_extend(a, n, at)

        elif op.name == "SIGN":

            def how(a: Value, b: Value, n: int) -> Value:
                return terms.sign_extend(a, n, at)

        elif op.name == "PIECE":

            def how(a: Value, b: Value, n: int) -> Value:
                return terms.concat((a, at), (b, n))

        elif op.name == "INSERT":

            def how(a: Value, b: Value, n: int) -> Value:
                above = 64 - at - n
                return terms.concat(
                    (terms.extract(a, at + n, above) if above else 0, above),
                    (b, n),
                    (terms.extract(a, 0, at) if at else 0, at),
                )

        elif op.name == "PLACES":

            def how(a: Value, b: Value, n: int) -> Value:
                fits = terms.ult(a, 1 << at, n)
                return terms.ite(fits, terms.extract(a, 0, at), (1 << at) - 1, at)

        elif how is None:
            return ("UNKNOWN", op.out, op.a, op.b, op.name)
        return (how, op.out, op.a, op.b, width)

# SPDX-License-Identifier: GPL-2.0-only
"""Bit-vector arithmetic: add, subtract, multiply and shift, simplified as terms are made."""

from __future__ import annotations

from conformance.symbolic.values import Term, TermFactory, Value, known_bits, low_zeros

__all__ = ["Arithmetic"]


class Arithmetic(TermFactory):
    """Arithmetic modulo 2 to the width. A shift count has the width of the shifted value."""

    def add(self, a: Value, b: Value, width: int) -> Value:
        """Sum."""
        if a.__class__ is int:
            if b.__class__ is int:
                return (a + b) & ((1 << width) - 1)
            a, b = b, a
        assert isinstance(a, Term)
        if isinstance(b, Term):
            if (a.zeros | b.zeros) == (1 << width) - 1:
                return self.or_(a, b, width)
            if a.op == "add" and a.args[1].__class__ is int:
                return self.add(self.add(a.args[0], b, width), a.args[1], width)
            if b.op == "add" and b.args[1].__class__ is int:
                return self.add(self.add(a, b.args[0], width), b.args[1], width)
            if a.number > b.number:
                a, b = b, a
            return self.make("add", (a, b), width, low_zeros(a.zeros & b.zeros))
        if b == 0:
            return a
        if b & ~a.zeros & ((1 << width) - 1) == 0:
            return self.or_(a, b, width)
        if a.op == "add" and a.args[1].__class__ is int:
            return self.add(a.args[0], (a.args[1] + b) & ((1 << width) - 1), width)
        if a.op == "ite" and (a.args[1].__class__ is int or a.args[2].__class__ is int):
            return self.ite(a.args[0], self.add(a.args[1], b, width), self.add(a.args[2], b, width), width)
        return self.make("add", (a, b), width, low_zeros(a.zeros & ~b))

    def sub(self, a: Value, b: Value, width: int) -> Value:
        """Difference."""
        if b.__class__ is int:
            return self.add(a, -b & ((1 << width) - 1), width)
        if a is b:
            return 0
        assert isinstance(b, Term)
        if (
            a.__class__ is int
            and b.op == "ite"
            and (b.args[1].__class__ is int or b.args[2].__class__ is int)
        ):
            return self.ite(b.args[0], self.sub(a, b.args[1], width), self.sub(a, b.args[2], width), width)
        if a == 0 and b.op == "concat" and len(b.args) == 2 and b.args[0][0] == 0 and b.args[1][1] == 1:
            return self.sign_extend(b.args[1][0], 1, width - 1)
        return self.make("sub", (a, b), width, low_zeros(known_bits(a, width)[0] & b.zeros))

    def mul(self, a: Value, b: Value, width: int) -> Value:
        """Product."""
        if a.__class__ is int:
            if b.__class__ is int:
                return (a * b) & ((1 << width) - 1)
            a, b = b, a
        if b.__class__ is int:
            assert isinstance(b, int)
            if b & (b - 1) == 0:
                return 0 if b == 0 else self.shl(a, b.bit_length() - 1, width)
        elif isinstance(a, Term) and isinstance(b, Term) and a.number > b.number:
            a, b = b, a
        return self.make("mul", (a, b), width)

    # Shifts

    def shl(self, a: Value, by: Value, width: int) -> Value:
        """Shift left."""
        if by.__class__ is int:
            assert isinstance(by, int)
            if by >= width:
                return 0
            return self.concat((self.extract(a, 0, width - by), width - by), (0, by))
        return self.make("shl", (a, by), width, low_zeros(known_bits(a, width)[0]))

    def shr(self, a: Value, by: Value, width: int) -> Value:
        """Logical shift right."""
        if by.__class__ is int:
            assert isinstance(by, int)
            if by >= width:
                return 0
            return self.concat((0, by), (self.extract(a, by, width - by), width - by))
        return self.make("shr", (a, by), width)

    def sar(self, a: Value, by: Value, width: int) -> Value:
        """Arithmetic shift right."""
        if by.__class__ is int:
            assert isinstance(by, int)
            by = min(by, width - 1)
            return self.sign_extend(self.extract(a, by, width - by), width - by, by)
        return self.make("sar", (a, by), width)

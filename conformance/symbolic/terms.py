# SPDX-License-Identifier: GPL-2.0-only
"""Terms: bit-vectors that depend on inputs, hash-consed and simplified as they are made.

Machine code is full of masks, single bits and parts of words. So every term has its known bits, those that
are 0 or 1 for all inputs, and an extract is taken from the parts of a concatenation. z3 simplifies the rest.
"""

from __future__ import annotations

from conformance.symbolic.arithmetic import Arithmetic
from conformance.symbolic.bitwise import Bitwise
from conformance.symbolic.concatenation import Concatenation
from conformance.symbolic.values import Term, Value, alike, known_bits

__all__ = ["Term", "Terms", "Value"]


class Terms(Bitwise, Concatenation, Arithmetic):
    """All operations. Widths are in bits; an int must fit its width.

    This class adds the comparisons, which are one bit wide, and ite.
    """

    def eq(self, a: Value, b: Value, width: int) -> Value:
        """Whether two values of ``width`` are equal."""
        if a.__class__ is int:
            if b.__class__ is int:
                return int(a == b)
            a, b = b, a
        assert isinstance(a, Term)
        if a is b:
            return 1
        known = known_bits(b, width)
        if a.zeros & known[1] or a.ones & known[0]:
            return 0
        if isinstance(b, Term):
            if width == 1:
                return self.not_(self.xor(a, b, 1), 1)
            if a.op == "concat" and alike(a, b):
                return self._all_eq(a, b)
            if a.number > b.number:
                a, b = b, a
            return self.make("eq", (a, b, width), 1)
        op, args = a.op, a.args
        if width == 1:
            return a if b else self.not_(a, 1)
        if op == "concat":
            return self._all_eq(a, b)
        if op == "ite" and (args[1].__class__ is int or args[2].__class__ is int):
            return self.ite(args[0], self.eq(args[1], b, width), self.eq(args[2], b, width), 1)
        if op in ("xor", "add") and args[1].__class__ is int:
            other = args[1] ^ b if op == "xor" else (b - args[1]) & ((1 << width) - 1)
            return self.eq(args[0], other, width)
        if op == "sub" and b == 0:
            return self.eq(args[0], args[1], width)
        return self.make("eq", (a, b, width), 1)

    def _all_eq(self, a: Term, b: Value) -> Value:
        """eq() of a concatenation, part by part."""
        at = a.width
        found: Value = 1
        for piece, size in a.args:
            at -= size
            found = self.and_(found, self.eq(piece, self.extract(b, at, size), size), 1)
        return found

    def ult(self, a: Value, b: Value, width: int) -> Value:
        """Whether ``a`` is less than ``b``."""
        if a.__class__ is int and b.__class__ is int:
            return int(a < b)
        if a is b:
            return 0
        full = (1 << width) - 1
        a_known, b_known = known_bits(a, width), known_bits(b, width)
        if full & ~a_known[0] < b_known[1]:
            return 1
        if a_known[1] >= full & ~b_known[0]:
            return 0
        if b == 1:
            return self.eq(a, 0, width)
        if a == 0:
            return self.not_(self.eq(b, 0, width), 1)
        size = max((full & ~a_known[0]).bit_length(), (full & ~b_known[0]).bit_length())
        if size < width:
            return self.ult(self.extract(a, 0, size), self.extract(b, 0, size), size)
        return self.make("ult", (a, b, width), 1)

    def slt(self, a: Value, b: Value, width: int) -> Value:
        """Whether ``a`` is less than ``b``, as signed numbers."""
        if a is b:
            return 0
        top = 1 << (width - 1)
        if b == 0:
            return self.extract(a, width - 1, 1)
        if a.__class__ is int and b.__class__ is int:
            return int(a ^ top < b ^ top)
        if known_bits(a, width)[0] & top and known_bits(b, width)[0] & top:
            return self.ult(a, b, width)
        return self.make("slt", (a, b, width), 1)

    def overflow(self, op: str, a: Value, b: Value, width: int) -> Value:
        """Whether an addition ("carry" unsigned, "scarry" signed) or a subtraction ("sborrow") overflows."""
        if op == "carry":
            return self.ult(self.add(a, b, width), a, width)
        if b == 0:
            return 0
        if a.__class__ is int and b.__class__ is int:
            top, sign = 1 << (width - 1), width - 1
            done = (a + b if op == "scarry" else a - b) & ((1 << width) - 1)
            other = b if op == "scarry" else b ^ ((1 << width) - 1)
            return int(((a ^ done) & (other ^ done) & top) >> sign)
        return self.make(op, (a, b, width), 1)

    def less_by_flags(self, a: Term, b: Term) -> Value | None:
        """The signed comparison, if ``a`` xor ``b`` is SF xor OF of one subtraction; else None."""
        if b.op == "sborrow":
            a, b = b, a
        if a.op != "sborrow":
            return None
        left, right, width = a.args
        if self.extract(self.sub(left, right, width), width - 1, 1) is b:
            return self.slt(left, right, width)
        return None

    def popcount(self, a: Value, width: int) -> Value:
        """The number of bits that are 1."""
        if a.__class__ is int:
            return bin(a).count("1")
        return self.make("popcount", (a,), width)

    def ite(self, condition: Value, a: Value, b: Value, width: int) -> Value:
        """``a`` if the condition holds, else ``b``."""
        if condition.__class__ is int:
            return a if condition else b
        assert isinstance(condition, Term)
        if a is b or (a.__class__ is int and a == b):
            return a
        if condition.op == "xor" and condition.args[1] == 1 and condition.width == 1:
            return self.ite(condition.args[0], b, a, width)
        if width == 1:
            if a.__class__ is int:
                return self.or_(condition, b, 1) if a else self.and_(self.not_(condition, 1), b, 1)
            if b.__class__ is int:
                return self.or_(self.not_(condition, 1), a, 1) if b else self.and_(condition, a, 1)
        if isinstance(a, Term) and a.op == "ite" and a.args[0] is condition:
            return self.ite(condition, a.args[1], b, width)
        if isinstance(b, Term) and b.op == "ite" and b.args[0] is condition:
            return self.ite(condition, a, b.args[2], width)
        if width > 1 and (a == 0 or a == 1) and (b == 0 or b == 1):
            return self.concat((0, width - 1), (self.ite(condition, a, b, 1), 1))
        if isinstance(a, Term) and isinstance(b, Term) and a.op == "concat" and alike(a, b):
            pieces = [
                (self.ite(condition, x, y, n), n) for (x, n), (y, _) in zip(a.args, b.args, strict=True)
            ]
            return self.concat(*pieces)
        a_known, b_known = known_bits(a, width), known_bits(b, width)
        return self.make("ite", (condition, a, b), width, a_known[0] & b_known[0], a_known[1] & b_known[1])

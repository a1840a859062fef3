# SPDX-License-Identifier: GPL-2.0-only
"""Bitwise and, or, exclusive or and not, simplified as terms are made."""

from __future__ import annotations

from conformance.symbolic.values import Term, TermFactory, Value, alike

__all__ = ["Bitwise"]


class Bitwise(TermFactory):
    """Bitwise operations. On a concatenation they are applied to each of its parts."""

    def and_(self, a: Value, b: Value, width: int) -> Value:
        """Bitwise and."""
        if a.__class__ is int:
            if b.__class__ is int:
                return a & b
            a, b = b, a
        assert isinstance(a, Term)
        if isinstance(b, Term):
            if a is b:
                return a
            if self._negated(a, b):
                return 0
            found = self._inside("and", a, b, width)
            if found is not None:
                return found
            if a.number > b.number:
                a, b = b, a
            return self.make("and", (a, b), width, a.zeros | b.zeros, a.ones & b.ones)
        full = (1 << width) - 1
        dropped = full & ~b
        if dropped & ~a.zeros == 0:
            return a
        if b & ~a.zeros == b & a.ones:
            return b & a.ones
        # Normalise the constant: bits that are known to be 0 are kept.
        if a.op == "and" and a.args[1].__class__ is int:
            return self.and_(a.args[0], a.args[1] & b, width)
        if a.op in ("or", "xor") and a.args[1].__class__ is int and a.args[1] & b == 0:
            return self.and_(a.args[0], b, width)
        found = self._inside("and", a, b, width)
        if found is not None:
            return found
        if b & (b - 1) == 0:
            at = b.bit_length() - 1
            return self.concat((0, width - 1 - at), (self.extract(a, at, 1), 1), (0, at))
        return self.make("and", (a, b), width, a.zeros | dropped, a.ones & b)

    def or_(self, a: Value, b: Value, width: int) -> Value:
        """Bitwise or."""
        if a.__class__ is int:
            if b.__class__ is int:
                return a | b
            a, b = b, a
        assert isinstance(a, Term)
        if isinstance(b, Term):
            if a is b:
                return a
            if self._negated(a, b):
                return (1 << width) - 1
            found = self._inside("or", a, b, width)
            if found is not None:
                return found
            if a.number > b.number:
                a, b = b, a
            return self.make("or", (a, b), width, a.zeros & b.zeros, a.ones | b.ones)
        if b & ~a.ones == 0:
            return a
        if b == (1 << width) - 1:
            return b
        if a.op == "or" and a.args[1].__class__ is int:
            return self.or_(a.args[0], a.args[1] | b, width)
        found = self._inside("or", a, b, width)
        if found is not None:
            return found
        return self.make("or", (a, b), width, a.zeros & ~b, a.ones | b)

    def xor(self, a: Value, b: Value, width: int) -> Value:
        """Bitwise exclusive or; with all ones it is the negation."""
        if a.__class__ is int:
            if b.__class__ is int:
                return a ^ b
            a, b = b, a
        assert isinstance(a, Term)
        if isinstance(b, Term):
            if a is b:
                return 0
            if self._negated(a, b):
                return (1 << width) - 1
            if width == 1:
                less = self.less_by_flags(a, b)
                if less is not None:
                    return less
            found = self._inside("xor", a, b, width)
            if found is not None:
                return found
            if a.number > b.number:
                a, b = b, a
            zeros = a.zeros & b.zeros | a.ones & b.ones
            return self.make("xor", (a, b), width, zeros, a.zeros & b.ones | a.ones & b.zeros)
        if b == 0:
            return a
        if a.op == "xor" and a.args[1].__class__ is int:
            return self.xor(a.args[0], a.args[1] ^ b, width)
        found = self._inside("xor", a, b, width)
        if found is not None:
            return found
        return self.make("xor", (a, b), width, a.zeros & ~b | a.ones & b, a.ones & ~b | a.zeros & b)

    def not_(self, a: Value, width: int) -> Value:
        """Bitwise not."""
        return self.xor(a, (1 << width) - 1, width)

    def _negated(self, a: Term, b: Term) -> bool:
        full = (1 << a.width) - 1
        return (a.op == "xor" and a.args[0] is b and a.args[1] == full) or (
            b.op == "xor" and b.args[0] is a and b.args[1] == full
        )

    def _inside(self, op: str, a: Term, b: Value, width: int) -> Value | None:
        """The operation on each part of a concatenation or on both arms of an ite; None if it is neither."""
        if isinstance(b, Term) and a.op != "concat":
            a, b = b, a
        apply = {"and": self.and_, "or": self.or_, "xor": self.xor}[op]
        if a.op == "concat" and (b.__class__ is int or (isinstance(b, Term) and alike(a, b))):
            parts, at = [], width
            for part, size in a.args:
                at -= size
                parts.append((apply(part, self.extract(b, at, size), size), size))
            return self.concat(*parts)
        if a.op == "ite" and b.__class__ is int and a.args[1].__class__ is int and a.args[2].__class__ is int:
            return self.ite(a.args[0], apply(a.args[1], b, width), apply(a.args[2], b, width), width)
        return None

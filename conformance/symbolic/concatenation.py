# SPDX-License-Identifier: GPL-2.0-only
"""Concatenation, extraction and extension of bit-vectors, simplified as terms are made."""

from __future__ import annotations

from conformance.symbolic.values import Term, TermFactory, Value, known_bits, simplifies_extract

__all__ = ["Concatenation"]


class Concatenation(TermFactory):
    """concat, extract and extend; an extract of a concat is taken from its parts."""

    def concat(self, *pieces: tuple[Value, int]) -> Value:
        """Concatenate pairs of a value and its width, the most significant first."""
        flat: list[tuple[Value, int]] = []
        for value, size in pieces:
            if size == 0:
                continue
            if isinstance(value, Term) and value.op == "concat":
                for inner in value.args:
                    self._append(flat, *inner)
            else:
                self._append(flat, value, size)
        if len(flat) == 1:
            return flat[0][0]
        width = zeros = ones = 0
        for value, size in flat:
            width += size
            known = known_bits(value, size)
            zeros = zeros << size | known[0]
            ones = ones << size | known[1]
        return self.make("concat", tuple(flat), width, zeros, ones)

    def _append(self, flat: list[tuple[Value, int]], value: Value, size: int) -> None:
        """Append a part at the low end; join it with its neighbour if both are adjacent bits of one term."""
        if flat:
            above, above_size = flat[-1]
            if above.__class__ is int and value.__class__ is int:
                flat[-1] = (above << size | value, above_size + size)
                return
            if isinstance(above, Term) and isinstance(value, Term):
                joined = self._joined(above, above_size, value, size)
                if joined is not None:
                    flat[-1] = (joined, above_size + size)
                    return
        flat.append((value, size))

    def _joined(self, above: Term, above_size: int, below: Term, size: int) -> Value | None:
        if above.op != "extract":
            return None
        source, at = above.args
        if below.op == "extract" and below.args[0] is source and below.args[1] + size == at:
            return self.extract(source, below.args[1], above_size + size)
        if below is source and size == at:
            return None
        return None

    def extract(self, a: Value, at: int, size: int) -> Value:
        """``size`` bits of a value, from bit ``at``."""
        if a.__class__ is int:
            return (a >> at) & ((1 << size) - 1)
        assert isinstance(a, Term)
        if at == 0 and size == a.width:
            return a
        mask = (1 << size) - 1
        zeros, ones = a.zeros >> at & mask, a.ones >> at & mask
        if zeros | ones == mask:
            return ones
        op, args = a.op, a.args
        if op == "extract":
            return self.extract(args[0], args[1] + at, size)
        if op == "concat":
            pieces, low = [], a.width
            for piece, width in args:
                low -= width
                start, end = max(low, at), min(low + width, at + size)
                if start < end:
                    pieces.append((self.extract(piece, start - low, end - start), end - start))
            return self.concat(*pieces)
        if op in ("and", "or", "xor"):
            apply = {"and": self.and_, "or": self.or_, "xor": self.xor}[op]
            return apply(self.extract(args[0], at, size), self.extract(args[1], at, size), size)
        if op == "sext":
            inner = a.width - args[1]
            if at + size <= inner:
                return self.extract(args[0], at, size)
            if at >= inner - 1:
                return self.sign_extend(self.extract(args[0], inner - 1, 1), 1, size - 1)
        if op == "ite" and (simplifies_extract(args[1]) or simplifies_extract(args[2])):
            return self.ite(args[0], self.extract(args[1], at, size), self.extract(args[2], at, size), size)
        if at == 0 and op in ("add", "sub", "mul"):
            apply = {"add": self.add, "sub": self.sub, "mul": self.mul}[op]
            return apply(self.extract(args[0], 0, size), self.extract(args[1], 0, size), size)
        return self.make("extract", (a, at), size, zeros, ones)

    def zero_extend(self, a: Value, width: int, more: int) -> Value:
        """Extend a value of ``width`` by ``more`` zero bits."""
        return a if a.__class__ is int else self.concat((0, more), (a, width))

    def sign_extend(self, a: Value, width: int, more: int) -> Value:
        """Extend a value of ``width`` by ``more`` copies of its sign bit."""
        if more == 0:
            return a
        sign = self.extract(a, width - 1, 1)
        if sign.__class__ is int:
            return self.concat(((1 << more) - 1 if sign else 0, more), (a, width))
        return self.make("sext", (a, more), width + more)

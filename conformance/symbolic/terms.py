# SPDX-License-Identifier: GPL-2.0-only
"""Words that depend on inputs: terms, made once each and simplified as they are made.

A value is a Python int where it is known and a Term where it is not. Machine code is full of masks,
single bits and pieces of words, so every term knows which of its bits are 0 or 1 whatever the inputs are,
and pieces are looked for in what they were put together from. What is left over is z3's business.
"""

from __future__ import annotations

from typing import Any, TypeAlias

__all__ = ["Term", "Terms", "Value"]


class Term:
    """An operation on values, ``width`` bits wide; ``zeros`` and ``ones`` are the bits that are known.

    Terms of one Terms are the same object if they are equal. The operations are those of Terms, and
    "leaf", a z3 term or a name that nothing is known of.
    """

    __slots__ = ("args", "number", "ones", "op", "width", "zeros")

    def __init__(self, op: str, args: tuple[Any, ...], width: int, number: int, zeros: int, ones: int) -> None:
        self.op = op
        self.args = args
        self.width = width
        self.number = number
        self.zeros = zeros
        self.ones = ones

    def __repr__(self) -> str:
        return f"{self.op}{self.args}:{self.width}"


Value: TypeAlias = int | Term


class Terms:
    """Makes terms. Widths are in bits; ints that are passed in have no bits beyond the width."""

    def __init__(self) -> None:
        self._made: dict[tuple[Any, ...], Term] = {}

    def _make(self, op: str, args: tuple[Any, ...], width: int, zeros: int = 0, ones: int = 0) -> Value:
        """The term, unless all its bits are known."""
        key = (op, args, width)
        found = self._made.get(key)
        if found is None:
            if zeros | ones == (1 << width) - 1:
                return ones
            found = self._made[key] = Term(op, args, width, len(self._made), zeros, ones)
        return found

    def leaf(self, what: Any, width: int) -> Term:
        """An input: what it is to be called, or a z3 term."""
        key = ("leaf", what, width)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = Term("leaf", (what,), width, len(self._made), 0, 0)
        return found

    # Bitwise

    def and_(self, a: Value, b: Value, width: int) -> Value:
        """Bitwise and."""
        if a.__class__ is int:
            if b.__class__ is int:
                return a & b  # type: ignore[operator]
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
            return self._make("and", (a, b), width, a.zeros | b.zeros, a.ones & b.ones)
        full = (1 << width) - 1
        dropped = full & ~b
        if dropped & ~a.zeros == 0:
            return a
        if b & ~a.zeros == b & a.ones:
            return b & a.ones
        # Of the constant only what decides: bits that are 0 anyway are written as kept.
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
        return self._make("and", (a, b), width, a.zeros | dropped, a.ones & b)

    def or_(self, a: Value, b: Value, width: int) -> Value:
        """Bitwise or."""
        if a.__class__ is int:
            if b.__class__ is int:
                return a | b  # type: ignore[operator]
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
            return self._make("or", (a, b), width, a.zeros & b.zeros, a.ones | b.ones)
        if b & ~a.ones == 0:
            return a
        if b == (1 << width) - 1:
            return b
        if a.op == "or" and a.args[1].__class__ is int:
            return self.or_(a.args[0], a.args[1] | b, width)
        found = self._inside("or", a, b, width)
        if found is not None:
            return found
        return self._make("or", (a, b), width, a.zeros & ~b, a.ones | b)

    def xor(self, a: Value, b: Value, width: int) -> Value:
        """Bitwise exclusive or; with all ones it is what negates."""
        if a.__class__ is int:
            if b.__class__ is int:
                return a ^ b  # type: ignore[operator]
            a, b = b, a
        assert isinstance(a, Term)
        if isinstance(b, Term):
            if a is b:
                return 0
            if self._negated(a, b):
                return (1 << width) - 1
            if width == 1:
                less = self._signed_less(a, b)
                if less is not None:
                    return less
            found = self._inside("xor", a, b, width)
            if found is not None:
                return found
            if a.number > b.number:
                a, b = b, a
            zeros = a.zeros & b.zeros | a.ones & b.ones
            return self._make("xor", (a, b), width, zeros, a.zeros & b.ones | a.ones & b.zeros)
        if b == 0:
            return a
        if a.op == "xor" and a.args[1].__class__ is int:
            return self.xor(a.args[0], a.args[1] ^ b, width)
        found = self._inside("xor", a, b, width)
        if found is not None:
            return found
        return self._make("xor", (a, b), width, a.zeros & ~b | a.ones & b, a.ones & ~b | a.zeros & b)

    def not_(self, a: Value, width: int) -> Value:
        """Bitwise not."""
        return self.xor(a, (1 << width) - 1, width)

    def _negated(self, a: Term, b: Term) -> bool:
        full = (1 << a.width) - 1
        return (a.op == "xor" and a.args[0] is b and a.args[1] == full) or (
            b.op == "xor" and b.args[0] is a and b.args[1] == full
        )

    def _inside(self, op: str, a: Term, b: Value, width: int) -> Value | None:
        """A bitwise operation done piece by piece, or in both cases, where an operand offers that."""
        if isinstance(b, Term) and a.op != "concat":
            a, b = b, a
        apply = {"and": self.and_, "or": self.or_, "xor": self.xor}[op]
        if a.op == "concat" and (b.__class__ is int or (isinstance(b, Term) and _alike(a, b))):
            pieces, at = [], width
            for piece, size in a.args:
                at -= size
                pieces.append((apply(piece, self.extract(b, at, size), size), size))
            return self.concat(*pieces)
        if a.op == "ite" and b.__class__ is int and a.args[1].__class__ is int and a.args[2].__class__ is int:
            return self.ite(a.args[0], apply(a.args[1], b, width), apply(a.args[2], b, width), width)
        return None

    # Pieces

    def concat(self, *pieces: tuple[Value, int]) -> Value:
        """Values and their widths, the highest first, put together."""
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
            known = _known(value, size)
            zeros = zeros << size | known[0]
            ones = ones << size | known[1]
        return self._make("concat", tuple(flat), width, zeros, ones)

    def _append(self, flat: list[tuple[Value, int]], value: Value, size: int) -> None:
        """Add a piece at the low end; neighbours that belong together become one."""
        if flat:
            above, above_size = flat[-1]
            if above.__class__ is int and value.__class__ is int:
                flat[-1] = (above << size | value, above_size + size)  # type: ignore[operator]
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
        """``size`` bits of a value from bit ``at`` on."""
        if a.__class__ is int:
            return (a >> at) & ((1 << size) - 1)  # type: ignore[operator]
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
        if op == "ite" and (_in_pieces(args[1]) or _in_pieces(args[2])):
            return self.ite(args[0], self.extract(args[1], at, size), self.extract(args[2], at, size), size)
        if at == 0 and op in ("add", "sub", "mul"):
            apply = {"add": self.add, "sub": self.sub, "mul": self.mul}[op]
            return apply(self.extract(args[0], 0, size), self.extract(args[1], 0, size), size)
        return self._make("extract", (a, at), size, zeros, ones)

    def zero_extend(self, a: Value, width: int, more: int) -> Value:
        """``more`` zero bits above a value of ``width``."""
        return a if a.__class__ is int else self.concat((0, more), (a, width))

    def sign_extend(self, a: Value, width: int, more: int) -> Value:
        """``more`` copies of the highest bit above a value of ``width``."""
        if more == 0:
            return a
        sign = self.extract(a, width - 1, 1)
        if sign.__class__ is int:
            return self.concat(((1 << more) - 1 if sign else 0, more), (a, width))
        return self._make("sext", (a, more), width + more)

    # Arithmetic

    def add(self, a: Value, b: Value, width: int) -> Value:
        """Sum."""
        if a.__class__ is int:
            if b.__class__ is int:
                return (a + b) & ((1 << width) - 1)  # type: ignore[operator]
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
            return self._make("add", (a, b), width, _low_zeros(a.zeros & b.zeros))
        if b == 0:
            return a
        if b & ~a.zeros & ((1 << width) - 1) == 0:
            return self.or_(a, b, width)
        if a.op == "add" and a.args[1].__class__ is int:
            return self.add(a.args[0], (a.args[1] + b) & ((1 << width) - 1), width)
        if a.op == "ite" and (a.args[1].__class__ is int or a.args[2].__class__ is int):
            return self.ite(a.args[0], self.add(a.args[1], b, width), self.add(a.args[2], b, width), width)
        return self._make("add", (a, b), width, _low_zeros(a.zeros & ~b))

    def sub(self, a: Value, b: Value, width: int) -> Value:
        """Difference."""
        if b.__class__ is int:
            return self.add(a, -b & ((1 << width) - 1), width)  # type: ignore[operator]
        if a is b:
            return 0
        assert isinstance(b, Term)
        if a.__class__ is int and b.op == "ite" and (b.args[1].__class__ is int or b.args[2].__class__ is int):
            return self.ite(b.args[0], self.sub(a, b.args[1], width), self.sub(a, b.args[2], width), width)
        if a == 0 and b.op == "concat" and len(b.args) == 2 and b.args[0][0] == 0 and b.args[1][1] == 1:
            return self.sign_extend(b.args[1][0], 1, width - 1)
        return self._make("sub", (a, b), width, _low_zeros(_known(a, width)[0] & b.zeros))

    def mul(self, a: Value, b: Value, width: int) -> Value:
        """Product."""
        if a.__class__ is int:
            if b.__class__ is int:
                return (a * b) & ((1 << width) - 1)  # type: ignore[operator]
            a, b = b, a
        if b.__class__ is int:
            assert isinstance(b, int)
            if b & (b - 1) == 0:
                return 0 if b == 0 else self.shl(a, b.bit_length() - 1, width)
        elif a.number > b.number:  # type: ignore[union-attr]
            a, b = b, a
        return self._make("mul", (a, b), width)

    # Shifts: the number of places is as wide as what is shifted; so many or more give 0 or signs.

    def shl(self, a: Value, by: Value, width: int) -> Value:
        """Shift to the left."""
        if by.__class__ is int:
            assert isinstance(by, int)
            if by >= width:
                return 0
            return self.concat((self.extract(a, 0, width - by), width - by), (0, by))
        return self._make("shl", (a, by), width, _low_zeros(_known(a, width)[0]))

    def shr(self, a: Value, by: Value, width: int) -> Value:
        """Shift to the right, zeros from the left."""
        if by.__class__ is int:
            assert isinstance(by, int)
            if by >= width:
                return 0
            return self.concat((0, by), (self.extract(a, by, width - by), width - by))
        return self._make("shr", (a, by), width)

    def sar(self, a: Value, by: Value, width: int) -> Value:
        """Shift to the right, signs from the left."""
        if by.__class__ is int:
            assert isinstance(by, int)
            by = min(by, width - 1)
            return self.sign_extend(self.extract(a, by, width - by), width - by, by)
        return self._make("sar", (a, by), width)

    # Decisions: one bit wide

    def eq(self, a: Value, b: Value, width: int) -> Value:
        """Whether two values of ``width`` are equal."""
        if a.__class__ is int:
            if b.__class__ is int:
                return int(a == b)
            a, b = b, a
        assert isinstance(a, Term)
        if a is b:
            return 1
        known = _known(b, width)
        if a.zeros & known[1] or a.ones & known[0]:
            return 0
        if isinstance(b, Term):
            if width == 1:
                return self.not_(self.xor(a, b, 1), 1)
            if a.op == "concat" and _alike(a, b):
                return self._all_eq(a, b)
            if a.number > b.number:
                a, b = b, a
            return self._make("eq", (a, b, width), 1)
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
            return self.eq(*args, width)
        return self._make("eq", (a, b, width), 1)

    def _all_eq(self, a: Term, b: Value) -> Value:
        """eq() of a concat, piece by piece."""
        at, found = a.width, 1
        for piece, size in a.args:
            at -= size
            found = self.and_(found, self.eq(piece, self.extract(b, at, size), size), 1)  # type: ignore
        return found

    def ult(self, a: Value, b: Value, width: int) -> Value:
        """Whether ``a`` is less than ``b``."""
        if a.__class__ is int and b.__class__ is int:
            return int(a < b)  # type: ignore[operator]
        if a is b:
            return 0
        full = (1 << width) - 1
        a_known, b_known = _known(a, width), _known(b, width)
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
        return self._make("ult", (a, b, width), 1)

    def slt(self, a: Value, b: Value, width: int) -> Value:
        """The same of signed numbers."""
        if a is b:
            return 0
        top = 1 << (width - 1)
        if b == 0:
            return self.extract(a, width - 1, 1)
        if a.__class__ is int and b.__class__ is int:
            return int(a ^ top < b ^ top)  # type: ignore[operator]
        if _known(a, width)[0] & top and _known(b, width)[0] & top:
            return self.ult(a, b, width)
        return self._make("slt", (a, b, width), 1)

    def overflow(self, op: str, a: Value, b: Value, width: int) -> Value:
        """Whether the sum ("carry" unsigned, "scarry" signed) or the difference ("sborrow") overflows."""
        if op == "carry":
            return self.ult(self.add(a, b, width), a, width)
        if b == 0:
            return 0
        if a.__class__ is int and b.__class__ is int:
            top, sign = 1 << (width - 1), width - 1
            done = (a + b if op == "scarry" else a - b) & ((1 << width) - 1)  # type: ignore[operator]
            other = b if op == "scarry" else b ^ ((1 << width) - 1)  # type: ignore[operator]
            return int(((a ^ done) & (other ^ done) & top) >> sign)  # type: ignore[operator]
        return self._make(op, (a, b, width), 1)

    def _signed_less(self, a: Term, b: Term) -> Value | None:
        """What a signed comparison makes of sign and overflow of a difference."""
        if b.op == "sborrow":
            a, b = b, a
        if a.op != "sborrow":
            return None
        left, right, width = a.args
        if self.extract(self.sub(left, right, width), width - 1, 1) is b:
            return self.slt(left, right, width)
        return None

    def popcount(self, a: Value, width: int) -> Value:
        """How many bits are 1."""
        if a.__class__ is int:
            return bin(a).count("1")  # type: ignore[arg-type]
        return self._make("popcount", (a,), width)

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
        if isinstance(a, Term) and isinstance(b, Term) and a.op == "concat" and _alike(a, b):
            pieces = [(self.ite(condition, x, y, n), n) for (x, n), (y, _) in zip(a.args, b.args, strict=True)]
            return self.concat(*pieces)
        a_known, b_known = _known(a, width), _known(b, width)
        return self._make("ite", (condition, a, b), width, a_known[0] & b_known[0], a_known[1] & b_known[1])


def _known(value: Value, width: int) -> tuple[int, int]:
    """The bits known to be 0, and to be 1."""
    if isinstance(value, Term):
        return value.zeros, value.ones
    return ~value & ((1 << width) - 1), value


def _low_zeros(zeros: int) -> int:
    """The known zeros at the low end, without any beyond the first bit that is not one."""
    return (zeros ^ (zeros + 1)) >> 1


def _alike(a: Term, b: Value) -> bool:
    """Whether both are put together of pieces of the same widths."""
    return isinstance(b, Term) and b.op == "concat" and [n for _, n in a.args] == [n for _, n in b.args]


def _in_pieces(value: Value) -> bool:
    return value.__class__ is int or (isinstance(value, Term) and value.op in ("concat", "ite"))

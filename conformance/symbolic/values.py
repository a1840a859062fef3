# SPDX-License-Identifier: GPL-2.0-only
"""Values: a Python int where it is known, a Term where it depends on inputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeAlias

__all__ = ["UNDEFINED", "Term", "TermFactory", "Value", "alike", "in_pieces", "known_bits", "low_zeros"]

UNDEFINED = "undefined"
"""What the names of variables begin with that stand for registers and memory that nobody has written."""


class Term:
    """An operation on values, ``width`` bits wide; ``zeros`` and ``ones`` are the bits that are known.

    Of those that one Terms has made two that are equal are the same object. The operations are those of
    Terms, and "leaf": a z3 term, or a name that nothing is known of.
    """

    __slots__ = ("args", "number", "ones", "op", "width", "zeros")

    def __init__(
        self, op: str, args: tuple[Any, ...], width: int, number: int, zeros: int, ones: int
    ) -> None:
        self.op = op
        self.args = args
        self.width = width
        self.number = number
        self.zeros = zeros
        self.ones = ones

    def __repr__(self) -> str:
        return f"{self.op}{self.args}:{self.width}"


Value: TypeAlias = int | Term


class TermFactory(ABC):
    """Makes terms, each once."""

    def __init__(self) -> None:
        self._made: dict[tuple[Any, ...], Term] = {}

    def make(self, op: str, args: tuple[Any, ...], width: int, zeros: int = 0, ones: int = 0) -> Value:
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

    def unknown(self, what: str, width: int) -> Term:
        """What nobody has written: a register, memory. Nothing can be proved of it."""
        return self.leaf(f"{UNDEFINED} {what}", width)

    # What the parts of Terms need of each other.

    @abstractmethod
    def and_(self, a: Value, b: Value, width: int) -> Value:
        """Bitwise and."""

    @abstractmethod
    def or_(self, a: Value, b: Value, width: int) -> Value:
        """Bitwise or."""

    @abstractmethod
    def xor(self, a: Value, b: Value, width: int) -> Value:
        """Bitwise exclusive or."""

    @abstractmethod
    def add(self, a: Value, b: Value, width: int) -> Value:
        """Sum."""

    @abstractmethod
    def sub(self, a: Value, b: Value, width: int) -> Value:
        """Difference."""

    @abstractmethod
    def mul(self, a: Value, b: Value, width: int) -> Value:
        """Product."""

    @abstractmethod
    def less_by_flags(self, a: Term, b: Term) -> Value | None:
        """What exclusive or makes of the sign and the overflow of a difference: a signed comparison."""

    @abstractmethod
    def concat(self, *pieces: tuple[Value, int]) -> Value:
        """Values and their widths, the highest first, put together."""

    @abstractmethod
    def extract(self, a: Value, at: int, size: int) -> Value:
        """``size`` bits of a value from bit ``at`` on."""

    @abstractmethod
    def sign_extend(self, a: Value, width: int, more: int) -> Value:
        """``more`` copies of the highest bit above a value of ``width``."""

    @abstractmethod
    def ite(self, condition: Value, a: Value, b: Value, width: int) -> Value:
        """``a`` if the condition holds, else ``b``."""


def known_bits(value: Value, width: int) -> tuple[int, int]:
    """The bits known to be 0, and to be 1."""
    if isinstance(value, Term):
        return value.zeros, value.ones
    return ~value & ((1 << width) - 1), value


def low_zeros(zeros: int) -> int:
    """The known zeros at the low end, without any beyond the first bit that is not one."""
    return (zeros ^ (zeros + 1)) >> 1


def alike(a: Term, b: Value) -> bool:
    """Whether both are put together of pieces of the same widths."""
    return isinstance(b, Term) and b.op == "concat" and [n for _, n in a.args] == [n for _, n in b.args]


def in_pieces(value: Value) -> bool:
    """Whether a piece of the value is simpler than the value."""
    return value.__class__ is int or (isinstance(value, Term) and value.op in ("concat", "ite"))

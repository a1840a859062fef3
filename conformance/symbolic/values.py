# SPDX-License-Identifier: GPL-2.0-only
"""Values: a Python int if concrete, a Term if symbolic."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeAlias

__all__ = [
    "UNDEFINED",
    "Term",
    "TermFactory",
    "Value",
    "alike",
    "known_bits",
    "low_zeros",
    "simplifies_extract",
]

UNDEFINED = "undefined"
"""The prefix of the variables that stand for uninitialised registers and memory."""


class Term:
    """An operation on values, ``width`` bits wide; ``zeros`` and ``ones`` are its known bits.

    Equal terms of one Terms are the same object. ``op`` is one of the operations of Terms, or "leaf": a z3
    term, or the name of an unconstrained variable.
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
    """Makes terms; equal terms are made once."""

    def __init__(self) -> None:
        self._made: dict[tuple[Any, ...], Term] = {}

    def make(self, op: str, args: tuple[Any, ...], width: int, zeros: int = 0, ones: int = 0) -> Value:
        """The term, or an int if all its bits are known."""
        key = (op, args, width)
        found = self._made.get(key)
        if found is None:
            if zeros | ones == (1 << width) - 1:
                return ones
            found = self._made[key] = Term(op, args, width, len(self._made), zeros, ones)
        return found

    def leaf(self, what: Any, width: int) -> Term:
        """A leaf: the name of an unconstrained variable, or a z3 term."""
        key = ("leaf", what, width)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = Term("leaf", (what,), width, len(self._made), 0, 0)
        return found

    def unknown(self, what: str, width: int) -> Term:
        """An uninitialised register or word of memory; nothing can be proved about it."""
        return self.leaf(f"{UNDEFINED} {what}", width)

    # The operations that the parts of Terms use of each other.

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
        """The signed comparison, if ``a`` xor ``b`` is SF xor OF of one subtraction; else None."""

    @abstractmethod
    def concat(self, *pieces: tuple[Value, int]) -> Value:
        """Concatenate pairs of a value and its width, the most significant first."""

    @abstractmethod
    def extract(self, a: Value, at: int, size: int) -> Value:
        """``size`` bits of a value, from bit ``at``."""

    @abstractmethod
    def sign_extend(self, a: Value, width: int, more: int) -> Value:
        """Extend a value of ``width`` by ``more`` copies of its sign bit."""

    @abstractmethod
    def ite(self, condition: Value, a: Value, b: Value, width: int) -> Value:
        """``a`` if the condition holds, else ``b``."""


def known_bits(value: Value, width: int) -> tuple[int, int]:
    """The bits known to be 0, and to be 1."""
    if isinstance(value, Term):
        return value.zeros, value.ones
    return ~value & ((1 << width) - 1), value


def low_zeros(zeros: int) -> int:
    """The trailing known zeros."""
    return (zeros ^ (zeros + 1)) >> 1


def alike(a: Term, b: Value) -> bool:
    """Whether both are concatenations with parts of the same widths."""
    return isinstance(b, Term) and b.op == "concat" and [n for _, n in a.args] == [n for _, n in b.args]


def simplifies_extract(value: Value) -> bool:
    """Whether extracting from the value simplifies it."""
    return value.__class__ is int or (isinstance(value, Term) and value.op in ("concat", "ite"))

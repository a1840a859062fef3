# SPDX-License-Identifier: GPL-2.0-only
"""The semantics of p-code operations: functions of two values and a width, fast for concrete values.

``sizes`` of an operation are those of its output and its first input, in bits.
"""

from __future__ import annotations

from collections.abc import Callable

from conformance.symbolic.terms import Terms, Value

__all__ = ["Operation", "operations"]

Operation = Callable[[Value, Value, int], Value]
"""A function of two inputs and a width; an operation with one input ignores the second."""


def operations(terms: Terms) -> dict[str, Operation]:
    """Operations by p-code name. The width is that of the first input.

    Comparisons return a byte, as in p-code.
    """

    def byte(bit: Value) -> Value:
        return bit if bit.__class__ is int else terms.concat((0, 7), (bit, 1))

    def bit_of(value: Value) -> Value:
        return terms.extract(value, 0, 1)

    def copy(a: Value, b: Value, n: int) -> Value:
        return a

    def add(a: Value, b: Value, n: int) -> Value:
        if a.__class__ is int and b.__class__ is int:
            return (a + b) & ((1 << n) - 1)
        return terms.add(a, b, n)

    def sub(a: Value, b: Value, n: int) -> Value:
        if a.__class__ is int and b.__class__ is int:
            return (a - b) & ((1 << n) - 1)
        return terms.sub(a, b, n)

    def equal(a: Value, b: Value, n: int) -> Value:
        if a.__class__ is int and b.__class__ is int:
            return int(a == b)
        return byte(terms.eq(a, b, n))

    def not_equal(a: Value, b: Value, n: int) -> Value:
        return byte(terms.not_(terms.eq(a, b, n), 1))

    def less(a: Value, b: Value, n: int) -> Value:
        return byte(terms.ult(a, b, n))

    def less_equal(a: Value, b: Value, n: int) -> Value:
        return byte(terms.not_(terms.ult(b, a, n), 1))

    def signed_less(a: Value, b: Value, n: int) -> Value:
        return byte(terms.slt(a, b, n))

    def signed_less_equal(a: Value, b: Value, n: int) -> Value:
        return byte(terms.not_(terms.slt(b, a, n), 1))

    def negate(a: Value, b: Value, n: int) -> Value:
        return terms.sub(0, a, n)

    def bool_negate(a: Value, b: Value, n: int) -> Value:
        return byte(terms.not_(bit_of(a), 1))

    def overflow(how: str) -> Operation:
        return lambda a, b, n: byte(terms.overflow(how, a, b, n))

    return {
        "COPY": copy,
        "INT_ADD": add,
        "INT_SUB": sub,
        "INT_MULT": terms.mul,
        "INT_AND": terms.and_,
        "INT_OR": terms.or_,
        "INT_XOR": terms.xor,
        "INT_NEGATE": lambda a, b, n: terms.not_(a, n),
        "INT_2COMP": negate,
        "INT_LEFT": terms.shl,
        "INT_RIGHT": terms.shr,
        "INT_SRIGHT": terms.sar,
        "INT_EQUAL": equal,
        "INT_NOTEQUAL": not_equal,
        "INT_LESS": less,
        "INT_LESSEQUAL": less_equal,
        "INT_SLESS": signed_less,
        "INT_SLESSEQUAL": signed_less_equal,
        "INT_CARRY": overflow("carry"),
        "INT_SCARRY": overflow("scarry"),
        "INT_SBORROW": overflow("sborrow"),
        "BOOL_AND": terms.and_,
        "BOOL_OR": terms.or_,
        "BOOL_XOR": terms.xor,
        "BOOL_NEGATE": bool_negate,
        "POPCOUNT": lambda a, b, n: terms.popcount(a, n),
    }

# SPDX-License-Identifier: GPL-2.0-only
"""Operators for atomic operations: each as a read and a later write, so that other accesses come between."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

__all__ = ["ATOMICS", "split"]

_EXCHANGE = "exchange split"
_COMPARE = "compare and exchange split"
_ARITHMETIC = "atomic arithmetic split"
_BITS = "atomic bit operation split"

ATOMICS = (_EXCHANGE, _COMPARE, _ARITHMETIC, _BITS)
"""The operators by their names in reports."""

_PLACE = "typeof({0}) mutant_at = ({0}); typeof(*mutant_at) mutant_old = READ_ONCE(*mutant_at);"

_ATOMIC = re.compile(
    r"(?:raw_)?(atomic64|atomic_long|atomic|refcount)_(\w+?)(?:_(?:relaxed|acquire|release))?"
)

_NEW: dict[str, tuple[str, str]] = {
    # The new value, and the value of the operation; "" for none.
    "inc": ("mutant_old + 1", ""),
    "dec": ("mutant_old - 1", ""),
    "add": ("mutant_old + ({0})", ""),
    "sub": ("mutant_old - ({0})", ""),
    "or": ("mutant_old | ({0})", ""),
    "andnot": ("mutant_old & ~({0})", ""),
    "inc_return": ("mutant_old + 1", "mutant_old + 1"),
    "dec_return": ("mutant_old - 1", "mutant_old - 1"),
    "add_return": ("mutant_old + ({0})", "mutant_old + ({0})"),
    "sub_return": ("mutant_old - ({0})", "mutant_old - ({0})"),
    "fetch_add": ("mutant_old + ({0})", "mutant_old"),
    "fetch_and": ("mutant_old & ({0})", "mutant_old"),
    "fetch_or": ("mutant_old | ({0})", "mutant_old"),
    "fetch_andnot": ("mutant_old & ~({0})", "mutant_old"),
    "xchg": ("({1})", "mutant_old"),
    "inc_and_test": ("mutant_old + 1", "mutant_old + 1 == 0"),
    "dec_and_test": ("mutant_old - 1", "mutant_old == 1"),
    "inc_not_zero": ("mutant_old ? mutant_old + 1 : 0", "mutant_old != 0"),
}

_BIT = re.compile(r"(set|clear|change|test_and_set|test_and_clear|test_and_change)_bit(_le)?")
_BIT_VALUES = {"set": "mutant_old | {0}", "clear": "mutant_old & ~{0}", "change": "mutant_old ^ {0}"}


def split(name: str, arguments: Sequence[str]) -> tuple[str, str]:
    """The operator and the text of an atomic operation that is split; empty for other functions."""
    for operator, pattern, count, make in _SPLIT:
        if pattern.fullmatch(name) and (not count or len(arguments) == count):
            text = make(name, arguments)
            return (operator, text) if text else ("", "")
    return "", ""


def _exchange(name: str, given: Sequence[str]) -> str:
    place = _PLACE.format(given[0])
    return f"({{ {place} WRITE_ONCE(*mutant_at, ({given[1]})); mutant_old; }})"


def _compare(name: str, given: Sequence[str]) -> str:
    place = _PLACE.format(given[0])
    return (
        f"({{ {place} if (mutant_old == ({given[1]})) WRITE_ONCE(*mutant_at, ({given[2]})); mutant_old; }})"
    )


def _try_compare(name: str, given: Sequence[str]) -> str:
    place, expected, new = _PLACE.format(given[0]), given[1], given[2]
    return (
        f"({{ {place} bool mutant_same = mutant_old == *({expected}); "
        f"if (mutant_same) WRITE_ONCE(*mutant_at, ({new})); else *({expected}) = mutant_old; mutant_same; }})"
    )


def _arithmetic(name: str, given: Sequence[str]) -> str:
    found = _ATOMIC.fullmatch(name)
    if found is None or found[2] not in _NEW or not given:
        return ""
    kind, what = found[1], found[2]
    place = given[0] if what == "xchg" else given[-1]
    new, value = (text.format(*given) for text in _NEW[what])
    return (
        f"({{ typeof({kind}_read({place})) mutant_old = {kind}_read({place}); "
        f"{kind}_set({place}, {new}); {value or '(void)0'}; }})"
    )


def _bits(name: str, given: Sequence[str]) -> str:
    what, word = name.removesuffix("_le").removesuffix("_bit"), f"BIT_MASK({given[0]})"
    new = _BIT_VALUES[what.removeprefix("test_and_")].format(word)
    value = f"(mutant_old & {word}) != 0" if what.startswith("test_and_") else "(void)0"
    return (
        f"({{ unsigned long *mutant_at = (unsigned long *)({given[1]}) + BIT_WORD({given[0]}); "
        f"unsigned long mutant_old = READ_ONCE(*mutant_at); WRITE_ONCE(*mutant_at, {new}); {value}; }})"
    )


_Make = Callable[[str, Sequence[str]], str]

_SPLIT: tuple[tuple[str, re.Pattern[str], int, _Make], ...] = (
    (_EXCHANGE, re.compile(r"xchg(64)?(_\w+)?"), 2, _exchange),
    (_COMPARE, re.compile(r"try_cmpxchg(64|128)?(_(relaxed|acquire|release))?"), 3, _try_compare),
    (_COMPARE, re.compile(r"cmpxchg(64|128)?(_(relaxed|acquire|release))?"), 3, _compare),
    (_ARITHMETIC, _ATOMIC, 0, _arithmetic),
    (_BITS, _BIT, 2, _bits),
)

# SPDX-License-Identifier: GPL-2.0-only
"""The vocabulary of the model: a handful of words over 64-bit values.

One source runs over three domains: Python ints, numpy ``uint64`` arrays (one element a case) and z3
bit-vectors. A *Word* is a 64-bit value in one of them, a *Truth* a bool, an array of bools or a z3
Bool. Model code uses these words and the operators ``&``, ``|``, ``^``, ``==``, ``!=``; it never asks
a Truth for its value (no ``if``, ``and``, ``or``, ``not``), except on what the kernel's profile
decides. A further domain brings values with the operators and two methods,
``choose(then, otherwise)`` and ``lshr(n)``; the tests have one, whose truth value raises.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = [
    "ALL",
    "Truth",
    "Word",
    "any_set",
    "bit",
    "bits",
    "clear",
    "either",
    "no",
    "shl",
    "shr",
    "when",
    "word",
]

Word = Any
Truth = Any

ALL = (1 << 64) - 1
"""The word with every bit set."""

_CONCRETE: Any = (int, np.ndarray, np.generic)


def bit(n: int) -> int:
    """The constant with only bit ``n`` set, as BIT_ULL(n)."""
    return 1 << n


def bits(high: int, low: int) -> int:
    """The constant with bits ``high`` to ``low`` set, both included, as GENMASK_ULL(high, low).

    Empty if ``high < low``, where the kernel's macro is undefined.
    """
    return ((1 << (high + 1)) - 1) & ~((1 << low) - 1) if high >= low else 0


def any_set(word: Word, mask: Word) -> Truth:
    """Whether any bit of ``mask`` is set in ``word``."""
    return (word & mask) != 0


def no(truth: Truth) -> Truth:
    """The opposite."""
    return not truth if isinstance(truth, bool) else ~truth


def clear(word: Word, mask: Word) -> Word:
    """``word`` without the bits of ``mask``."""
    return word & (mask ^ ALL)


def shl(word: Word, n: int) -> Word:
    """``word << n``, bits beyond 63 lost."""
    return (word << n) & ALL if isinstance(word, int) else word << n


def shr(word: Word, n: int) -> Word:
    """``word >> n``, zeros coming in."""
    if isinstance(word, _CONCRETE):
        return word >> n
    if hasattr(word, "lshr"):
        return word.lshr(n)
    import z3

    return z3.LShR(word, n)


def either(truth: Truth, then: Word, otherwise: Word) -> Word:
    """``then`` where ``truth`` holds, else ``otherwise``; Words or Truths, both sides alike."""
    if isinstance(truth, (bool, np.bool_)):
        return then if truth else otherwise
    if isinstance(truth, np.ndarray):
        if isinstance(then, int) and not isinstance(then, bool):
            then = np.uint64(then)
        if isinstance(otherwise, int) and not isinstance(otherwise, bool):
            otherwise = np.uint64(otherwise)
        return np.where(truth, then, otherwise)
    if hasattr(truth, "choose"):
        return truth.choose(then, otherwise)
    import z3

    if isinstance(then, int) and isinstance(otherwise, int) and not isinstance(then, bool):
        then = z3.BitVecVal(then, 64)
    return z3.If(truth, then, otherwise)


def when(truth: Truth, mask: Word) -> Word:
    """``mask`` where ``truth`` holds, else no bits."""
    return either(truth, mask, 0)


def word(truth: Truth) -> Word:
    """1 where ``truth`` holds, else 0: a bool as C stores it."""
    return either(truth, 1, 0)

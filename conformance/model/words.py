# SPDX-License-Identifier: GPL-2.0-only
"""The vocabulary of the model: a few functions on 64-bit values.

One source runs over three domains: Python ints, numpy ``uint64`` arrays (one element a case) and z3
bit-vectors. A *Word* is a 64-bit value in one of them, a *Truth* a bool, an array of bools or a z3
Bool. Model code uses these functions and the operators ``&``, ``|``, ``^``, ``==``, ``!=``. It never
branches on a Truth (no ``if``, ``and``, ``or``, ``not``); it branches on what the kernel's profile decides.
A further domain brings values with the operators and two methods, ``choose(then, otherwise)`` and
``lshr(n)``; the tests have one, whose truth value raises.

Both names are ``Any`` when the program runs. For a type checker a Word is any value with the operators,
an int too, and a Truth is neither a Word nor a bool: it has no truth value, and ``spte & truth`` is an error.
A parameter that may be a plain bool says so: ``Truth | bool``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, overload

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

if TYPE_CHECKING:

    class Truth:
        """A condition that holds in some cases and not in others."""

        def __and__(self, other: Truth | bool) -> Truth: ...
        def __or__(self, other: Truth | bool) -> Truth: ...
        def __xor__(self, other: Truth | bool) -> Truth: ...
        def __eq__(self, other: Truth | bool) -> Truth: ...  # type: ignore[override]
        def __ne__(self, other: Truth | bool) -> Truth: ...  # type: ignore[override]
        def __invert__(self) -> Truth: ...

        __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    class _Term:
        """A 64-bit value of any domain."""

        def __and__(self, other: Word) -> _Term: ...
        def __or__(self, other: Word) -> _Term: ...
        def __xor__(self, other: Word) -> _Term: ...
        def __add__(self, other: Word) -> _Term: ...
        def __sub__(self, other: Word) -> _Term: ...
        def __mul__(self, other: Word) -> _Term: ...
        def __lshift__(self, other: Word) -> _Term: ...
        def __rshift__(self, other: Word) -> _Term: ...
        def __invert__(self) -> _Term: ...
        def __eq__(self, other: Word) -> Truth: ...  # type: ignore[override]
        def __ne__(self, other: Word) -> Truth: ...  # type: ignore[override]
        def __lt__(self, other: Word) -> Truth: ...
        def __le__(self, other: Word) -> Truth: ...
        def __gt__(self, other: Word) -> Truth: ...
        def __ge__(self, other: Word) -> Truth: ...
        def __int__(self) -> int: ...

        __rand__, __ror__, __rxor__, __radd__, __rmul__ = __and__, __or__, __xor__, __add__, __mul__
        __rsub__ = __sub__
        __rlshift__, __rrshift__ = __lshift__, __rshift__

    class _Number(Protocol):
        """An int or an array: what is computed from it may stand for any domain."""

        def __and__(self, other: Any, /) -> Any: ...
        def __or__(self, other: Any, /) -> Any: ...
        def __xor__(self, other: Any, /) -> Any: ...
        def __add__(self, other: Any, /) -> Any: ...
        def __sub__(self, other: Any, /) -> Any: ...
        def __mul__(self, other: Any, /) -> Any: ...
        def __lshift__(self, other: Any, /) -> Any: ...
        def __rshift__(self, other: Any, /) -> Any: ...
        def __rand__(self, other: Any, /) -> Any: ...
        def __ror__(self, other: Any, /) -> Any: ...
        def __rxor__(self, other: Any, /) -> Any: ...
        def __radd__(self, other: Any, /) -> Any: ...
        def __rsub__(self, other: Any, /) -> Any: ...
        def __rmul__(self, other: Any, /) -> Any: ...
        def __rlshift__(self, other: Any, /) -> Any: ...
        def __rrshift__(self, other: Any, /) -> Any: ...
        def __invert__(self) -> Any: ...
        def __eq__(self, other: Any, /) -> Any: ...
        def __ne__(self, other: Any, /) -> Any: ...
        def __lt__(self, other: Any, /) -> Any: ...
        def __le__(self, other: Any, /) -> Any: ...
        def __gt__(self, other: Any, /) -> Any: ...
        def __ge__(self, other: Any, /) -> Any: ...
        def __int__(self) -> int: ...

    Word: TypeAlias = _Term | _Number
else:
    Truth = Any
    Word = Any

ALL = (1 << 64) - 1
"""The word with all bits set."""

_CONCRETE: Any = (int, np.ndarray, np.generic)


def bit(n: int) -> int:
    """The constant with only bit ``n`` set, as BIT_ULL(n)."""
    return 1 << n


def bits(high: int, low: int) -> int:
    """The constant with bits ``high`` to ``low`` set, both included, as GENMASK_ULL(high, low).

    0 if ``high < low``, where the kernel's macro is undefined.
    """
    return ((1 << (high + 1)) - 1) & ~((1 << low) - 1) if high >= low else 0


def any_set(word: Word, mask: Word) -> Truth:
    """Whether any bit of ``mask`` is set in ``word``."""
    return (word & mask) != 0


def no(truth: Truth | bool) -> Truth:
    """The negation of ``truth``."""
    negated: Any = not truth if isinstance(truth, bool) else ~truth
    return negated


def clear(word: Word, mask: Word) -> Word:
    """``word`` without the bits of ``mask``."""
    return word & (mask ^ ALL)


def shl(word: Word, n: Word) -> Word:
    """``word << n``, bits beyond 63 lost."""
    return (word << n) & ALL if isinstance(word, int) else word << n


def shr(word: Word, n: Word) -> Word:
    """``word >> n``, a logical shift."""
    if isinstance(word, _CONCRETE):
        return word >> n
    if hasattr(word, "lshr"):
        return word.lshr(n)
    import z3

    return z3.LShR(word, n)


@overload
def either(truth: Truth | bool, then: Word, otherwise: Word) -> Word: ...
@overload
def either(truth: Truth | bool, then: Truth, otherwise: Truth | bool) -> Truth: ...
@overload
def either(truth: Truth | bool, then: Truth | bool, otherwise: Truth) -> Truth: ...
def either(truth: Any, then: Any, otherwise: Any) -> Any:
    """``then`` where ``truth`` holds, else ``otherwise``: two Words or two Truths."""
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


def when(truth: Truth | bool, mask: Word) -> Word:
    """``mask`` where ``truth`` holds, else 0."""
    return either(truth, mask, 0)


def word(truth: Truth | bool) -> Word:
    """1 where ``truth`` holds, else 0, as C stores a bool."""
    return either(truth, 1, 0)

# SPDX-License-Identifier: GPL-2.0-only
"""Evaluates z3 terms for many inputs at once: each operation of a term becomes one numpy operation.

This does not depend on how the terms were made, so executor, model and processor can be compared on concrete
inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import z3
from numpy.typing import NDArray

__all__ = ["Evaluator"]

Words = NDArray[np.uint64]
_Step = tuple[Callable[..., Any], int, tuple[int, ...]]


class Evaluator:
    """Compiles bit-vectors of up to 64 bits and Booleans for evaluation; ints are constants."""

    def __init__(self, terms: Sequence[int | z3.ExprRef]) -> None:
        self._steps: list[_Step] = []
        self._slots: dict[int, int] = {}
        self._inputs: dict[str, int] = {}
        self._nr_slots = 0
        # z3 may reuse the id of a term that was freed.
        self._kept = [term for term in terms if not isinstance(term, int)]
        self._wanted = [(True, t) if isinstance(t, int) else (False, self._prepare(t)) for t in terms]
        """For each term: whether it is a constant, and its value or its slot."""
        self._last = self._last_uses()

    @property
    def inputs(self) -> frozenset[str]:
        """The names of the variables in the terms."""
        return frozenset(self._inputs)

    def __call__(self, inputs: Mapping[str, Words | int]) -> list[Words]:
        """The terms' values; a Boolean is 0 or 1. Raises ValueError for a variable without a value."""
        missing = sorted(self.inputs - inputs.keys())
        if missing:
            raise ValueError(f"it depends on {', '.join(missing)}")
        n = max((np.size(value) for value in inputs.values()), default=1)
        values: list[Any] = [None] * self._nr_slots
        for name, slot in self._inputs.items():
            values[slot] = np.asarray(inputs[name], np.uint64)
        with np.errstate(over="ignore"):
            for (how, out, args), over in zip(self._steps, self._last, strict=True):
                values[out] = how(*(values[arg] for arg in args))
                for slot in over:
                    values[slot] = None
        found = []
        for known, what in self._wanted:
            value = np.uint64(what) if known else values[what]
            found.append(np.broadcast_to(np.asarray(value, np.uint64), (n,)))
        return found

    def _last_uses(self) -> list[list[int]]:
        """For each step, the slots that no later step reads."""
        kept = {what for known, what in self._wanted if not known}
        last: dict[int, int] = {}
        for n, (_, _, args) in enumerate(self._steps):
            last.update(dict.fromkeys(args, n))
        found: list[list[int]] = [[] for _ in self._steps]
        for slot, n in last.items():
            if slot not in kept:
                found[n].append(slot)
        return found

    def _prepare(self, term: z3.ExprRef) -> int:
        """Compile a term and return the slot of its value."""
        work = [term]
        while work:
            top = work[-1]
            if top.get_id() in self._slots:
                work.pop()
                continue
            parts = [top.arg(n) for n in range(top.num_args())]
            missing = [part for part in parts if part.get_id() not in self._slots]
            if missing:
                work.extend(missing)
                continue
            work.pop()
            slot = self._slots[top.get_id()] = self._nr_slots
            self._nr_slots += 1
            self._kept.append(top)
            if not parts and top.decl().kind() == z3.Z3_OP_UNINTERPRETED:
                self._inputs[top.decl().name()] = slot
            else:
                args = tuple(self._slots[part.get_id()] for part in parts)
                self._steps.append((_operation(top, parts), slot, args))
        return self._slots[term.get_id()]


def _width(term: z3.ExprRef) -> int:
    return term.size() if z3.is_bv(term) else 1


def _operation(term: z3.ExprRef, parts: list[z3.ExprRef]) -> Callable[..., Any]:
    """The numpy operation that computes a term from its arguments."""
    kind, width = term.decl().kind(), _width(term)
    if width > 64:
        raise ValueError(f"a term of {width} bits is too wide to be evaluated")
    mask = np.uint64((1 << width) - 1)
    if kind == z3.Z3_OP_BNUM:
        value = np.uint64(term.as_long())
        return lambda: value
    if kind in (z3.Z3_OP_TRUE, z3.Z3_OP_FALSE):
        truth = np.bool_(kind == z3.Z3_OP_TRUE)
        return lambda: truth
    if kind == z3.Z3_OP_EXTRACT:
        low = np.uint64(term.decl().params()[1])
        return lambda a: (a >> low) & mask
    if kind == z3.Z3_OP_CONCAT:
        return _concat([_width(part) for part in parts])
    if kind == z3.Z3_OP_ZERO_EXT:
        return lambda a: a
    if kind == z3.Z3_OP_SIGN_EXT:
        inner = _width(parts[0])
        return lambda a: _signed(a, inner).astype(np.uint64) & mask
    if kind in _SIGNED:
        inner, how = _width(parts[0]), _SIGNED[kind]
        return lambda a, b: how(_signed(a, inner), _signed(b, inner))
    if kind in _FOLDED:
        return _folded(_FOLDED[kind], mask)
    if kind in _SHIFTS:
        shift = _SHIFTS[kind]
        return lambda a, b: shift(a, b, width) & mask
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind == z3.Z3_OP_BNOT:
        return lambda a: a ^ mask
    if kind == z3.Z3_OP_BNEG:
        return lambda a: (np.uint64(0) - a) & mask
    raise ValueError(f"the operation {term.decl().name()} cannot be evaluated")


def _signed(value: Any, width: int) -> Any:
    """Words of ``width`` bits as signed numbers."""
    by = np.uint64(64 - width)
    return (np.asarray(value, np.uint64) << by).astype(np.int64) >> np.int64(64 - width)


def _concat(widths: list[int]) -> Callable[..., Any]:
    def joined(first: Any, *rest: Any) -> Any:
        found = first
        for part, width in zip(rest, widths[1:], strict=True):
            found = found << np.uint64(width) | part
        return found

    return joined


def _folded(how: Callable[[Any, Any], Any], mask: np.uint64) -> Callable[..., Any]:
    def folded(first: Any, *rest: Any) -> Any:
        found = first
        for part in rest:
            found = how(found, part)
        return found & mask if getattr(found, "dtype", None) == np.uint64 else found

    return folded


def _shift_left(a: Any, by: Any, width: int) -> Any:
    inside = by < np.uint64(width)
    return np.where(inside, a << np.where(inside, by, np.uint64(0)), np.uint64(0))


def _shift_right(a: Any, by: Any, width: int) -> Any:
    inside = by < np.uint64(width)
    return np.where(inside, a >> np.where(inside, by, np.uint64(0)), np.uint64(0))


def _shift_signed(a: Any, by: Any, width: int) -> Any:
    places = np.minimum(by, np.uint64(width - 1)).astype(np.int64)
    return (_signed(a, width) >> places).astype(np.uint64)


_SHIFTS = {z3.Z3_OP_BSHL: _shift_left, z3.Z3_OP_BLSHR: _shift_right, z3.Z3_OP_BASHR: _shift_signed}
_SIGNED = {
    z3.Z3_OP_SLT: np.less,
    z3.Z3_OP_SLEQ: np.less_equal,
    z3.Z3_OP_SGT: np.greater,
    z3.Z3_OP_SGEQ: np.greater_equal,
}
_FOLDED = {
    z3.Z3_OP_BADD: np.add,
    z3.Z3_OP_BSUB: np.subtract,
    z3.Z3_OP_BMUL: np.multiply,
    z3.Z3_OP_BAND: np.bitwise_and,
    z3.Z3_OP_BOR: np.bitwise_or,
    z3.Z3_OP_BXOR: np.bitwise_xor,
    z3.Z3_OP_AND: np.logical_and,
    z3.Z3_OP_OR: np.logical_or,
    z3.Z3_OP_XOR: np.logical_xor,
}
_PLAIN: dict[int, Callable[..., Any]] = {
    z3.Z3_OP_ITE: np.where,
    z3.Z3_OP_EQ: np.equal,
    z3.Z3_OP_IFF: np.equal,
    z3.Z3_OP_DISTINCT: np.not_equal,
    z3.Z3_OP_NOT: np.logical_not,
    z3.Z3_OP_IMPLIES: lambda a, b: np.logical_or(np.logical_not(a), b),
    z3.Z3_OP_ULT: np.less,
    z3.Z3_OP_ULEQ: np.less_equal,
    z3.Z3_OP_UGT: np.greater,
    z3.Z3_OP_UGEQ: np.greater_equal,
}

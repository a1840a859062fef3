# SPDX-License-Identifier: GPL-2.0-only
"""Translates terms to z3 and back."""

from __future__ import annotations

import z3

from conformance.symbolic.terms import Term, Terms, Value

__all__ = ["Formulas"]


class Formulas:
    """Translates between terms and z3 terms, each once.

    With ``overapproximate`` every computed bit is replaced by a free variable: the formulas are short, and a
    term has at least the values that it really has.
    """

    def __init__(self, terms: Terms, *, overapproximate: bool = False) -> None:
        self._terms = terms
        self._overapproximate = overapproximate
        self._words: dict[Term, z3.BitVecRef] = {}
        self._truths: dict[Term, z3.BoolRef] = {}
        self._inputs: dict[int, tuple[z3.BitVecRef, Value]] = {}

    def value(self, formula: z3.BitVecRef) -> Value:
        """A z3 term as a value. Constants, extensions and concatenations are translated."""
        found = self._inputs.get(formula.get_id())
        if found is None:
            # Keeping the formula keeps z3 from reusing its id.
            found = self._inputs[formula.get_id()] = (formula, self._value(formula))
        return found[1]

    def _value(self, formula: z3.BitVecRef) -> Value:
        kind = formula.decl().kind()
        if kind == z3.Z3_OP_BNUM:
            return int(formula.as_long())
        if kind == z3.Z3_OP_ZERO_EXT:
            inner = formula.arg(0)
            return self._terms.zero_extend(self.value(inner), inner.size(), formula.size() - inner.size())
        if kind == z3.Z3_OP_CONCAT:
            parts = [formula.arg(n) for n in range(formula.num_args())]
            return self._terms.concat(*((self.value(part), part.size()) for part in parts))
        return self._terms.leaf(formula, formula.size())

    def word(self, value: Value, width: int) -> z3.BitVecRef:
        """A value of ``width`` bits as a z3 term."""
        if not isinstance(value, Term):
            return z3.BitVecVal(value, width)
        self._translate(value)
        return self._words[value]

    def truth(self, value: Value) -> z3.BoolRef:
        """A value of one bit as a z3 Boolean."""
        if not isinstance(value, Term):
            return z3.BoolVal(bool(value))
        self._translate(value)
        return self._truths[value]

    def _translate(self, term: Term) -> None:
        """Translate a term and its arguments, without recursion: terms are deep."""
        work = [term]
        while work:
            top = work[-1]
            if top in self._words or top in self._truths:
                work.pop()
                continue
            parts = [] if self._overapproximate and top.width == 1 else _parts(top)
            missing = [part for part in parts if part not in self._words and part not in self._truths]
            if missing:
                work.extend(missing)
                continue
            work.pop()
            if top.width == 1:
                truth = self._truth(top)
                self._truths[top] = truth
                self._words[top] = z3.If(truth, z3.BitVecVal(1, 1), z3.BitVecVal(0, 1))
            else:
                self._words[top] = self._word(top)

    def _w(self, value: Value, width: int) -> z3.BitVecRef:
        return self._words[value] if isinstance(value, Term) else z3.BitVecVal(value, width)

    def _t(self, value: Value) -> z3.BoolRef:
        return self._truths[value] if isinstance(value, Term) else z3.BoolVal(bool(value))

    def _truth(self, term: Term) -> z3.BoolRef:
        op, args = term.op, term.args
        if self._overapproximate:
            return z3.Bool(f"some bit {term.number}")
        if op == "and":
            return z3.And(self._t(args[0]), self._t(args[1]))
        if op == "or":
            return z3.Or(self._t(args[0]), self._t(args[1]))
        if op == "xor":
            if args[1] == 1:
                return z3.Not(self._t(args[0]))
            return z3.Xor(self._t(args[0]), self._t(args[1]))
        if op == "ite":
            return z3.If(*(self._t(arg) for arg in args))
        if op in ("eq", "ult", "slt", "scarry", "sborrow"):
            width = args[2]
            a, b = self._w(args[0], width), self._w(args[1], width)
            if op == "eq":
                return a == b
            if op == "ult":
                return z3.ULT(a, b)
            if op == "slt":
                return a < b
            if op == "scarry":
                return z3.Not(z3.And(z3.BVAddNoOverflow(a, b, True), z3.BVAddNoUnderflow(a, b)))
            return z3.Not(z3.And(z3.BVSubNoOverflow(a, b), z3.BVSubNoUnderflow(a, b, True)))
        return self._word(term) == 1

    def _word(self, term: Term) -> z3.BitVecRef:
        op, args, width = term.op, term.args, term.width
        if op == "leaf":
            return args[0] if isinstance(args[0], z3.BitVecRef) else z3.BitVec(str(args[0]), width)
        if op == "concat":
            return self._concat(term)
        if op == "extract":
            source, at = args
            return z3.Extract(at + width - 1, at, self._words[source])
        if op == "ite":
            return z3.If(self._t(args[0]), self._w(args[1], width), self._w(args[2], width))
        if op == "sext":
            inner = width - args[1]
            return z3.SignExt(args[1], self._w(args[0], inner))
        if op == "popcount":
            bits = [z3.Extract(n, n, self._words[args[0]]) for n in range(width)]
            return z3.Sum(*(z3.ZeroExt(width - 1, bit) for bit in bits)) if width > 1 else bits[0]
        a, b = (self._w(arg, width) for arg in args)
        if op == "and":
            return a & b
        if op == "or":
            return a | b
        if op == "xor":
            return ~a if args[1] == (1 << width) - 1 else a ^ b
        if op == "add":
            return a + b
        if op == "sub":
            return a - b
        if op == "mul":
            return a * b
        if op == "shl":
            return a << b
        if op == "shr":
            return z3.LShR(a, b)
        assert op == "sar", op
        return a >> b

    def _concat(self, term: Term) -> z3.BitVecRef:
        pieces = term.args
        if len(pieces) == 2 and pieces[0][0] == 0:
            value, size = pieces[1]
            if size == 1:
                return z3.If(self._t(value), z3.BitVecVal(1, term.width), z3.BitVecVal(0, term.width))
            return z3.ZeroExt(pieces[0][1], self._w(value, size))
        return z3.Concat(*(self._w(value, size) for value, size in pieces))


def _parts(term: Term) -> list[Term]:
    """The arguments of a term that are terms."""
    args = (value for value, _ in term.args) if term.op == "concat" else term.args
    return [arg for arg in args if isinstance(arg, Term)]

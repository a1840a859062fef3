# SPDX-License-Identifier: GPL-2.0-only
"""Conditions under which a path is taken: decision diagrams over the decisions of the code.

Two paths that part at a decision and meet again have conditions that add up to what it was before; with
diagrams that is so by construction, however many decisions there were in between.
"""

from __future__ import annotations

from conformance.symbolic.errors import CannotRun
from conformance.symbolic.terms import Term, Terms, Value

__all__ = ["Guard", "Guards"]

_MOST = 1_000_000

Guard = int
"""A node: 0 never, 1 always, else the number of a decision with what follows from it."""


class Guards:
    """Makes guards; equal conditions are the same number."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._nodes: list[tuple[int, Guard, Guard]] = [(1 << 60, 0, 0), (1 << 60, 1, 1)]
        self._made: dict[tuple[int, Guard, Guard], Guard] = {}
        self._chosen: dict[tuple[Guard, Guard, Guard], Guard] = {}
        self._restricted: dict[tuple[Guard, Guard], Guard] = {}
        self._levels: dict[Term, int] = {}
        self._atoms: list[Term] = []
        self._of: dict[Term, Guard] = {}
        self._as_term: dict[Guard, Value] = {0: 0, 1: 1}

    def _node(self, level: int, high: Guard, low: Guard) -> Guard:
        if high == low:
            return high
        key = (level, high, low)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = len(self._nodes)
            self._nodes.append(key)
            if found > _MOST:
                raise CannotRun("the conditions of its paths are too entangled")
        return found

    def _split(self, guard: Guard, level: int) -> tuple[Guard, Guard]:
        node = self._nodes[guard]
        return (node[1], node[2]) if node[0] == level else (guard, guard)

    def choose(self, condition: Guard, a: Guard, b: Guard) -> Guard:
        """``a`` where the condition holds, else ``b``."""
        if condition == 1 or a == b:
            return a
        if condition == 0:
            return b
        if a == 1 and b == 0:
            return condition
        key = (condition, a, b)
        found = self._chosen.get(key)
        if found is None:
            level = min(self._nodes[condition][0], self._nodes[a][0], self._nodes[b][0])
            parts = [self._split(guard, level) for guard in key]
            high = self.choose(*(part[0] for part in parts))
            low = self.choose(*(part[1] for part in parts))
            found = self._chosen[key] = self._node(level, high, low)
        return found

    def both(self, a: Guard, b: Guard) -> Guard:
        """Conjunction."""
        return self.choose(a, b, 0)

    def either(self, a: Guard, b: Guard) -> Guard:
        """Disjunction."""
        return self.choose(a, 1, b)

    def negate(self, a: Guard) -> Guard:
        """Negation."""
        return self.choose(a, 0, 1)

    def given(self, guard: Guard, care: Guard) -> Guard:
        """A condition, as simple as can be, that is the same as ``guard`` wherever ``care`` holds."""
        if care == 1 or guard in (0, 1):
            return guard
        assert care != 0
        key = (guard, care)
        found = self._restricted.get(key)
        if found is None:
            level = self._nodes[care][0]
            if level < self._nodes[guard][0]:
                # guard does not ask this.
                found = self.given(guard, self.either(*self._split(care, level)))
            else:
                level = self._nodes[guard][0]
                high, low = self._split(guard, level)
                care_high, care_low = self._split(care, level)
                if care_high == 0:
                    found = self.given(low, care_low)
                elif care_low == 0:
                    found = self.given(high, care_high)
                else:
                    found = self._node(level, self.given(high, care_high), self.given(low, care_low))
            self._restricted[key] = found
        return found

    def of(self, bit: Value) -> Guard:
        """The guard that a value of one bit is."""
        if not isinstance(bit, Term):
            return bit
        found = self._of.get(bit)
        if found is None:
            found = self._of[bit] = self._guard_of(bit)
        return found

    def _guard_of(self, bit: Term) -> Guard:
        if bit.op == "and":
            return self.both(self.of(bit.args[0]), self.of(bit.args[1]))
        if bit.op == "or":
            return self.either(self.of(bit.args[0]), self.of(bit.args[1]))
        if bit.op == "xor":
            a, b = self.of(bit.args[0]), self.of(bit.args[1])
            return self.choose(a, self.negate(b), b)
        if bit.op == "ite":
            return self.choose(*(self.of(arg) for arg in bit.args))
        level = self._levels.setdefault(bit, len(self._levels))
        if level == len(self._atoms):
            self._atoms.append(bit)
        return self._node(level, 1, 0)

    def term(self, guard: Guard) -> Value:
        """The value of one bit that a guard is."""
        found = self._as_term.get(guard)
        if found is None:
            level, high, low = self._nodes[guard]
            found = self._terms.ite(self._atoms[level], self.term(high), self.term(low), 1)
            self._as_term[guard] = found
        return found

# SPDX-License-Identifier: GPL-2.0-only
"""Path conditions: binary decision diagrams over the branch conditions of the code.

The conditions of two paths that fork at a branch and merge again add up to the condition before the branch.
With decision diagrams that holds by construction, however many branches lie in between.
"""

from __future__ import annotations

from conformance.symbolic.errors import CannotRun
from conformance.symbolic.terms import Term, Terms, Value

__all__ = ["Condition", "PathConditions"]

_MOST = 1_000_000

Condition = int
"""A node: 0 is false, 1 is true, else the index of a decision and its two successors."""


class PathConditions:
    """Makes path conditions; equal conditions are the same number."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._nodes: list[tuple[int, Condition, Condition]] = [(1 << 60, 0, 0), (1 << 60, 1, 1)]
        self._made: dict[tuple[int, Condition, Condition], Condition] = {}
        self._chosen: dict[tuple[Condition, Condition, Condition], Condition] = {}
        self._restricted: dict[tuple[Condition, Condition], Condition] = {}
        self._levels: dict[Term, int] = {}
        self._atoms: list[Term] = []
        self._of: dict[Term, Condition] = {}
        self._as_term: dict[Condition, Value] = {0: 0, 1: 1}

    def _node(self, level: int, high: Condition, low: Condition) -> Condition:
        if high == low:
            return high
        key = (level, high, low)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = len(self._nodes)
            self._nodes.append(key)
            if found > _MOST:
                raise CannotRun(f"its path conditions need more than {_MOST} nodes")
        return found

    def _split(self, condition: Condition, level: int) -> tuple[Condition, Condition]:
        node = self._nodes[condition]
        return (node[1], node[2]) if node[0] == level else (condition, condition)

    def choose(self, condition: Condition, a: Condition, b: Condition) -> Condition:
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
            parts = [self._split(one, level) for one in key]
            high = self.choose(*(part[0] for part in parts))
            low = self.choose(*(part[1] for part in parts))
            found = self._chosen[key] = self._node(level, high, low)
        return found

    def both(self, a: Condition, b: Condition) -> Condition:
        """Conjunction."""
        return self.choose(a, b, 0)

    def either(self, a: Condition, b: Condition) -> Condition:
        """Disjunction."""
        return self.choose(a, 1, b)

    def negate(self, a: Condition) -> Condition:
        """Negation."""
        return self.choose(a, 0, 1)

    def given(self, condition: Condition, care: Condition) -> Condition:
        """A simpler condition that equals ``condition`` wherever ``care`` holds (BDD restrict)."""
        if care == 1 or condition in (0, 1):
            return condition
        assert care != 0
        key = (condition, care)
        found = self._restricted.get(key)
        if found is None:
            level = self._nodes[care][0]
            if level < self._nodes[condition][0]:
                # ``condition`` does not depend on this decision.
                found = self.given(condition, self.either(*self._split(care, level)))
            else:
                level = self._nodes[condition][0]
                high, low = self._split(condition, level)
                care_high, care_low = self._split(care, level)
                if care_high == 0:
                    found = self.given(low, care_low)
                elif care_low == 0:
                    found = self.given(high, care_high)
                else:
                    found = self._node(level, self.given(high, care_high), self.given(low, care_low))
            self._restricted[key] = found
        return found

    def of(self, bit: Value) -> Condition:
        """The condition that a value of one bit is 1."""
        if not isinstance(bit, Term):
            return bit
        found = self._of.get(bit)
        if found is None:
            found = self._of[bit] = self._condition_of(bit)
        return found

    def _condition_of(self, bit: Term) -> Condition:
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

    def term(self, condition: Condition) -> Value:
        """The condition as a value of one bit."""
        found = self._as_term.get(condition)
        if found is None:
            level, high, low = self._nodes[condition]
            found = self._terms.ite(self._atoms[level], self.term(high), self.term(low), 1)
            self._as_term[condition] = found
        return found

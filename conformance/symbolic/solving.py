# SPDX-License-Identifier: GPL-2.0-only
"""Queries to z3 during execution: whether a path is feasible, and which values a term can have on it."""

from __future__ import annotations

import time
from collections.abc import Sequence

import z3

from conformance.symbolic.errors import CannotRun
from conformance.symbolic.formulas import Formulas
from conformance.symbolic.path_conditions import Condition, PathConditions
from conformance.symbolic.terms import Term

__all__ = ["Queries", "gave_up"]


def gave_up(solver: z3.Solver) -> str:
    """Why a solver answered unknown. Raises KeyboardInterrupt if that is the reason, which z3 swallows."""
    reason = str(solver.reason_unknown())
    if reason == "interrupted from keyboard":
        raise KeyboardInterrupt
    return reason


class Queries:
    """Queries about one run, under its assumptions. They raise CannotRun after the ``deadline``."""

    def __init__(
        self,
        formulas: Formulas,
        overapproximate: Formulas,
        conditions: PathConditions,
        assuming: Sequence[z3.BoolRef],
        deadline: float,
    ) -> None:
        self._formulas = formulas
        self._overapproximate = overapproximate
        self._conditions = conditions
        self._deadline = deadline
        self._solver = z3.SolverFor("QF_BV")
        self._solver.add(*assuming)
        self._feasible: dict[Condition, bool] = {0: False}

    def feasible(self, condition: Condition) -> bool:
        """Whether some input satisfies the path condition."""
        found = self._feasible.get(condition)
        if found is None:
            self._solver.push()
            self._solver.add(self._formulas.truth(self._conditions.term(condition)))
            found = self._feasible[condition] = self._check() == z3.sat
            self._solver.pop()
        return found

    def values(self, term: Term, condition: Condition, limit: int) -> list[int] | None:
        """All values of a term under a path condition, in order; None if there are more than ``limit``."""
        return self._values(self._formulas.word(term, term.width), condition, limit)

    def overapproximated_values(self, term: Term, limit: int) -> list[int] | None:
        """A superset of a term's values on any path; None if it has more than ``limit`` elements."""
        return self._values(self._overapproximate.word(term, term.width), 1, limit)

    def _values(self, word: z3.BitVecRef, condition: Condition, limit: int) -> list[int] | None:
        self._solver.push()
        try:
            self._solver.add(self._formulas.truth(self._conditions.term(condition)))
            found: list[int] = []
            while self._check() == z3.sat:
                if len(found) == limit:
                    return None
                found.append(self._solver.model().eval(word, model_completion=True).as_long())
                self._solver.add(word != found[-1])
            return sorted(found)
        finally:
            self._solver.pop()

    def some(self, term: Term, condition: Condition) -> int | None:
        """Some value of a term under a path condition; None if the condition is unsatisfiable."""
        word = self._formulas.word(term, term.width)
        self._solver.push()
        self._solver.add(self._formulas.truth(self._conditions.term(condition)))
        found = None
        if self._check() == z3.sat:
            found = int(self._solver.model().eval(word, model_completion=True).as_long())
        self._solver.pop()
        return found

    def within(self, term: Term, condition: Condition, first: int, last: int, step: int) -> bool:
        """Whether a term is always ``first`` plus a multiple of ``step``, and at most ``last``."""
        word = self._formulas.word(term, term.width)
        self._solver.push()
        self._solver.add(self._formulas.truth(self._conditions.term(condition)))
        self._solver.add(z3.Or(z3.UGT(word - first, last - first), z3.URem(word - first, step) != 0))
        found = self._check() == z3.unsat
        self._solver.pop()
        return found

    def _check(self) -> z3.CheckSatResult:
        left = self._deadline - time.monotonic()
        self._solver.set("timeout", max(1, int(1000 * left)))
        answer = self._solver.check()
        if answer == z3.unknown:
            gave_up(self._solver)
            raise CannotRun("the solver did not decide in time whether a path is feasible")
        return answer

# SPDX-License-Identifier: GPL-2.0-only
"""Asking z3 while executing: whether a path can be taken, and which values a term has there."""

from __future__ import annotations

import time
from collections.abc import Sequence

import z3

from conformance.symbolic.errors import CannotRun
from conformance.symbolic.formulas import Formulas
from conformance.symbolic.guards import Guard, Guards
from conformance.symbolic.terms import Term

__all__ = ["Questions", "gave_up"]


def gave_up(solver: z3.Solver) -> str:
    """Why a solver said neither. Raises KeyboardInterrupt where it was that, which z3 keeps to itself."""
    reason = str(solver.reason_unknown())
    if reason == "interrupted from keyboard":
        raise KeyboardInterrupt
    return reason


class Questions:
    """Questions about one run, under its assumptions. At the ``deadline`` it gives up."""

    def __init__(
        self,
        formulas: Formulas,
        rough: Formulas,
        guards: Guards,
        assuming: Sequence[z3.BoolRef],
        deadline: float,
    ) -> None:
        self._formulas = formulas
        self._rough = rough
        self._guards = guards
        self._deadline = deadline
        self._solver = z3.SolverFor("QF_BV")
        self._solver.add(*assuming)
        self._possible: dict[Guard, bool] = {0: False}

    def possible(self, guard: Guard) -> bool:
        """Whether some input meets the guard."""
        found = self._possible.get(guard)
        if found is None:
            self._solver.push()
            self._solver.add(self._formulas.truth(self._guards.term(guard)))
            found = self._possible[guard] = self._check() == z3.sat
            self._solver.pop()
        return found

    def values(self, term: Term, guard: Guard, limit: int) -> list[int] | None:
        """All values of a term under a guard, smallest first; None if there are more than ``limit``."""
        return self._values(self._formulas.word(term, term.width), guard, limit)

    def values_roughly(self, term: Term, limit: int) -> list[int] | None:
        """The same under no guard, with values among them that the term cannot have."""
        return self._values(self._rough.word(term, term.width), 1, limit)

    def _values(self, word: z3.BitVecRef, guard: Guard, limit: int) -> list[int] | None:
        self._solver.push()
        try:
            self._solver.add(self._formulas.truth(self._guards.term(guard)))
            found: list[int] = []
            while self._check() == z3.sat:
                if len(found) == limit:
                    return None
                found.append(self._solver.model().eval(word, model_completion=True).as_long())
                self._solver.add(word != found[-1])
            return sorted(found)
        finally:
            self._solver.pop()

    def some(self, term: Term, guard: Guard) -> int | None:
        """A value of a term under a guard; None if the guard cannot be met."""
        word = self._formulas.word(term, term.width)
        self._solver.push()
        self._solver.add(self._formulas.truth(self._guards.term(guard)))
        found = None
        if self._check() == z3.sat:
            found = int(self._solver.model().eval(word, model_completion=True).as_long())
        self._solver.pop()
        return found

    def within(self, term: Term, guard: Guard, first: int, last: int, step: int) -> bool:
        """Whether a term is always ``first``, or a multiple of ``step`` more, up to ``last``."""
        word = self._formulas.word(term, term.width)
        self._solver.push()
        self._solver.add(self._formulas.truth(self._guards.term(guard)))
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
            raise CannotRun("the solver did not say in time whether a path can be taken")
        return answer

# SPDX-License-Identifier: GPL-2.0-only
"""Asking z3 whether two observations are equal for every input on every host considered."""

from __future__ import annotations

from collections.abc import Sequence

import z3

from conformance.deadline import Deadline
from conformance.symbolic.solving import gave_up

__all__ = ["Deadline", "Unproved", "different", "find"]

MOST_MEMORY = 900
"""Megabytes after which the solver gives up."""


class Unproved(Exception):
    """Neither proved nor refuted, for this reason."""


def find(conditions: Sequence[z3.BoolRef], deadline: Deadline, what: str) -> z3.ModelRef | None:
    """Values for the symbols under which all conditions hold; None if there are none.

    Raises Unproved if the solver gives up on ``what``: that is neither.
    """
    solver = z3.SolverFor("QF_BV")
    solver.set("timeout", max(int(deadline.left * 1000), 1))
    solver.set("max_memory", MOST_MEMORY)
    solver.add(*conditions)
    answer = solver.check()
    if answer == z3.unsat:
        return None
    if answer == z3.sat:
        return solver.model()
    reason = gave_up(solver)
    how = f"within {deadline.seconds:g} s" if reason in ("timeout", "canceled") else f"({reason})"
    raise Unproved(f"the solver gave up on {what} {how}")


def different(one: z3.ExprRef, other: z3.ExprRef) -> z3.BoolRef | None:
    """That two terms are not equal; None where simplification alone shows that they are."""
    unequal = z3.simplify(one != other)
    return None if z3.is_false(unequal) else unequal

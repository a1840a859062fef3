# SPDX-License-Identifier: GPL-2.0-only
"""How far a review looks, and whether what a user asks for exists."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass

from conformance.differential.properties import PROPERTIES
from conformance.errors import ConformanceError
from conformance.model.modes import MODES

__all__ = ["Plan", "check"]


@dataclass(frozen=True)
class Plan:
    """What to run of what executes the changed functions.

    ``only`` are globs on names of properties, ``modes`` names of modes (none: all). ``budget`` is seconds of
    comparing properties. ``case`` is one input to try on the one property named. ``arguments`` are those of
    ``conformance diff`` that name the kernels, for the command that shows a difference again.
    """

    only: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    budget: float = 5.0
    seed: int = 0
    case: tuple[int, ...] = ()
    arguments: tuple[str, ...] = ()


def check(plan: Plan) -> None:
    """Raise ConformanceError about anything in the plan that there is not."""
    for name in plan.modes:
        if name not in MODES:
            raise ConformanceError(f"there is no mode {name}; there are {', '.join(MODES)}.")
    for glob in plan.only:
        if not fnmatch.filter(PROPERTIES, glob):
            raise ConformanceError(
                f"no property is called {glob}; `conformance list` names them all, and * stands for any text."
            )
    if plan.case:
        named = [name for name in PROPERTIES if any(fnmatch.fnmatch(name, glob) for glob in plan.only)]
        if len(named) != 1:
            raise ConformanceError(f"--case needs --only with one property, not {len(named)}.")
        takes = PROPERTIES[named[0]].takes
        if len(plan.case) != len(takes):
            columns = ", ".join(column.name for column in takes)
            raise ConformanceError(
                f"{named[0]} takes {len(takes)} words ({columns}), and the case has {len(plan.case)}."
            )

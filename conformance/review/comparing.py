# SPDX-License-Identifier: GPL-2.0-only
"""How the patches of a series are compared, by a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from conformance.differential.selection import check_selection
from conformance.errors import ConformanceError
from conformance.kernels import Kernel, Progress
from conformance.review import difference
from conformance.review.judging_series import Compare
from conformance.review.plan import ReviewPlan
from conformance.review.review import Review

__all__ = ["comparing"]


def comparing(command: str, progress: Progress, **plan: Any) -> Compare:
    """A function that compares two kernels by a plan. ``command`` is the start of "again" commands.

    Raises ConformanceError if the plan names a property or mode that does not exist.
    """
    given = ReviewPlan(**plan)
    check_selection(given.only, given.modes, given.case)

    def compare(before: Kernel, after: Kernel, suspects: Sequence[str], origin: Kernel) -> Review:
        plan = replace(given, suspects=tuple(suspects), origin=origin)
        review = difference.compare(before, after, plan, progress)
        if given.only and not review.functions:
            raise ConformanceError("No property of --only executes the code that it changes.")
        functions = []
        for one in review.functions:
            if one.difference is not None:
                # The command is for diff, which cannot name a patch in the middle of a series.
                again = one.difference.again.replace("conformance diff", command, 1)
                one = replace(one, difference=replace(one.difference, again=again))
            functions.append(one)
        return replace(review, functions=tuple(functions))

    return compare

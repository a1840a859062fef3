# SPDX-License-Identifier: GPL-2.0-only
"""Reviews to render: functions of any standing, and a series with a claim that holds and one that fails."""

from __future__ import annotations

from report_samples import found

from conformance.review import FunctionReview, Review, Standing
from conformance.review.changed_lines import ChangedLines, Execution, Hunk, Reading, Row
from conformance.review.claims import Claim
from conformance.review.series_review import Judged, SeriesReview

FILE = "arch/x86/kvm/mmu/spte.c"


def function(name: str, standing: Standing, **changes) -> FunctionReview:
    return FunctionReview(name, FILE, standing, **changes)


def review(*functions: FunctionReview, **changes) -> Review:
    return Review(**{"before": "6.1 (6.1.9-1)", "after": "6.1 + a", "functions": functions, **changes})


def judged(given: Review | None, **changes) -> Judged:
    return Judged("a patch", review=given, **changes)


def series() -> SeriesReview:
    given = found(kernel={"returns": "true", "events": "none"}, model={"returns": "false", "events": "none"})
    differs = review(function("make_spte", Standing.DIFFERS, difference=given))
    claim = Claim("No functional change intended.")
    parts = (
        Judged("1/2 Rename it", claim, review(function("is_it", Standing.SAME_CODE))),
        Judged("2/2 Simplify it", claim, differs),
    )
    notes = ("v1.mbox: a reply is left out",)
    return SeriesReview("6.1 (6.1.9-1)", parts, Judged("all 2 patches", claim, differs), notes)


EXECUTED = Reading(Execution.EXECUTED, ("first_write", "make_spte"))
DARK, NOT_RUN, NO_CODE = (
    Reading(one) for one in (Execution.NOT_EXECUTED, Execution.NOT_RUN, Execution.NO_CODE)
)


def lines(readings, *, first=10, reason="2 stories were not run") -> ChangedLines:
    """A function where a line is added after its first for each reading, and one is removed."""
    rows = [Row("static int f(void)", first, first), Row("\told();", first + 1, 0, DARK)]
    rows += [Row(f"\tadded({n});", 0, first + n, one) for n, one in enumerate(readings, 1)]
    rows.append(Row("}", first + 2, first + len(readings) + 1))
    return ChangedLines((Hunk(FILE, tuple(rows)),), ("", reason))

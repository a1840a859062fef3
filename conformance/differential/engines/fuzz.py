# SPDX-License-Identifier: GPL-2.0-only
"""The fuzz engine: Hypothesis draws a mode and a case, and shrinks what differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase

from conformance.differential.comparison import Comparison, Difference
from conformance.kernels import Cache

__all__ = ["PROFILES", "fuzz"]

PROFILES = {
    "ci": "deterministic: the seed is fixed and nothing is remembered",
    "default": "a new seed each run, said in the report",
    "nightly": "explores ten times as long, and remembers what it found for the next run",
}
"""Hypothesis profiles by name, with their descriptions."""


class _Differs(Exception):
    def __init__(self, comparison: Comparison, difference: Difference) -> None:
        super().__init__("model and kernel differ")
        self.comparison = comparison
        self.difference = difference


def fuzz(
    comparisons: Sequence[Comparison],
    *,
    seed: int,
    examples: int,
    remember: str | None = None,
    more_time: Callable[[], bool] = lambda: True,
) -> tuple[Comparison, Difference] | None:
    """Compare up to ``examples`` cases of one property, spread over the modes of ``comparisons``.

    Returns the shrunk difference and the mode that it is in, None if none was found. ``remember`` names a
    directory where Hypothesis keeps this property's failures, to try them first in the next run. Without
    ``more_time`` nothing further is compared after the first case: Hypothesis itself takes a while to start.
    """
    # Not into the current directory, which may be a kernel tree.
    set_hypothesis_home_dir(Cache().root / "hypothesis")
    known: dict[tuple[str, tuple[int, ...]], _Differs] = {}
    begun = hung = False
    database: ExampleDatabase | None = DirectoryBasedExampleDatabase(remember) if remember else None

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        database=database,
        deadline=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.reuse, Phase.generate, Phase.shrink] if remember else [Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=hypothesis.Verbosity.quiet,
    )
    @hypothesis.given(st.data())
    def explore(data: st.DataObject) -> None:
        nonlocal begun, hung
        comparison = data.draw(st.sampled_from(list(comparisons)))
        case: dict[str, int] = {}
        for column in comparison.property.takes:
            case[column.name] = data.draw(column.strategy(comparison.semantics, case))
        place = comparison.mode.name, tuple(case.values())
        if hung or (begun and not more_time()):
            # Nothing further is tried, but what was found stays found: Hypothesis asks for it again.
            if place in known:
                raise known[place]
            return
        begun = True
        difference = comparison.compare_once(list(case.values()))
        if difference is not None:
            known[place] = _Differs(comparison, difference)
            hung = difference.hung
            raise known[place]

    try:
        explore()
    except _Differs as found:
        return found.comparison, found.difference
    return None

# SPDX-License-Identifier: GPL-2.0-only
"""Whether two oracles of one kernel agree. Where they do not, the suite builds one of them wrongly."""

from __future__ import annotations

import time

import numpy as np

from conformance.differential.comparison import Comparison
from conformance.differential.unjudged import unjudged
from conformance.differential.verdict import AGREEMENT, KernelReport, Result, Verdict, case_text
from conformance.oracles.child import KernelDied
from conformance.oracles.lacking import Lacking

__all__ = ["agree", "disagreement"]

CASES = 1 << 12
"""How many drawn cases both are given; the engines compare more, each oracle with the model."""


def agree(comparison: Comparison, rng: np.random.Generator, names: tuple[str, str]) -> Result:
    """Compare two oracles, of these names, on drawn cases. The result is that of the left one."""
    start = time.monotonic()
    batch = comparison.draw(rng, CASES)
    prop, mode, (name, other) = comparison.property.name, comparison.mode, names
    verdict, reason = Verdict.PASS, ""
    try:
        left, right = (comparison.answer(side, batch) for side in (comparison.left, comparison.right))
        differing = np.flatnonzero((left != right).any(axis=0))
        if len(differing):
            first = int(differing[0])
            case, theirs, ours = (case_text(words[:, first].tolist()) for words in (batch, right, left))
            verdict = Verdict.ERROR
            reason = (
                f"{other} and {name} differ in {len(differing)} of {CASES} cases, first {case}: "
                f"{theirs} and {ours}"
            )
    except KernelDied as died:
        verdict, reason = Verdict.ERROR, f"one of {other} and {name} {died.how}"
    except Lacking as lacking:
        return unjudged(Result(prop, name, "-", mode.name, Verdict.ERROR), lacking)
    return Result(prop, name, AGREEMENT, mode.name, verdict, CASES, time.monotonic() - start, reason)


def disagreement(report: KernelReport, names: tuple[str, str]) -> str | None:
    """In what the two oracles differ, in a sentence; None if they agree."""
    found = [r for r in report.results if r.engine == AGREEMENT and r.verdict is Verdict.ERROR]
    if not found:
        return None
    what = ", ".join(dict.fromkeys(result.property for result in found))
    return (
        f"{names[1]} and {names[0]} differ in {what}: a fault of how this suite builds one of them, "
        "to be looked at before anything below."
    )

# SPDX-License-Identifier: GPL-2.0-only
"""Whether two oracles of one kernel agree: where they do not, it is one of them that is not faithful."""

from __future__ import annotations

import time

import numpy as np

from conformance.differential.comparison import Comparison
from conformance.differential.engines.bulk import draw
from conformance.differential.unjudged import unjudged
from conformance.differential.verdict import AGREEMENT, KernelReport, Result, Verdict, case_text
from conformance.oracles.child import FunctionOracle, KernelDied
from conformance.oracles.lacking import Lacking

__all__ = ["agree", "disagreement"]

CASES = 1 << 12
"""Cases that both are asked: the engines compare more, each with the model."""


def agree(
    comparison: Comparison, other: FunctionOracle, name: str, title: str, rng: np.random.Generator
) -> Result:
    """Ask both oracles about the same drawn cases."""
    start = time.monotonic()
    batch = draw(comparison, rng, CASES)
    prop, mode = comparison.property.name, comparison.mode
    second = Comparison(comparison.property, mode, comparison.kernel.profile, other)
    verdict, reason = Verdict.PASS, ""
    try:
        one, two = comparison.ask_kernel(batch), second.ask_kernel(batch)
        differing = np.flatnonzero((one != two).any(axis=0))
        if len(differing):
            first = int(differing[0])
            case, theirs, ours = (case_text(words[:, first].tolist()) for words in (batch, two, one))
            verdict = Verdict.ERROR
            reason = (
                f"{title} and {name} differ in {len(differing)} of {CASES} cases, first {case}: "
                f"{theirs} and {ours}"
            )
    except KernelDied as died:
        verdict, reason = Verdict.ERROR, f"one of {title} and {name} {died.how}"
    except Lacking as lacking:
        return unjudged(Result(prop, name, "-", mode.name, Verdict.ERROR), lacking)
    return Result(prop, name, AGREEMENT, mode.name, verdict, CASES, time.monotonic() - start, reason)


def disagreement(report: KernelReport, name: str, title: str) -> str | None:
    """The sentence for what oracles do not agree about; None if they agree."""
    found = [r for r in report.results if r.engine == AGREEMENT and r.verdict is Verdict.ERROR]
    if not found:
        return None
    what = ", ".join(dict.fromkeys(result.property for result in found))
    return (
        f"{title} and {name} differ in {what}: a fault of how this suite builds one of them, "
        "to be looked at before anything below."
    )

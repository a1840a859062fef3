# SPDX-License-Identifier: GPL-2.0-only
"""The fingerprint engine: published inputs, whose answers are compared with the blessed digests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conformance.differential.comparison import Comparison, Difference
from conformance.differential.fingerprints import Fingerprints, Mark, mark
from conformance.differential.inputs import admitted
from conformance.differential.verdict import Result, Verdict
from conformance.kernels.releases import release_numbers
from conformance.model.profiles import profile_of

__all__ = ["ENGINE", "Remembered", "remember", "sentence"]

Words = NDArray[np.uint64]

ENGINE = "fingerprint"


@dataclass(frozen=True)
class Remembered:
    """How a property's mark in a mode compares with the blessed one.

    ``difference`` is a case on which the model differs from the kernel, too.
    """

    verdict: Verdict
    reason: str
    cases: int
    difference: Difference | None = None


def remember(comparison: Comparison, cases: Words, blessed: Fingerprints) -> Remembered:
    """Compare the kernel's answers to the published inputs ``cases`` with the blessed digest.

    Where they differ, the model is compared on the cases that a kernel of its profile may be called with.
    """
    prop, mode = comparison.property, comparison.mode.name
    now = mark(comparison.left, prop, mode, cases)
    before = blessed.marks.get(now.place)
    if before is None or before.asked != now.asked:
        what = "no fingerprint is blessed yet" if before is None else "the fingerprint is of other inputs"
        command = f"`conformance fingerprint bless --kernel {blessed.series}`"
        return Remembered(Verdict.SKIP, f"{what}; {command} takes it", 0)
    if before.answered == now.answered:
        return Remembered(Verdict.PASS, f"as blessed for {blessed.package}", now.cases)
    found = comparison.compare(np.ascontiguousarray(cases[:, admitted(prop, comparison.semantics, cases)]))
    blessed_for = profile_of(release_numbers(blessed.package))
    if found is None and blessed_for.changes != comparison.semantics.profile.changes:
        reason = f"answers as the model does, and not as {blessed.package}, which has other changes"
        return Remembered(Verdict.SKIP, reason, 0)
    reason = f"{before.answered} when blessed for {blessed.package}, now {now.answered}"
    if found is None:
        reason += "; the model agrees with the kernel, so if this is right, bless it"
    return Remembered(Verdict.FAIL, reason, now.cases, found)


def sentence(results: Iterable[Result], blessed: Fingerprints | None) -> str | None:
    """Whether a kernel is as it was blessed, in a sentence; None if this was not compared."""
    mine = [result for result in results if result.engine == ENGINE and result.cases]
    if blessed is None or not mine:
        return None
    differing: dict[str, list[str]] = {}
    for result in mine:
        if result.verdict is Verdict.FAIL:
            differing.setdefault(result.property, []).append(result.mode)
    which = f"those blessed for {blessed.series} ({blessed.package})"
    if not differing:
        count = len({result.property for result in mine})
        what = "1 property" if count == 1 else f"{count} properties"
        return f"semantics: {which}, in {len(mine)} fingerprints of {what}"
    where = "; ".join(
        f"{name} ({', '.join(_old(blessed, name, modes))})" for name, modes in differing.items()
    )
    return f"semantics: not {which}: {where}"


def _old(blessed: Fingerprints, name: str, modes: list[str]) -> list[str]:
    """Modes with their blessed digests, the first few."""
    old: list[Mark] = [blessed.marks[name, mode] for mode in modes]
    more = [f"{len(old) - 2} modes more"] if len(old) > 3 else []
    shown = old[:2] if more else old
    return [*(f"{each.mode} was {each.answered}" for each in shown), *more]

# SPDX-License-Identifier: GPL-2.0-only
"""The rows that every report counts: the results of a kernel, and an ERROR if it was not judged.

A kernel that could not be judged has no results, and one in which nothing was compared has SKIPs only.
Neither is a pass, and each format alone must show that: both get an ERROR row here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from conformance.differential.verdict import Counterexample, KernelReport, Result, Verdict

__all__ = ["ALL", "IDLE", "by_property", "differing", "place", "rows", "summary", "worst"]

ALL = "-"
"""The mode, engine, property or oracle of a result that applies to all of them."""

IDLE = "nothing was compared, so nothing is known"

# Ascending. A property that was compared in one mode and skipped in another was compared.
_GRAVITY = (Verdict.SKIP, Verdict.PASS, Verdict.MISS, Verdict.ERROR, Verdict.FAIL)


def rows(kernel: KernelReport) -> list[Result]:
    """The results of ``kernel``, followed by an ERROR if it could not be judged as a whole.

    If the oracle cannot reach it, a SKIP follows instead.
    """
    results = list(kernel.results)
    if kernel.unreached is not None:
        return [*results, Result(ALL, ALL, ALL, ALL, Verdict.SKIP, reason=kernel.unreached)]
    reason = kernel.error
    if reason is None and not any(result.compared() for result in results):
        reason = IDLE
    # A FAIL without cases (kernel code that crashed at once) is a finding.
    if reason is IDLE and any(result.verdict is Verdict.FAIL for result in results):
        reason = None
    if reason is not None:
        results.append(Result(ALL, ALL, ALL, ALL, Verdict.ERROR, reason=reason))
    return results


def summary(kernels: Iterable[KernelReport]) -> dict[str, int]:
    """The number of rows with each verdict, zeros included."""
    seen = Counter(row.verdict for kernel in kernels for row in rows(kernel))
    return {verdict.value: seen[verdict] for verdict in Verdict}


def by_property(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Results by property, in the order in which properties first appear."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.property, []).append(result)
    return groups


def worst(results: Iterable[Result]) -> Verdict:
    """The gravest verdict of a group of results."""
    return max((result.verdict for result in results), key=_GRAVITY.index)


def differing(found: Counterexample) -> list[str]:
    """The observed columns on which the sides differ, in the order given."""
    names = list(dict.fromkeys([*found.kernel, *found.model]))
    return [name for name in names if found.kernel.get(name) != found.model.get(name)]


def place(result: Result) -> str:
    """The mode and engine of a result as text: ``ept-ad fuzz``."""
    named = [part for part in (result.mode, result.engine) if part != ALL]
    return " ".join(named) or "everywhere"

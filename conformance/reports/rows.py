# SPDX-License-Identifier: GPL-2.0-only
"""What every report must count alike: the results of a kernel, and those it owes.

A kernel that could not be judged has no results, and one in which nothing was compared has only SKIPs.
Neither is a pass, and a reader of JUnit, KTAP or JSON alone must be able to see that: both become one
ERROR row here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from conformance.differential.verdict import Counterexample, KernelReport, Result, Verdict

__all__ = ["ALL", "IDLE", "by_property", "differing", "place", "rows", "summary", "worst"]

ALL = "-"
"""The mode, engine, property or oracle of a result that holds for all of them."""

IDLE = "nothing was compared, so nothing is known"

# A difference outranks everything; a property compared in one mode and skipped in another was compared.
_GRAVITY = (Verdict.SKIP, Verdict.PASS, Verdict.MISS, Verdict.ERROR, Verdict.FAIL)


def rows(kernel: KernelReport) -> list[Result]:
    """The results of ``kernel``, followed by an ERROR where it could not be judged as a whole.

    A SKIP follows where the oracle cannot reach it.
    """
    results = list(kernel.results)
    if kernel.unreached is not None:
        return [*results, Result(ALL, ALL, ALL, ALL, Verdict.SKIP, reason=kernel.unreached)]
    reason = kernel.error
    if reason is None and not any(result.compared() for result in results):
        reason = IDLE
    # A FAIL without a count (kernel code that died at once) is a finding, not an idle kernel.
    if reason is IDLE and any(result.verdict is Verdict.FAIL for result in results):
        reason = None
    if reason is not None:
        results.append(Result(ALL, ALL, ALL, ALL, Verdict.ERROR, reason=reason))
    return results


def summary(kernels: Iterable[KernelReport]) -> dict[str, int]:
    """How many rows came to each verdict; every verdict is named."""
    seen = Counter(row.verdict for kernel in kernels for row in rows(kernel))
    return {verdict.value: seen[verdict] for verdict in Verdict}


def by_property(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Results by property, in the order in which properties first appear."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.property, []).append(result)
    return groups


def worst(results: Iterable[Result]) -> Verdict:
    """The verdict of a group of results: the gravest among them."""
    return max((result.verdict for result in results), key=_GRAVITY.index)


def differing(found: Counterexample) -> list[str]:
    """The observed columns on which the sides differ, in the order given."""
    names = list(dict.fromkeys([*found.kernel, *found.model]))
    return [name for name in names if found.kernel.get(name) != found.model.get(name)]


def place(result: Result) -> str:
    """The mode and engine of a result in words: ``ept-ad fuzz``."""
    named = [part for part in (result.mode, result.engine) if part != ALL]
    return " ".join(named) or "everywhere"

# SPDX-License-Identifier: GPL-2.0-only
"""Grouping of differences: a fault shows in many modes and engines, and is described once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from conformance.differential.verdict import Result, Verdict
from conformance.reports.rows import ALL, differing

__all__ = ["Difference", "Once", "differences", "places"]


@dataclass(frozen=True)
class Difference:
    """The results that show one difference: the one to describe, and the others in their order."""

    shown: Result
    others: tuple[Result, ...] = ()

    def __contains__(self, result: Result) -> bool:
        return result is self.shown or any(result is other for other in self.others)


def differences(results: Iterable[Result]) -> list[Difference]:
    """Group the failing results into differences.

    Results of one property belong together if they differ in a common column, or are connected by a chain of
    such results: the columns that a fault changes depend on the input. The result with the smallest legal
    input is described, or with the smallest if no input is legal.
    """
    groups: list[_Group] = []
    for result in results:
        if result.verdict is Verdict.FAIL:
            columns = _columns(result)
            joined = [group for group in groups if group.about == _about(result) and group.columns & columns]
            first = joined[0] if joined else _Group(_about(result))
            for other in joined[1:]:
                first.results += other.results
                first.columns |= other.columns
                groups.remove(other)
            first.results.append(result)
            first.columns |= columns
            if not joined:
                groups.append(first)
    found = []
    for group in groups:
        shown = min(group.results, key=_weight)
        found.append(Difference(shown, tuple(result for result in group.results if result is not shown)))
    return found


@dataclass
class _Group:
    """The results of one difference, with the key that they share and all columns in which they differ."""

    about: tuple[object, ...]
    columns: set[str] = field(default_factory=set)
    results: list[Result] = field(default_factory=list)


class Once:
    """For reports that list all results: which result a difference is described at, and which refer to it."""

    def __init__(self, results: Iterable[Result]) -> None:
        self._differences = differences(results)
        self._described: dict[int, Result] = {}

    def of(self, result: Result) -> Difference | Result:
        """The difference of ``result`` if it is to be described here; else the result that describes it."""
        number, found = next((n, one) for n, one in enumerate(self._differences) if result in one)
        first = self._described.setdefault(number, result)
        return found if first is result else first


def places(results: Sequence[Result]) -> str:
    """The engines that found a difference, by modes: ``bulk and fuzz in npt, ept-ad; prove``."""
    modes: dict[str, list[str]] = {}
    for result in results:
        if result.engine == ALL:
            continue
        found = modes.setdefault(result.engine, [])
        if result.mode != ALL and result.mode not in found:
            found.append(result.mode)
    engines: dict[frozenset[str], list[str]] = {}
    for engine, found in modes.items():
        engines.setdefault(frozenset(found), []).append(engine)
    parts = []
    for names in engines.values():
        where = modes[names[0]]
        by = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
        parts.append(f"{by} in {', '.join(where)}" if where else by)
    return "; ".join(parts)


def _about(result: Result) -> tuple[object, ...]:
    """The key that all results of one difference share."""
    found = result.counterexample
    return (result.property, result.oracle, found is None, found is not None and found.crash is not None)


def _columns(result: Result) -> set[str]:
    """The columns in which a result differs, or the reason if it has no counterexample."""
    found = result.counterexample
    if found is None:
        return {result.reason}
    return {"the answer"} if found.crash is not None else {*differing(found)} or {"nothing"}


def _weight(result: Result) -> tuple[bool, int, int, int]:
    """The sort key of a result: legal inputs first, then the smallest counterexample."""
    return result.counterexample.weight if result.counterexample else (True, 0, 0, 0)

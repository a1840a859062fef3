# SPDX-License-Identifier: GPL-2.0-only
"""Differences that are one: a fault shows in many modes and by many engines, and is described once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from conformance.differential.verdict import Result, Verdict
from conformance.reports.rows import ALL, differing

__all__ = ["Difference", "Once", "differences", "places"]


@dataclass(frozen=True)
class Difference:
    """Results that show one difference: the one to be described, and the others, in their order."""

    shown: Result
    others: tuple[Result, ...] = ()

    def __contains__(self, result: Result) -> bool:
        return result is self.shown or any(result is other for other in self.others)


def differences(results: Iterable[Result]) -> list[Difference]:
    """The differences among results, each once.

    Results of one property are one difference if they differ in a common column, or each of them with a
    third one: in what else a fault shows depends on the input. The smallest legal input is to be
    described, or the smallest if none is legal.
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
    """Results of one difference: what it is about, and all columns in which they differ."""

    about: tuple[object, ...]
    columns: set[str] = field(default_factory=set)
    results: list[Result] = field(default_factory=list)


class Once:
    """Which results of a kernel a report that lists them all describes, and to which others refer."""

    def __init__(self, results: Iterable[Result]) -> None:
        self._differences = differences(results)
        self._described: dict[int, Result] = {}

    def of(self, result: Result) -> Difference | Result:
        """The difference that ``result`` shows, to be described here; or the result where it was before."""
        number, found = next((n, one) for n, one in enumerate(self._differences) if result in one)
        first = self._described.setdefault(number, result)
        return found if first is result else first


def places(results: Sequence[Result]) -> str:
    """In which modes which engines found a difference: ``bulk and fuzz in npt, ept-ad; prove``."""
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
    told = []
    for names in engines.values():
        where = modes[names[0]]
        by = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
        told.append(f"{by} in {', '.join(where)}" if where else by)
    return "; ".join(told)


def _about(result: Result) -> tuple[object, ...]:
    """What all results of one difference have in common."""
    found = result.counterexample
    return (result.property, result.oracle, found is None, found is not None and found.crash is not None)


def _columns(result: Result) -> set[str]:
    """In what a result differs, or why there is no counterexample."""
    found = result.counterexample
    if found is None:
        return {result.reason}
    return {"the answer"} if found.crash is not None else {*differing(found)} or {"nothing"}


def _weight(result: Result) -> tuple[bool, int, int, int]:
    """How well a result shows the difference: legal inputs first, then those with least to read."""
    return result.counterexample.weight if result.counterexample else (True, 0, 0, 0)

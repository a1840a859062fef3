# SPDX-License-Identifier: GPL-2.0-only
"""Differences that are one: a fault shows in many modes and by many engines, and is described once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
    """The differences among results, each once: the same columns of the same property are one.

    The one with the smallest input is to be described.
    """
    alike: dict[tuple[object, ...], list[Result]] = {}
    for result in results:
        if result.verdict is Verdict.FAIL:
            alike.setdefault(_kind(result), []).append(result)
    found = []
    for group in alike.values():
        first = min(group, key=_size)
        found.append(Difference(first, tuple(result for result in group if result is not first)))
    return found


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


def _kind(result: Result) -> tuple[object, ...]:
    """What results of one difference have in common."""
    found = result.counterexample
    if found is None:
        return (result.property, result.oracle, result.reason)
    return (result.property, result.oracle, found.crash is not None, tuple(differing(found)))


def _size(result: Result) -> tuple[int, int]:
    """How much there is to read in a counterexample: bits set first, then magnitude."""
    words = list(result.counterexample.inputs.values()) if result.counterexample else []
    return sum(value.bit_count() for value in words), sum(words)

# SPDX-License-Identifier: GPL-2.0-only
"""The edges of the MMU that lockstep reaches in ten minutes: guided by coverage, and with uniform drawing.

Both sides walk the same kernel in the same modes for the same time, one process each, at the same time, and
the same library counts for both.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

from figures import Figure

from conformance.oracles.kvm.oracle import KvmOracle
from conformance.scenarios.guided import walk_guided, written
from conformance.scenarios.lockstep import Walked, walk
from conformance.scenarios.ready import Ready, prepare
from conformance.scenarios.walks import WALKS

__all__ = ["guided"]

MODES = ("shadow", "ept-ad", "nested-ept-ad", "legacy-npt")
"""One of each kind of guest and MMU."""
SECONDS = 600.0
"""Of each side, in all modes together."""

Reached = tuple[set[int], int, int]
"""The edges that were reached, the number of all, and of the compared steps."""


def guided(selector: str, seconds: float = SECONDS) -> list[Figure]:
    """The figures of a kernel. Raises RuntimeError if they cannot be measured."""
    ready = prepare(selector, (), lambda message: None, coverage=True)
    if not isinstance(ready, Ready):
        raise RuntimeError(ready.error or ready.unreached)
    sides = {"uniform": _uniform, "guided": _guided}
    reached: dict[str, set[tuple[str, int]]] = {name: set() for name in sides}
    total, steps = 0, dict.fromkeys(sides, 0)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for mode in MODES:
            under_way = {
                name: pool.submit(side, ready, mode, seconds / len(MODES)) for name, side in sides.items()
            }
            for name, future in under_way.items():
                edges, total, compared = future.result()
                steps[name] += compared
                reached[name].update((mode, edge) for edge in edges)
    by_uniform, by_guided = ({edge for _, edge in pairs} for pairs in reached.values())
    added_up = {name: len(pairs) for name, pairs in reached.items()}
    of = f"of {total:,} edges"
    return [
        Figure(
            f"uniform lockstep in {', '.join(MODES)}",
            f"{len(by_uniform):,} {of}",
            "1",
            note=_note(steps, seconds),
        ),
        Figure(
            "guided lockstep, the same modes and time",
            f"{len(by_guided):,} {of}",
            f"{len(by_guided) / len(by_uniform):.4g}",
            target="> 1",
            reached=len(by_guided) > len(by_uniform),
        ),
        Figure("edges that only the guided one reached", f"{len(by_guided - by_uniform):,}"),
        Figure("edges that only the uniform one reached", f"{len(by_uniform - by_guided):,}"),
        Figure("uniform: edges in each mode, added up", f"{added_up['uniform']:,}", "1"),
        Figure(
            "guided: edges in each mode, added up",
            f"{added_up['guided']:,}",
            f"{added_up['guided'] / added_up['uniform']:.4g}",
        ),
    ]


def _note(steps: dict[str, int], seconds: float) -> str:
    compared = ", ".join(f"{name} {number:,}" for name, number in steps.items())
    return f"{seconds:g} s of each side; compared steps: {compared}. Edges are those with a counter of gcc."


def _uniform(ready: Ready, mode: str, seconds: float) -> Reached:
    kind, edges, total = WALKS[mode], set(), [0]

    def ended(oracle: KvmOracle) -> None:
        found = oracle.edges()
        edges.update(found.executed)
        total[0] = found.total

    walked = walk(replace(ready.sides(kind.mode), ended=ended), kind, 0, seconds)
    return edges, total[0], _steps(mode, walked)


def _guided(ready: Ready, mode: str, seconds: float) -> Reached:
    kind = WALKS[mode]
    found = walk_guided(ready.sides(kind.mode), kind, 0, seconds, (), written(kind, ready.profile))
    return found.edges, found.total, _steps(mode, found.walked)


def _steps(mode: str, walked: Walked) -> int:
    if walked.found is not None:
        raise RuntimeError(f"{mode}: a difference ended lockstep early, so its figures say nothing")
    return walked.steps.total()

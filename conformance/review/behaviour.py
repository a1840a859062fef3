# SPDX-License-Identifier: GPL-2.0-only
"""Behaviour, through the shims: properties that execute what changed, on both kernels, on the same inputs.

Which functions a property executes is not read off its name: the shims are built so that each function
tells when it runs. No model takes part.
"""

from __future__ import annotations

import itertools
import math
import shlex
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from conformance.differential.comparison import Comparison, Difference
from conformance.differential.counterexamples import counterexample
from conformance.differential.engines import bulk, control_space, exhaust
from conformance.differential.engines.prove import left_out
from conformance.differential.outputs import Writes
from conformance.differential.properties import PROPERTIES
from conformance.differential.property import TDP_MODES, Property
from conformance.differential.selection import chosen
from conformance.differential.shrinking import smallest
from conformance.differential.sides import OracleSide, why_incomparable
from conformance.differential.verdict import Counterexample, Verdict, case_text
from conformance.kernels import Cache, Kernel
from conformance.model.layout import Layout
from conformance.model.modes import MODES
from conformance.model.profiles import profile_of
from conformance.oracles.child import FunctionOracle
from conformance.oracles.common import functions_of
from conformance.oracles.shim.build import build_shim
from conformance.oracles.shim.oracle import ShimOracle
from conformance.review import permission_check as succession
from conformance.review.constants import layout_of
from conformance.review.pairing import property_of
from conformance.review.plan import ReviewPlan

__all__ = ["Seen", "explore"]

Words = NDArray[np.uint64]

FIRST = 1 << 12
"""How many drawn cases each property gets in each mode, to see what it executes."""
CHUNKS = 16
"""How many chunks of cases a property gets in a mode, if there is time."""
AT_ONCE = 1 << 14
"""How many combinations are all tried, of the bits that decide."""
PROVING = 10.0
"""Seconds for proofs, after which those that are under way are waited for and no other is begun."""


@dataclass
class Seen:
    """What came of one property: the cases run, the functions executed on either kernel, and a difference.

    ``blamed`` are those that the difference itself executes. ``proved``: there is no input on which the
    two answer differently, since every one was run in every mode, or by a proof.
    """

    name: str
    cases: int = 0
    executed: set[str] = field(default_factory=set)
    difference: Counterexample | None = None
    blamed: set[str] = field(default_factory=set)
    proved: bool = False


def explore(
    before: Kernel,
    after: Kernel,
    changed: Collection[str],
    renamed: Mapping[str, str],
    wanted: ReviewPlan,
    progress: Callable[[str], None],
) -> tuple[list[Seen], str]:
    """Run the properties that execute one of the ``changed`` functions (names of either kernel).

    What came of each; and why some were not run, "" if all were. ``renamed`` are functions that only the
    kernel after the change calls so. Raises BuildError if the patched code cannot be called as before.
    """
    libraries = [
        build_shim(before, Cache(), progress, traced=True),
        build_shim(after, Cache(), progress, traced=True, renamed=renamed),
    ]
    progress(f"{after.title}: comparing with {before.title}")
    with ShimOracle(libraries[0]) as first, ShimOracle(libraries[1]) as second:
        scene = _Scene(before, after, (first, second), [functions_of(library) for library in libraries])
        comparisons, why = scene.comparisons(wanted)
        concerned = [
            seen for seen in _run(scene, comparisons, set(changed), wanted) if seen.executed & set(changed)
        ]
        if wanted.case or wanted.modes:
            return concerned, why
        if missing := left_out():
            progress(missing)
        else:
            progress(f"{after.title}: proving")
            _prove(scene, [(before, libraries[0]), (after, libraries[1])], concerned, set(changed), wanted)
        return concerned, why


class _Scene:
    """Two kernels' shims as the sides of comparisons."""

    def __init__(
        self,
        before: Kernel,
        after: Kernel,
        oracles: tuple[FunctionOracle, FunctionOracle],
        names: list[dict[int, str]],
    ) -> None:
        self._kernels = before, after
        self._profiles = profile_of(before.release), profile_of(after.release)
        self._oracles = oracles
        self._names = names
        self._before, self._after = (
            OracleSide(oracle, profile, title, compiled=partial(self._layout, n))
            for n, (oracle, profile, title) in enumerate(
                zip(oracles, self._profiles, ("before", "after"), strict=True)
            )
        )

    def comparisons(self, wanted: ReviewPlan) -> tuple[dict[str, list[Comparison]], str]:
        """What can be compared on both, by property; and why some cannot."""
        found: dict[str, list[Comparison]] = {}
        why = ""
        for prop in chosen(wanted.only):
            if not self.has(prop.name):
                continue
            if apart := why_incomparable(prop, *self._profiles):
                why = apart
                continue
            found[prop.name] = [
                self._comparison(prop, mode)
                for mode in prop.modes
                if not wanted.modes or mode in wanted.modes
            ]
        old = PROPERTIES[succession.OLD]
        succeeds = old in chosen(wanted.only) and succession.applies(self._before, self._after)
        if succeeds and not why_incomparable(old, *self._profiles):
            check = succession.PermissionCheck(self._after)
            found[succession.OLD] = [
                Comparison(old, MODES[mode], self._before, check, review=True)
                for mode in TDP_MODES
                if not wanted.modes or mode in wanted.modes
            ]
        return found, why

    def _comparison(self, prop: Property, mode: str) -> Comparison:
        return Comparison(prop, MODES[mode], self._before, self._after, review=True)

    def _layout(self, which: int) -> Layout:
        """Where the bits of SPTEs lie in the kernel before (0) or after, as it is compiled."""
        return layout_of(self._kernels[which], self._profiles[which])

    def has(self, name: str) -> bool:
        """Whether both kernels have the property itself."""
        sides = (self._before, self._after)
        return all(side.absence(PROPERTIES[name]) is None for side in sides)

    def executed_by(self, prop: Property, mode: str, found: Counterexample) -> set[str]:
        """What a difference executes on either kernel; nothing if its host is none of a mode."""
        if mode not in MODES:
            return set()
        self.covered()
        self._comparison(prop, mode).compare_once(tuple(found.inputs.values()))
        return self.covered()

    def covered(self) -> set[str]:
        """The functions that ran on either kernel since this was last asked."""
        return {
            names[offset]
            for oracle, names in zip(self._oracles, self._names, strict=True)
            for offset in oracle.covered()
            if offset in names
        }


def _run(
    scene: _Scene, comparisons: dict[str, list[Comparison]], changed: set[str], wanted: ReviewPlan
) -> list[Seen]:
    """Every property once, then those that execute what changed until the budget ends."""
    found = {name: Seen(name) for name in comparisons}
    end = time.monotonic() + wanted.budget
    for name, each in comparisons.items():
        for comparison in each:
            _see(scene, comparison, found[name], wanted, partial(_first, wanted=wanted))
    concerned = [name for name in comparisons if found[name].executed & changed and not wanted.case]
    for name in concerned:
        spaces = [space for comparison in comparisons[name] if (space := _inputs(comparison)) is not None]
        if len(spaces) == len(comparisons[name]):
            for comparison, space in zip(comparisons[name], spaces, strict=True):
                _see(scene, comparison, found[name], wanted, partial(_every, inputs=space))
            found[name].proved = not wanted.modes and found[name].difference is None
    for thorough in (_exhaustive, _chunk, *[_chunk] * (CHUNKS - 1)):
        for name in concerned:
            for comparison in comparisons[name]:
                if found[name].difference is None and time.monotonic() < end:
                    _see(scene, comparison, found[name], wanted, partial(thorough, seed=wanted.seed))
    return list(found.values())


def _prove(
    scene: _Scene,
    kernels: list[tuple[Kernel, Path]],
    concerned: list[Seen],
    changed: set[str],
    wanted: ReviewPlan,
) -> None:
    """Prove, as far as there is time, that properties have no difference; first those of what changed.

    What a refutation executes is held responsible for it, as for any difference.
    """
    # Here and not above: z3 is an extra.
    from conformance.differential.proving.proof_workers import prove_all
    from conformance.differential.proving.side_specs import Pair, shim_spec

    own = {name for function in changed for name in property_of(function)}
    alike = {
        seen.name: seen
        for seen in sorted(concerned, key=lambda seen: seen.name not in own)
        if seen.difference is None and not seen.proved and scene.has(seen.name)
    }
    left, right = (shim_spec(kernel, library, kernel.title) for kernel, library in kernels)
    end = time.monotonic() + PROVING
    for result in prove_all(Pair(left, right, review=True), [*alike], PROVING, 2, wanted.arguments):
        seen = alike[result.property]
        seen.proved = result.verdict is Verdict.PASS
        if result.counterexample is not None:
            seen.difference = result.counterexample
            seen.blamed = scene.executed_by(PROPERTIES[seen.name], result.mode, result.counterexample)
            seen.blamed = seen.blamed or seen.executed
        if time.monotonic() > end:
            break


def _see(
    scene: _Scene,
    comparison: Comparison,
    seen: Seen,
    wanted: ReviewPlan,
    how: Callable[[Comparison], Difference | None],
) -> None:
    """Compare somehow, and note what ran and what came of it. Only the first difference is kept."""
    if seen.difference is not None:
        return
    scene.covered()
    cases = comparison.cases
    difference = how(comparison)
    seen.cases += comparison.cases - cases
    seen.executed |= scene.covered()
    if difference is None:
        return
    # A case that was asked for is shown as it is.
    shown = difference if wanted.case else _smallest(comparison, difference, wanted.seed)
    scene.covered()
    comparison.compare_once(shown.case)
    seen.blamed = scene.covered()
    seen.difference = counterexample(comparison, shown, _again(comparison, shown, wanted))


def _smallest(comparison: Comparison, found: Difference, seed: int) -> Difference:
    """A small case on which the two differ; if there is one, in more than how memory is accessed.

    That an SPTE was written plainly says less than what another CPU's write in between was lost by it.
    """
    if any(isinstance(output, Writes) for output in comparison.property.gives):
        rest = comparison.ignoring(Writes)
        telling = rest.compare_once(found.case) or bulk(rest, _rng(rest, seed, "telling"))
        shown = smallest(rest, telling, _rng(rest, seed, "smallest")) if telling else None
        if shown is not None and comparison.property.legal(comparison.semantics, shown.case):
            return comparison.compare_once(shown.case) or shown
    return smallest(comparison, found, _rng(comparison, seed, "smallest"))


def _again(comparison: Comparison, found: Difference, wanted: ReviewPlan) -> str:
    place = [
        "--only",
        comparison.property.name,
        "--mode",
        comparison.mode.name,
        "--case",
        case_text(found.case),
    ]
    return shlex.join(["conformance", "diff", *wanted.arguments, *place])


def _rng(comparison: Comparison, seed: int, how: str) -> np.random.Generator:
    return np.random.default_rng([seed, *f"{comparison.property.name}/{comparison.mode.name}/{how}".encode()])


def _first(comparison: Comparison, wanted: ReviewPlan) -> Difference | None:
    """A few drawn cases, or the one given."""
    if wanted.case:
        return comparison.compare_once(wanted.case)
    n = min(FIRST, comparison.capacity) // (16 if comparison.property.scalar else 1)
    return comparison.compare(comparison.draw(_rng(comparison, wanted.seed, "first"), n))


def _chunk(comparison: Comparison, seed: int) -> Difference | None:
    return bulk(comparison, _rng(comparison, seed + comparison.cases, "bulk"))


def _inputs(comparison: Comparison) -> Words | None:
    """Every input of a property that takes nothing but choices, as a batch; None if there are too many."""
    listed = [column.choices(comparison.semantics) for column in comparison.property.takes]
    values = [one for one in listed if one is not None]
    if len(values) < len(listed) or math.prod(map(len, values)) > AT_ONCE:
        return None
    return np.array([*itertools.product(*values)], np.uint64).T.copy()


def _every(comparison: Comparison, inputs: Words) -> Difference | None:
    """Every input there is."""
    for start in range(0, inputs.shape[1], comparison.capacity):
        found = comparison.compare(inputs[:, start : start + comparison.capacity].copy())
        if found is not None:
            return found
    return None


def _exhaustive(comparison: Comparison, seed: int) -> Difference | None:
    """Every combination of the bits that decide, if that is quickly done."""
    if comparison.property.scalar:
        return None
    rng = _rng(comparison, seed, "exhaustive")
    space = control_space(comparison, rng)
    if isinstance(space, Difference):
        return space
    found = exhaust(comparison, space, rng) if space.size <= AT_ONCE else None
    return found if isinstance(found, Difference) else None

# SPDX-License-Identifier: GPL-2.0-only
"""Behaviour of functions: the properties that execute what changed, run on both kernels' shims.

The functions that a property executes are counted by the shims themselves, not derived from its name. The
model takes no part.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path

from conformance.differential.comparison import Comparison, Difference
from conformance.differential.counterexamples import counterexample
from conformance.differential.engines.prove import left_out
from conformance.differential.properties import PROPERTIES
from conformance.differential.property import TDP_MODES, Property
from conformance.differential.selection import chosen
from conformance.differential.sides import OracleSide, why_incomparable
from conformance.differential.verdict import Counterexample, Verdict, case_text
from conformance.kernels import Cache, Kernel
from conformance.model.layout import Layout
from conformance.model.modes import MODES
from conformance.model.profiles import profile_of
from conformance.oracles.child import FunctionOracle
from conformance.oracles.coverage import executed, units_of
from conformance.oracles.shim.build import build_shim
from conformance.oracles.shim.oracle import ShimOracle
from conformance.review import permission_check
from conformance.review.constants import layout_of
from conformance.review.pairing import property_of
from conformance.review.plan import ReviewPlan
from conformance.review.ran import Ran, Seen, unnamed
from conformance.review.search import all_inputs, every, exhaustive, random_chunk, sample, shrunk

__all__ = ["explore"]

CHUNKS = 16
"""Chunks of random cases per property and mode, if the budget allows."""
PROVING = 10.0
"""Seconds for proofs; after that no proof is started, and those that run are waited for."""


def explore(
    before: Kernel,
    after: Kernel,
    changed: Collection[str],
    renamed: Mapping[str, str],
    wanted: ReviewPlan,
    progress: Callable[[str], None],
    reach: Mapping[str, frozenset[str]],
    files: Collection[str] = (),
) -> Ran:
    """Run the properties of ``reach``, which gives the functions that each is known to execute before.

    Those that execute one of the ``changed`` functions (names of either kernel) are run until the budget is
    used up, and proved. ``renamed`` maps the old to the new names of renamed functions. Lines of ``files``
    are counted. Raises BuildError if the patched code cannot be called as before.
    """
    libraries = (
        build_shim(before, Cache(), progress, coverage=True),
        build_shim(after, Cache(), progress, coverage=True, renamed=renamed),
    )
    progress(f"{after.title}: comparing with {before.title}")
    with ShimOracle(libraries[0]) as first, ShimOracle(libraries[1]) as second:
        scene = _Scene(before, after, (first, second), libraries, files)
        comparisons, why = scene.comparisons(wanted, reach)
        inlined = unnamed(libraries, changed)
        seen = {name: Seen(name, executed={*reach.get(name, ())} & inlined) for name in comparisons}
        _run(scene, comparisons, seen, set(changed), wanted)
        ran = Ran(libraries, [*seen.values()], why)
        if wanted.case or wanted.modes:
            return ran
        if missing := left_out():
            progress(missing)
        else:
            progress(f"{after.title}: proving")
            kernels = [(before, libraries[0]), (after, libraries[1])]
            _prove(scene, kernels, ran.concerning(changed), set(changed), wanted)
        return ran


class _Scene:
    """Two kernels' shims as the sides of comparisons."""

    def __init__(
        self,
        before: Kernel,
        after: Kernel,
        oracles: tuple[FunctionOracle, FunctionOracle],
        libraries: tuple[Path, Path],
        files: Collection[str],
    ) -> None:
        self._kernels = before, after
        self._libraries = libraries
        self._units = [units_of(library, files) for library in libraries]
        self._profiles = profile_of(before.release), profile_of(after.release)
        self._oracles = oracles
        self._before, self._after = (
            OracleSide(oracle, profile, title, compiled=partial(self._layout, n))
            for n, (oracle, profile, title) in enumerate(
                zip(oracles, self._profiles, ("before", "after"), strict=True)
            )
        )

    def comparisons(
        self, wanted: ReviewPlan, names: Collection[str]
    ) -> tuple[dict[str, list[Comparison]], str]:
        """What can be compared on both, by property; and why some cannot."""
        found: dict[str, list[Comparison]] = {}
        why = ""
        for prop in chosen(wanted.only):
            if prop.name not in names or not self.has(prop.name):
                continue
            if apart := why_incomparable(prop, *self._profiles):
                why = apart
                continue
            found[prop.name] = [
                self._comparison(prop, mode)
                for mode in prop.modes
                if not wanted.modes or mode in wanted.modes
            ]
        old = PROPERTIES[permission_check.OLD]
        succeeds = old in chosen(wanted.only) and permission_check.applies(self._before, self._after)
        if succeeds and old.name in names and not why_incomparable(old, *self._profiles):
            check = permission_check.PermissionCheck(self._after)
            found[permission_check.OLD] = [
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
        """The functions that a counterexample executes; none if its host is not that of a mode."""
        if mode not in MODES:
            return set()
        self.covered()
        self._comparison(prop, mode).compare_once(tuple(found.inputs.values()))
        return self.covered()

    def covered(self, seen: Seen | None = None) -> set[str]:
        """The functions that either kernel has executed since the last call; ``seen`` counts their lines."""
        both = [oracle.coverage() for oracle in self._oracles]
        if seen is not None:
            seen.count(*(counters.of(units) for counters, units in zip(both, self._units, strict=True)))
        return set().union(*map(executed, self._libraries, both))


def _run(
    scene: _Scene,
    comparisons: dict[str, list[Comparison]],
    found: dict[str, Seen],
    changed: set[str],
    wanted: ReviewPlan,
) -> None:
    """Run every property once, then those that execute what changed until the budget is used up."""
    end = time.monotonic() + wanted.budget
    for name, each in comparisons.items():
        for comparison in each:
            _see(scene, comparison, found[name], wanted, partial(sample, wanted=wanted))
    concerned = [name for name in comparisons if found[name].executed & changed and not wanted.case]
    for name in concerned:
        spaces = [space for comparison in comparisons[name] if (space := all_inputs(comparison)) is not None]
        if len(spaces) == len(comparisons[name]):
            for comparison, space in zip(comparisons[name], spaces, strict=True):
                _see(scene, comparison, found[name], wanted, partial(every, inputs=space))
            found[name].proved = not wanted.modes and found[name].difference is None
    for thorough in (exhaustive, random_chunk, *[random_chunk] * (CHUNKS - 1)):
        for name in concerned:
            for comparison in comparisons[name]:
                if found[name].difference is None and time.monotonic() < end:
                    _see(scene, comparison, found[name], wanted, partial(thorough, seed=wanted.seed))


def _prove(
    scene: _Scene,
    kernels: list[tuple[Kernel, Path]],
    concerned: list[Seen],
    changed: set[str],
    wanted: ReviewPlan,
) -> None:
    """Prove within the time limit that properties have no difference, those of changed functions first.

    The functions that a counterexample executes are blamed for it, as for any difference.
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
    """Compare as ``how`` says; record what ran, and the first difference."""
    if seen.difference is not None:
        return
    scene.covered()
    cases = comparison.cases
    difference = how(comparison)
    seen.cases += comparison.cases - cases
    seen.executed |= scene.covered(seen)
    if difference is None:
        return
    # A case given by the user is not shrunk.
    shown = difference if wanted.case else shrunk(comparison, difference, wanted.seed)
    scene.covered()
    comparison.compare_once(shown.case)
    seen.blamed = scene.covered()
    seen.difference = counterexample(comparison, shown, _again(comparison, shown, wanted))


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

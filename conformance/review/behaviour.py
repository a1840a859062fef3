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
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from conformance.differential.columns import SpteColumn
from conformance.differential.comparison import Difference
from conformance.differential.duel import Duel, moved_bits
from conformance.differential.engines import bulk, control_space, exhaust
from conformance.differential.engines.bulk import draw
from conformance.differential.engines.prove import left_out
from conformance.differential.properties import PROPERTIES
from conformance.differential.property import TDP_MODES, Property
from conformance.differential.selection import chosen
from conformance.differential.shrinking import smallest
from conformance.differential.verdict import Counterexample, Verdict, case_text
from conformance.kernels import Cache, Kernel
from conformance.model.layout import Layout
from conformance.model.modes import MODES
from conformance.model.profiles import profile_of
from conformance.oracles.child import FunctionOracle
from conformance.oracles.common import functions_of
from conformance.oracles.shim.build import build_shim
from conformance.oracles.shim.oracle import ShimOracle
from conformance.review import succession
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
        duels, why = scene.duels(wanted)
        concerned = [
            seen for seen in _run(scene, duels, set(changed), wanted) if seen.executed & set(changed)
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
    """Two kernels' shims, side by side."""

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

    def duels(self, wanted: ReviewPlan) -> tuple[dict[str, list[Duel]], str]:
        """What can be compared on both, by property; and why some cannot."""
        found: dict[str, list[Duel]] = {}
        moved = moved_bits(*self._profiles)
        apart: list[str] = []
        for prop in chosen(wanted.only):
            if not all(prop.name in oracle.entries for oracle in self._oracles):
                continue
            if moved and any(isinstance(column, SpteColumn) for column in prop.takes):
                apart.append(prop.name)
                continue
            found[prop.name] = list(self._modes(prop, wanted.modes))
        asked = PROPERTIES[succession.OLD] in chosen(wanted.only)
        if asked and succession.applies(self._oracles) and not moved:
            found[succession.OLD] = [
                succession.PermissionCheck(MODES[mode], self._profiles, self._oracles)
                for mode in TDP_MODES
                if not wanted.modes or mode in wanted.modes
            ]
        bits = ", ".join(moved)
        why = f"a word is not the same SPTE to both kernels, for {bits} moved" if apart else ""
        return found, why

    def _modes(self, prop: Property, modes: tuple[str, ...]) -> Iterator[Duel]:
        for mode in prop.modes:
            if not modes or mode in modes:
                yield Duel(prop, MODES[mode], self._profiles, self._oracles)

    @cached_property
    def layouts(self) -> tuple[Layout, Layout]:
        """Where the bits of SPTEs lie in either kernel, as it is compiled."""
        before, after = self._profiles
        return layout_of(self._kernels[0], before), layout_of(self._kernels[1], after)

    def has(self, name: str) -> bool:
        """Whether both kernels have the property itself."""
        return all(name in oracle.entries for oracle in self._oracles)

    def executed_by(self, prop: Property, mode: str, found: Counterexample) -> set[str]:
        """What a difference executes on either kernel; nothing if its host is none of a mode."""
        if mode not in MODES:
            return set()
        self.covered()
        Duel(prop, MODES[mode], self._profiles, self._oracles).compare_once(tuple(found.inputs.values()))
        return self.covered()

    def covered(self) -> set[str]:
        """The functions that ran on either kernel since this was last asked."""
        return {
            names[offset]
            for oracle, names in zip(self._oracles, self._names, strict=True)
            for offset in oracle.covered()
            if offset in names
        }


def _run(scene: _Scene, duels: dict[str, list[Duel]], changed: set[str], wanted: ReviewPlan) -> list[Seen]:
    """Every property once, then those that execute what changed until the budget ends."""
    found = {name: Seen(name) for name in duels}
    end = time.monotonic() + wanted.budget
    for name, each in duels.items():
        for duel in each:
            _see(scene, duel, found[name], wanted, partial(_first, wanted=wanted))
    concerned = [name for name in duels if found[name].executed & changed and not wanted.case]
    for name in concerned:
        spaces = [space for duel in duels[name] if (space := _inputs(duel)) is not None]
        if len(spaces) == len(duels[name]):
            for duel, space in zip(duels[name], spaces, strict=True):
                _see(scene, duel, found[name], wanted, partial(_every, inputs=space))
            found[name].proved = not wanted.modes and found[name].difference is None
    for thorough in (_exhaustive, _chunk, *[_chunk] * (CHUNKS - 1)):
        for name in concerned:
            for duel in duels[name]:
                if found[name].difference is None and time.monotonic() < end:
                    _see(scene, duel, found[name], wanted, partial(thorough, seed=wanted.seed))
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
    from conformance.differential.proving.run_proofs import shim_witness
    from conformance.differential.proving.working import prove_all

    own = {name for function in changed for name in property_of(function)}
    alike = {
        seen.name: seen
        for seen in sorted(concerned, key=lambda seen: seen.name not in own)
        if seen.difference is None and not seen.proved and scene.has(seen.name)
    }
    witnesses = [shim_witness(kernel, library) for kernel, library in kernels]
    end = time.monotonic() + PROVING
    for result in prove_all(witnesses, [*alike], PROVING, 2, wanted.arguments):
        seen = alike[result.property]
        seen.proved = result.verdict is Verdict.PASS
        if result.counterexample is not None:
            seen.difference = result.counterexample
            seen.blamed = scene.executed_by(PROPERTIES[seen.name], result.mode, result.counterexample)
            seen.blamed = seen.blamed or seen.executed
        if time.monotonic() > end:
            break


def _see(
    scene: _Scene, duel: Duel, seen: Seen, wanted: ReviewPlan, how: Callable[[Duel], Difference | None]
) -> None:
    """Compare somehow, and note what ran and what came of it. Only the first difference is kept."""
    if seen.difference is not None:
        return
    scene.covered()
    cases = duel.cases
    difference = how(duel)
    seen.cases += duel.cases - cases
    seen.executed |= scene.covered()
    if difference is None:
        return
    # A case that was asked for is shown as it is.
    shown = difference if wanted.case else _smallest(duel, difference, wanted.seed)
    scene.covered()
    duel.compare_once(shown.case)
    seen.blamed = scene.covered()
    seen.difference = duel.tell(shown, _again(duel, shown, wanted), scene.layouts)


def _smallest(duel: Duel, found: Difference, seed: int) -> Difference:
    """A small case on which the two differ; if there is one, in more than how memory is accessed.

    That an SPTE was written plainly says less than what another CPU's write in between was lost by it.
    """
    if "accesses" in duel.property.gives:
        duel.overlooked = "accesses"
        telling = duel.compare_once(found.case) or bulk(duel, _rng(duel, seed, "telling"))
        shown = smallest(duel, telling, _rng(duel, seed, "smallest")) if telling else None
        duel.overlooked = ""
        if shown is not None and duel.property.legal(duel.kernel, shown.case):
            return duel.compare_once(shown.case) or shown
    return smallest(duel, found, _rng(duel, seed, "smallest"))


def _again(duel: Duel, found: Difference, wanted: ReviewPlan) -> str:
    place = ["--only", duel.property.name, "--mode", duel.mode.name, "--case", case_text(found.case)]
    return shlex.join(["conformance", "diff", *wanted.arguments, *place])


def _rng(duel: Duel, seed: int, how: str) -> np.random.Generator:
    return np.random.default_rng([seed, *f"{duel.property.name}/{duel.mode.name}/{how}".encode()])


def _first(duel: Duel, wanted: ReviewPlan) -> Difference | None:
    """A few drawn cases, or the one given."""
    if wanted.case:
        return duel.compare_once(wanted.case)
    n = min(FIRST, duel.capacity) // (16 if duel.property.scalar else 1)
    return duel.compare(draw(duel, _rng(duel, wanted.seed, "first"), n))


def _chunk(duel: Duel, seed: int) -> Difference | None:
    return bulk(duel, _rng(duel, seed + duel.cases, "bulk"))


def _inputs(duel: Duel) -> Words | None:
    """Every input of a property that takes nothing but choices, as a batch; None if there are too many."""
    listed = [column.choices(duel.kernel) for column in duel.property.takes]
    values = [one for one in listed if one is not None]
    if len(values) < len(listed) or math.prod(map(len, values)) > AT_ONCE:
        return None
    return np.array([*itertools.product(*values)], np.uint64).T.copy()


def _every(duel: Duel, inputs: Words) -> Difference | None:
    """Every input there is."""
    for start in range(0, inputs.shape[1], duel.capacity):
        found = duel.compare(inputs[:, start : start + duel.capacity].copy())
        if found is not None:
            return found
    return None


def _exhaustive(duel: Duel, seed: int) -> Difference | None:
    """Every combination of the bits that decide, if that is quickly done."""
    if duel.property.scalar:
        return None
    rng = _rng(duel, seed, "exhaustive")
    space = control_space(duel, rng)
    if isinstance(space, Difference):
        return space
    found = exhaust(duel, space, rng) if space.size <= AT_ONCE else None
    return found if isinstance(found, Difference) else None

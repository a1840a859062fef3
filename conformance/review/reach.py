# SPDX-License-Identifier: GPL-2.0-only
"""The functions of a kernel that properties and stories execute: measured once, and cached.

A change to functions that none of them executes cannot make them behave differently, so that no kernel has
to be built to report that nothing executes what changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np

from conformance.differential.drawing import draw
from conformance.differential.fingerprints import answers
from conformance.differential.properties import PROPERTIES
from conformance.differential.sides import OracleSide
from conformance.kernels import Cache, Kernel, key_of
from conformance.model.modes import MODES
from conformance.model.profiles import profile_of
from conformance.oracles.child import KernelDied as FunctionDied
from conformance.oracles.common import digest_of_parts, functions_of
from conformance.oracles.kvm.build import build_kvm
from conformance.oracles.kvm.deaths import KernelDied
from conformance.oracles.kvm.oracle import KvmOracle
from conformance.oracles.shim.build import build_shim
from conformance.oracles.shim.oracle import ShimOracle
from conformance.scenarios.stories import STORIES
from conformance.scenarios.story import TDP_MODES

__all__ = ["Reach", "executed_by_properties", "executed_by_stories", "known", "pass_on"]

Reach = dict[str, frozenset[str]]
"""The functions that each property or story executes, in any mode."""

Progress = Callable[[str], None]

_CASES = 1 << 12
_NOTE, _SHAPE = "executed", {str: [str]}
_PARTS = ("differential", "model", "oracles", "scenarios", "review/reach.py")
"""The parts of this package that decide which functions run."""


def known(kernel: Kernel, cache: Cache, what: str) -> Reach | None:
    """The cached measurement of a kernel; None without one. ``what``: "properties" or "stories"."""
    note = cache.read_note(_NOTE, _key(kernel, what), _SHAPE)
    return None if note is None else {name: frozenset(found) for name, found in note.items()}


def pass_on(before: Kernel, after: Kernel, cache: Cache) -> None:
    """Copy the measurement of a kernel to one that differs only in code that is not executed."""
    for what in ("properties", "stories"):
        note = cache.read_note(_NOTE, _key(before, what), _SHAPE)
        if note is not None:
            cache.write_note(_NOTE, _key(after, what), note)


def executed_by_properties(kernel: Kernel, cache: Cache, progress: Progress) -> Reach:
    """The functions that each property executes. Raises BuildError."""
    return known(kernel, cache, "properties") or _measured(
        kernel, cache, "properties", _properties(kernel, progress)
    )


def executed_by_stories(kernel: Kernel, cache: Cache, progress: Progress) -> Reach:
    """The functions that each story executes. Raises CannotBuild, BuildError, Lacking."""
    return known(kernel, cache, "stories") or _measured(kernel, cache, "stories", _stories(kernel, progress))


def _measured(kernel: Kernel, cache: Cache, what: str, found: Iterator[tuple[str, set[str]]]) -> Reach:
    reach: dict[str, set[str]] = {}
    for name, functions in found:
        reach.setdefault(name, set()).update(functions)
    cache.write_note(
        _NOTE, _key(kernel, what), {name: sorted(functions) for name, functions in reach.items()}
    )
    return {name: frozenset(functions) for name, functions in reach.items()}


def _key(kernel: Kernel, what: str) -> str:
    return key_of(kernel.fingerprint, what, digest_of_parts(*_PARTS))


def _properties(kernel: Kernel, progress: Progress) -> Iterator[tuple[str, set[str]]]:
    library = build_shim(kernel, Cache(), progress, traced=True)
    names, profile = functions_of(library), profile_of(kernel.release)
    progress(f"{kernel.title}: noting what the properties execute")
    with ShimOracle(library) as oracle:
        side = OracleSide(oracle, profile)
        for prop in PROPERTIES.values():
            if side.absence(prop) is not None:
                continue
            for mode in prop.modes:
                n = min(_CASES, side.capacity(prop)) // (16 if prop.scalar else 1)
                cases = draw(prop, side.semantics(MODES[mode]), np.random.default_rng(0), n)
                oracle.covered()
                with suppress(FunctionDied):
                    answers(side, prop, mode, cases)
                yield prop.name, {names[offset] for offset in oracle.covered() if offset in names}


def _stories(kernel: Kernel, progress: Progress) -> Iterator[tuple[str, set[str]]]:
    library = build_kvm(kernel, Cache(), progress, traced=True)
    profile = profile_of(kernel.release)
    progress(f"{kernel.title}: noting what the stories execute")
    for story in STORIES.values():
        for mode in story.modes:
            if mode not in TDP_MODES or story.absent(profile):
                continue
            with suppress(KernelDied), KvmOracle(library, MODES[mode].host(), story.script.options) as oracle:
                with suppress(KernelDied):
                    for step in story.script.steps:
                        oracle.step(step.kind, **step.arguments)
                with suppress(ValueError):
                    yield story.name, oracle.covered()

# SPDX-License-Identifier: GPL-2.0-only
"""Known fixes that a change reverts: by the text that it restores, or by what functions answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial

from conformance.differential.inputs import inputs
from conformance.differential.properties import PROPERTIES
from conformance.differential.property import Property
from conformance.differential.sides import OracleSide
from conformance.errors import ConformanceError
from conformance.history import FIXES
from conformance.history.fix import Revert
from conformance.kernels import Cache, Kernel
from conformance.kernels.substitutions import Substitution
from conformance.model.changes import Change
from conformance.model.modes import MODES
from conformance.model.profiles import profile_of
from conformance.oracles.child import FunctionOracle
from conformance.oracles.shim.build import build_shim
from conformance.oracles.shim.oracle import ShimOracle
from conformance.review.fit_profile import flipped
from conformance.review.questions import Behaviour
from conformance.review.tokens import tokens

__all__ = ["reverted_fixes"]

_AROUND = 6
"""The number of tokens on either side of a fix that must surround the text that replaces it."""


def reverted_fixes(
    before: Kernel, after: Kernel, differing: Collection[str], progress: Callable[[str], None]
) -> tuple[str, ...]:
    """A sentence for each known fix that the kernel before has, and the kernel after lacks.

    ``differing`` are the properties that were seen to differ.
    """
    found = dict.fromkeys(_by_text(before, after))
    found.update(dict.fromkeys(_by_behaviour(before, after, differing, progress)))
    return tuple(f'It undoes {change.commit} ("{change.title}").' for change in found)


def _by_text(before: Kernel, after: Kernel) -> Iterator[Change]:
    for fix in FIXES:
        if any(_restored(revert, before, after) for revert in fix.reverts):
            yield fix.change


def _restored(revert: Revert, before: Kernel, after: Kernel) -> bool:
    """Whether every text of a fix is replaced by the text without it."""
    return all(_replaced(one, before, after) for one in revert.substitutions)


def _replaced(one: Substitution, before: Kernel, after: Kernel) -> bool:
    paths = [kernel.root / "src" / one.file for kernel in (before, after)]
    if not all(path.is_file() for path in paths):
        return False
    ours, theirs = (path.read_text(errors="replace") for path in paths)
    if ours == theirs:
        return False
    try:
        left, right = map(tokens, one.split(ours))
    except ConformanceError:
        return False
    old, new, now = tokens(one.old), tokens(one.new), tokens(theirs)
    around = left[-_AROUND:], right[:_AROUND]
    return _holds(now, (*around[0], *new, *around[1])) and not _holds(now, (*around[0], *old, *around[1]))


def _holds(text: tuple[str, ...], part: tuple[str, ...]) -> bool:
    return f" {' '.join(part)} " in f" {' '.join(text)} "


def _by_behaviour(
    before: Kernel, after: Kernel, differing: Iterable[str], progress: Callable[[str], None]
) -> Iterator[Change]:
    """The changes with which the model answers as the old kernel, and without which as the new one."""
    wanted = [PROPERTIES[name] for name in differing if name in PROPERTIES]
    if not wanted:
        return
    libraries = [build_shim(kernel, Cache(), progress, coverage=True) for kernel in (before, after)]
    with ShimOracle(libraries[0]) as first, ShimOracle(libraries[1]) as second:
        for prop in wanted:
            if prop.name in first.entries and prop.name in second.entries:
                yield from _explaining(prop, before, first, second)


def _explaining(
    prop: Property, before: Kernel, first: FunctionOracle, second: FunctionOracle
) -> Iterator[Change]:
    """The changes whose absence alone explains all differences of a property."""
    profile = profile_of(before.release)
    cases = inputs(prop)
    found: set[Change] | None = None
    for mode in prop.modes:
        had, has = (
            Behaviour(prop, MODES[mode], cases, partial(OracleSide, oracle)) for oracle in (first, second)
        )
        if had.answer(profile).misfit is not None or has.answer(profile).misfit is None:
            continue
        asked = has.answer(profile).asked & profile.changes
        # A kernel without the function would not differ either: that explains nothing.
        others = {change: flipped(profile, change) for change in asked}
        fitting = {
            change
            for change, other in others.items()
            if not prop.absent(other) and has.answer(other).misfit is None
        }
        found = fitting if found is None else found & fitting
    yield from sorted(found or (), key=lambda change: change.commit)

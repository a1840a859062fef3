# SPDX-License-Identifier: GPL-2.0-only
"""Replaying a race file: its schedule once more, on the side, and without the fix, that it names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels import Cache, expand, open_kernel
from conformance.model.profiles import profile_of
from conformance.oracles.kvm.build import build_kvm
from conformance.races.exploration import Exploration
from conformance.races.exploration import replay as follow_legs
from conformance.races.race import RACES, library_without
from conformance.races.run_races import Finding, change_named
from conformance.races.saved import read

__all__ = ["follow"]


def follow(
    path: Path, kernels: Sequence[str], patches: Sequence[Path], progress: Callable[[str], None]
) -> Finding:
    """Follow the schedule of a race file; the picture is in the finding, and the promise if one was broken.

    A kernel is raced without the fix that the file names, if ``patches`` are none. Raises ConformanceError
    if the file, or what it names, makes no sense, BuildError if the kernel does not compile.
    """
    saved = read(path)
    selectors = expand(list(kernels))
    if len(selectors) != 1:
        raise ConformanceError("a race is replayed on one kernel; name one instead of all.")
    kernel = open_kernel(selectors[0], patches, progress=progress)
    without = tuple(map(change_named, saved.without.split()))
    library = None
    if saved.on == "kvm" and without and not patches:
        library = library_without(kernel, RACES[saved.race], without[0], progress)
    elif saved.on == "kvm":
        library = build_kvm(kernel, Cache(), progress, racing=True)
    contest = Exploration(
        race=saved.race,
        mode=saved.mode,
        profile=profile_of(kernel.release),
        library=library,
        without=() if library else without,
        wanted=saved.breaks,
        legs=saved.legs,
    )
    outcome = follow_legs(contest)
    if outcome.lacking is not None:
        raise outcome.lacking
    if outcome.trouble:
        raise ConformanceError(f"{path} cannot be replayed: {outcome.trouble}.")
    return Finding(saved, outcome, f"{saved.race} {saved.mode} on {saved.on}")

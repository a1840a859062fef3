# SPDX-License-Identifier: GPL-2.0-only
"""Replaying a race file: its schedule, on the side and without the change that it names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels import Cache, expand, open_kernel
from conformance.model.profiles import profile_of
from conformance.oracles.kvm.build import build_kvm
from conformance.races.catalogue import race_called
from conformance.races.judging import Finding
from conformance.races.race import library_without
from conformance.races.race_file import read
from conformance.races.run_exploration import Exploration, replay_race
from conformance.races.run_races import change_named

__all__ = ["replay_file"]


def replay_file(
    path: Path, kernels: Sequence[str], patches: Sequence[Path], progress: Callable[[str], None]
) -> Finding:
    """Replay the schedule of a race file; the finding has its diagram, and the violation if there is one.

    The change that the file names is taken out of the kernel unless there are ``patches``. Raises
    ConformanceError if the file is not valid or names something unknown, BuildError if the kernel does not
    compile.
    """
    race_file = read(path)
    selectors = expand(list(kernels))
    if len(selectors) != 1:
        raise ConformanceError("a race is replayed on one kernel; name one instead of all.")
    kernel = open_kernel(selectors[0], patches, progress=progress)
    without = tuple(map(change_named, race_file.without.split()))
    library = None
    if race_file.on == "kvm" and without and not patches:
        library = library_without(kernel, race_called(race_file.race), without[0], progress)
    elif race_file.on == "kvm":
        library = build_kvm(kernel, Cache(), progress, racing=True)
    exploration = Exploration(
        race=race_file.race,
        mode=race_file.mode,
        profile=profile_of(kernel.release),
        library=library,
        without=() if library else without,
        invariant=race_file.breaks,
        segments=race_file.segments,
    )
    outcome = replay_race(exploration)
    if outcome.lacking is not None:
        raise outcome.lacking
    if outcome.trouble:
        raise ConformanceError(f"{path} cannot be replayed: {outcome.trouble}.")
    return Finding(race_file, outcome, f"{race_file.race} {race_file.mode} on {race_file.on}")

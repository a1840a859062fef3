# SPDX-License-Identifier: GPL-2.0-only
"""What the races execute of a kernel's whole KVM, under a few schedules each."""

from __future__ import annotations

from contextlib import closing

from conformance.coverage.data import Layer
from conformance.coverage.gcov import Gcov, executed_of
from conformance.kernels import Cache, Kernel, Progress
from conformance.model.profiles import profile_of
from conformance.oracles.coverage import Counters
from conformance.oracles.kvm.build import build_kvm
from conformance.oracles.kvm.deaths import KernelDied
from conformance.races.race import RACES
from conformance.races.run_exploration import Exploration
from conformance.races.server import Server
from conformance.races.tasks import EXPLORE, Task

__all__ = ["measure_races"]

_SCHEDULES = 40
"""Schedules of each race in each mode: the first ones that the explorer runs."""


def measure_races(kernel: Kernel, cache: Cache, progress: Progress) -> Layer:
    """The layer of the races. Raises CannotBuild, BuildError, Lacking, ConformanceError."""
    library = build_kvm(kernel, cache, progress, coverage=True, racing=True)
    gcov, profile = Gcov(kernel, library), profile_of(kernel.release)
    progress(f"{kernel.title}: measuring what the races execute")
    total, runs = Counters(), {}
    with closing(Server(library)) as server:
        for race in RACES.values():
            ran = Counters()
            for mode in race.modes:
                if "kvm" in race.sides and not race.absent(profile):
                    ran += _executed(server, Exploration(race.name, mode, profile, library))
            if ran:
                runs[race.name] = executed_of(gcov.files(ran))
                total += ran
    return Layer("races", gcov.all_files(total), runs)


def _executed(server: Server, exploration: Exploration) -> Counters:
    """What a race executes; nothing is known of one in which kernel code dies."""
    try:
        server.perform(exploration.request(Task(EXPLORE, limit=_SCHEDULES)))
        return server.coverage()
    except KernelDied:
        return Counters()

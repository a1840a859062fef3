# SPDX-License-Identifier: GPL-2.0-only
"""What the stories execute of a kernel's whole KVM."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from conformance.coverage.data import Layer
from conformance.coverage.gcov import Gcov, executed_of
from conformance.kernels import Cache, Kernel, Progress
from conformance.model.modes import VM_MODES
from conformance.model.profiles import profile_of
from conformance.oracles.coverage import Counters
from conformance.oracles.kvm.build import build_kvm
from conformance.oracles.kvm.deaths import KernelDied
from conformance.oracles.kvm.oracle import KvmOracle
from conformance.scenarios.stories import STORIES
from conformance.scenarios.story import Story

__all__ = ["counted", "measure_stories"]

_READERS = 2
"""Calls of gcov at a time."""


def measure_stories(kernel: Kernel, cache: Cache, progress: Progress) -> Layer:
    """The layer of the stories. Raises CannotBuild, BuildError, Lacking, ConformanceError."""
    library = build_kvm(kernel, cache, progress, coverage=True)
    gcov = Gcov(kernel, library)
    profile = profile_of(kernel.release)
    total = Counters()
    progress(f"{kernel.title}: measuring what the stories execute")
    with ThreadPoolExecutor(_READERS) as pool:
        reading = {}
        for story in STORIES.values():
            if story.absent(profile):
                continue
            ran = Counters()
            for mode in story.modes:
                with (
                    suppress(KernelDied),
                    KvmOracle(library, VM_MODES[mode].host(), story.options) as oracle,
                ):
                    ran += counted(oracle, story)
            total += ran
            reading[story.name] = pool.submit(lambda ran: executed_of(gcov.files(ran)), ran)
        runs = {name: future.result() for name, future in reading.items()}
    return Layer("stories", gcov.all_files(total), runs)


def counted(oracle: KvmOracle, story: Story) -> Counters:
    """What a story executes on a machine, its creation included. Raises KernelDied, Lacking."""
    for step in story.script.steps:
        oracle.step(step.kind, **step.arguments)
    return oracle.coverage()

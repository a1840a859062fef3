# SPDX-License-Identifier: GPL-2.0-only
"""What random stories execute of a kernel's whole KVM."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import numpy as np

from conformance.coverage.data import Layer
from conformance.coverage.gcov import Gcov, executed_of
from conformance.kernels import Cache, Kernel, Progress
from conformance.model.modes import VM_MODES, Mode
from conformance.model.profiles import profile_of
from conformance.model.semantics import Semantics
from conformance.oracles.coverage import Counters
from conformance.oracles.kvm.build import build_kvm
from conformance.oracles.kvm.deaths import KernelDied
from conformance.oracles.kvm.oracle import KvmOracle
from conformance.scenarios.comparing import Death, Match
from conformance.scenarios.drawing import WORD, options_of
from conformance.scenarios.lockstep import LENGTHS, drawn, taken
from conformance.scenarios.machines import Machine
from conformance.scenarios.modes import PML_MODES
from conformance.scenarios.sides import KvmSides
from conformance.scenarios.walks import WALKS, Walk

__all__ = ["measure_lockstep"]

_STORIES = 40
"""Random stories in each mode: the same ones each time."""


@dataclass
class _CountedSides:
    """A kernel and its model in one mode, and what the kernel's VMs have executed."""

    sides: KvmSides
    counters: Counters = field(default_factory=Counters)
    oracle: str = "kvm"
    unobserved: frozenset[str] = frozenset()

    @property
    def mode(self) -> Mode:
        return self.sides.mode

    @property
    def k(self) -> Semantics:
        return self.sides.k

    def model(self, options: dict[str, int]) -> Machine:
        return self.sides.model(options)

    @contextmanager
    def kernel(self, options: dict[str, int]) -> Iterator[Machine]:
        with KvmOracle(self.sides.library, self.mode.host(), options) as oracle:
            yield oracle
            self.counters += oracle.coverage()


def measure_lockstep(kernel: Kernel, cache: Cache, progress: Progress) -> Layer:
    """The layer of lockstep. Raises CannotBuild, BuildError, Lacking, ConformanceError."""
    library = build_kvm(kernel, cache, progress, coverage=True)
    gcov, profile = Gcov(kernel, library), profile_of(kernel.release)
    progress(f"{kernel.title}: measuring what random stories execute")
    total, runs = Counters(), {}
    for kind in WALKS.values():
        sides = _CountedSides(KvmSides(library, profile, VM_MODES[kind.mode]))
        rng = np.random.default_rng(0)
        for _ in range(_STORIES):
            with suppress(Death, KernelDied):
                _play(sides, kind, [int(word) for word in rng.integers(0, 1 << 8 * WORD, LENGTHS[1])])
        runs[kind.name] = executed_of(gcov.files(sides.counters))
        total += sides.counters
    return Layer("lockstep", gcov.all_files(total), runs)


def _play(sides: _CountedSides, kind: Walk, words: list[int]) -> None:
    """Play one random story, up to a difference or a WARN."""
    setting, opening, *steps = words
    options = options_of(setting, pml=kind.mode in PML_MODES)
    scene = kind.scene(options)
    with Match(sides, options, spare=True) as match:
        for _ in taken(match, scene, drawn(scene, opening, steps)):
            pass

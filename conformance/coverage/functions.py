# SPDX-License-Identifier: GPL-2.0-only
"""What the properties execute of a kernel's functions, called one by one."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from conformance.coverage.data import Executed, Layer
from conformance.coverage.gcov import Gcov, executed_of
from conformance.differential.drawing import draw
from conformance.differential.fingerprints import answers
from conformance.differential.properties import PROPERTIES
from conformance.differential.sides import OracleSide
from conformance.kernels import Cache, Kernel, Progress
from conformance.model.modes import MODES
from conformance.model.profiles import profile_of
from conformance.oracles.child import KernelDied
from conformance.oracles.coverage import Counters
from conformance.oracles.shim.build import build_shim
from conformance.oracles.shim.oracle import ShimOracle

__all__ = ["measure_functions"]

_CASES = 1 << 12
"""Cases drawn for each property in each mode; of those that run one by one, a sixteenth."""


def measure_functions(kernel: Kernel, cache: Cache, progress: Progress) -> Layer:
    """The layer of the properties. Raises ConformanceError if the functions cannot be built for it."""
    library = build_shim(kernel, cache, progress, coverage=True)
    gcov = Gcov(kernel, library)
    profile = profile_of(kernel.release)
    total, runs = Counters(), dict[str, Executed]()
    progress(f"{kernel.title}: measuring what the properties execute")
    with ShimOracle(library) as oracle:
        side = OracleSide(oracle, profile)
        for prop in PROPERTIES.values():
            if side.absence(prop) is not None:
                continue
            ran = Counters()
            for mode in prop.modes:
                n = min(_CASES, side.capacity(prop)) // (16 if prop.scalar else 1)
                cases = draw(prop, side.semantics(MODES[mode]), np.random.default_rng(0), n)
                with suppress(KernelDied):
                    oracle.coverage()
                    answers(side, prop, mode, cases)
                    ran += oracle.coverage()
            runs[prop.name] = executed_of(gcov.files(ran))
            total += ran
    return Layer("functions", gcov.all_files(total), runs)

# SPDX-License-Identifier: GPL-2.0-only
"""Blessing fingerprints: a kernel's answers become the reference of its series where the model agrees."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from conformance.differential.comparison import Comparison
from conformance.differential.fingerprints import Fingerprints, Mark, mark
from conformance.differential.inputs import admitted, inputs
from conformance.differential.properties import PROPERTIES
from conformance.differential.sides import ModelSide, OracleSide
from conformance.errors import ConformanceError
from conformance.kernels import Cache, expand, open_kernel
from conformance.kernels.reading import GOLDEN_BYTES, read_text
from conformance.model.modes import MODES
from conformance.model.profiles import profile_of
from conformance.oracles.shim.build import build_shim
from conformance.oracles.shim.oracle import ShimOracle

__all__ = ["Proposal", "propose"]


@dataclass
class Proposal:
    """The file that blessing would write for one kernel; ``refused`` are marks that the model disputes."""

    fingerprints: Fingerprints
    refused: list[str] = field(default_factory=list)

    @property
    def diff(self) -> list[str]:
        """A unified diff from the file to what would be written; empty if that is the same."""
        path = self.fingerprints.path
        before: list[str] = []
        with suppress(ConformanceError):  # What is damaged is written anew.
            before = read_text(path, GOLDEN_BYTES)
        name = f"golden/{self.fingerprints.series}/{path.name}"
        return list(difflib.unified_diff(before, self.fingerprints.lines, name, name, lineterm="", n=0))


def propose(selectors: Sequence[str], progress: Callable[[str], None]) -> list[Proposal]:
    """The fingerprints of kernels; nothing is written.

    Raises ConformanceError if a kernel cannot be used, or is of no pinned series.
    """
    return [_propose(selector, progress) for selector in expand(list(selectors))]


def _propose(selector: str, progress: Callable[[str], None]) -> Proposal:
    kernel = open_kernel(selector, progress=progress)
    if kernel.series is None:
        raise ConformanceError(f"{kernel.title} is of no pinned series: nothing is blessed for it.")
    library = build_shim(kernel, Cache(), progress)
    progress(f"{kernel.title}: asking the published inputs")
    profile = profile_of(kernel.release)
    marks: dict[tuple[str, str], Mark] = {}
    refused = []
    with ShimOracle(library) as oracle:
        shim, model = OracleSide(oracle, profile), ModelSide(profile)
        for prop in PROPERTIES.values():
            if shim.absence(prop) is not None:
                continue
            cases = inputs(prop)
            for mode in prop.modes:
                made = mark(shim, prop, mode, cases)
                comparison = Comparison(prop, MODES[mode], shim, model)
                allowed = cases[:, admitted(prop, comparison.semantics, cases)].copy()
                if comparison.compare(allowed) is None:
                    marks[made.place] = made
                else:
                    refused.append(f"{prop.name} {mode}")
    return Proposal(Fingerprints(kernel.series, kernel.version, marks), refused)

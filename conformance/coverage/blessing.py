# SPDX-License-Identifier: GPL-2.0-only
"""Blessing coverage: what the suite executes of a kernel becomes the reference of its series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.coverage.goldens import LAYERS, Golden, blessed, diff, golden_of, lost
from conformance.coverage.outcome import KernelCoverage
from conformance.coverage.run_coverage import CoveragePlan, measured
from conformance.errors import ConformanceError
from conformance.kernels import Kernel, Progress, expand

__all__ = ["Proposal", "losses", "propose"]


@dataclass(frozen=True)
class Proposal:
    """The file that blessing would write for one kernel; ``refused`` says why it may not."""

    golden: Golden
    refused: tuple[str, ...]

    @property
    def diff(self) -> list[str]:
        """A unified diff from the file to what would be written; empty if that is the same."""
        return diff(self.golden)

    @property
    def shown(self) -> list[str]:
        """What would change, as lines for the user; of a new file only that it is new."""
        path = self.golden.path
        if not path.exists():
            return [f"new: {path} ({len(self.golden.lines)} lines)"]
        return self.diff or [f"{path}: unchanged"]


def propose(selectors: Sequence[str], progress: Progress) -> list[Proposal]:
    """The coverage of kernels as golden files; nothing is written.

    Raises ConformanceError if a kernel is of no pinned series, or if none can be measured whole.
    """
    return [_proposal(*each) for each in _measured(selectors, (), progress)]


def losses(selectors: Sequence[str], patches: Sequence[Path], progress: Progress) -> dict[str, list[str]]:
    """By the title of a kernel: what is no longer executed, as sentences.

    Raises ConformanceError if nothing was blessed for a kernel, or if none can be measured whole.
    """
    found = {}
    for kernel, coverage in _measured(selectors, patches, progress):
        before = blessed(kernel.series)
        if before is None:
            raise ConformanceError(f"{kernel.title}: no coverage was blessed for it, so nothing was checked.")
        now = golden_of(coverage.coverage, before.series, kernel.version)
        found[kernel.title] = [*lost(before, now), *coverage.astray]
    return found


def _measured(
    selectors: Sequence[str], patches: Sequence[Path], progress: Progress
) -> Iterator[tuple[Kernel, KernelCoverage]]:
    """The kernels and their coverage, without those of which not all LAYERS can be measured.

    Raises ConformanceError if no kernel is left.
    """
    skipped: list[str] = []
    named = expand(list(selectors))
    for selector in named:
        kernel, coverage = measured(CoveragePlan([selector], patches, LAYERS), selector, progress)
        missing = coverage.coverage.missing
        if not missing:
            yield kernel, coverage
            continue
        skipped.append(f"{kernel.title} is skipped: {' '.join(missing.values())}")
        progress(skipped[-1])
    if len(skipped) == len(named):
        raise ConformanceError("\n".join(skipped))


def _proposal(kernel: Kernel, coverage: KernelCoverage) -> Proposal:
    if kernel.series is None:
        raise ConformanceError(f"{kernel.title} is of no pinned series: nothing is blessed for it.")
    golden = golden_of(coverage.coverage, kernel.series, kernel.version)
    return Proposal(golden, (*coverage.astray, *coverage.unreachable.faults))

# SPDX-License-Identifier: GPL-2.0-only
"""`conformance coverage` for kernels: measures each, applies the tables, and plants mutants if requested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.coverage.about import astray
from conformance.coverage.compared.detecting import Keeping
from conformance.coverage.compared.sample import sample
from conformance.coverage.formats import changed_lines
from conformance.coverage.measure import measure
from conformance.coverage.outcome import KernelCoverage
from conformance.coverage.scope import scoped
from conformance.coverage.unreachable import unreachable
from conformance.errors import ConformanceError
from conformance.kernels import Cache, Kernel, Progress, expand, open_kernel
from conformance.sandbox.processes import Ended

__all__ = ["CoveragePlan", "measured", "run"]


@dataclass(frozen=True)
class CoveragePlan:
    """What to measure: kernels by selector, patches, layers; and how many mutants to plant.

    ``keeping`` compares what KVM keeps in its structures with and without a mutant, as reviews do.
    """

    kernels: Sequence[str]
    patches: Sequence[Path]
    layers: Sequence[str]
    compared: int | None = None
    seed: int = 0
    jobs: int = 2
    keeping: Keeping | None = None

    def check_exports(self, forms: Sequence[str]) -> None:
        """Raise ConformanceError if files of these forms, which hold one kernel, are requested of several."""
        if forms and len(expand(list(self.kernels))) > 1:
            raise ConformanceError(f"--{forms[0]} holds the coverage of one kernel; name one with --kernel.")


def run(plan: CoveragePlan, progress: Progress) -> tuple[list[KernelCoverage], list[str]]:
    """The coverage of each kernel, and for each that was not measured a sentence why.

    Raises ConformanceError if none can be measured. A layer that was measured before the time limit is in the
    cache, also if its kernel was not finished.
    """
    selectors = expand(list(plan.kernels))
    found: list[KernelCoverage] = []
    failed: list[str] = []
    try:
        for selector in selectors:
            try:
                found.append(_one(plan, selector, progress))
            except ConformanceError as problem:
                failed.append(str(problem))
    except Ended as ended:
        if not found:
            raise
        failed += [
            f"{selector}: not measured: {ended}." for selector in selectors[len(found) + len(failed) :]
        ]
    if not found:
        raise ConformanceError("\n".join(failed))
    return found, failed


def _one(plan: CoveragePlan, selector: str, progress: Progress) -> KernelCoverage:
    kernel, coverage = measured(plan, selector, progress)
    if plan.compared is not None:
        coverage = _compared(plan, kernel, coverage, progress)
    return _changed(kernel, coverage, progress) if plan.patches else coverage


def measured(plan: CoveragePlan, selector: str, progress: Progress) -> tuple[Kernel, KernelCoverage]:
    """A kernel and what the layers of a plan execute of it.

    Raises ConformanceError if no layer can be measured.
    """
    kernel = open_kernel(selector, plan.patches, progress=progress)
    raw = measure(kernel, Cache(), progress, plan.layers)
    source = kernel.root / "src"
    coverage = scoped(raw, source)
    return kernel, KernelCoverage(
        selector=kernel.selector,
        title=kernel.title,
        version=kernel.version,
        source=source,
        coverage=coverage,
        unreachable=unreachable(coverage, kernel.root),
        drift=kernel.drift,
        notes=kernel.notes,
        astray=tuple(astray(raw, kernel)),
    )


def _compared(
    plan: CoveragePlan, kernel: Kernel, found: KernelCoverage, progress: Progress
) -> KernelCoverage:
    """The coverage with a sample of mutants, or with a note why there can be none."""
    assert plan.compared is not None
    try:
        judged = sample(
            kernel,
            found.coverage,
            plan.compared,
            plan.seed,
            Cache(),
            progress,
            jobs=plan.jobs,
            keeping=plan.keeping,
        )
    except ConformanceError as problem:
        return replace(found, notes=(*found.notes, f"No mutants were planted: {problem}"))
    return replace(found, compared=judged)


def _changed(kernel: Kernel, found: KernelCoverage, progress: Progress) -> KernelCoverage:
    """The coverage with that of the lines that the patches change, or with a note why it is not known."""
    base = open_kernel(kernel.selector, progress=progress)
    try:
        return replace(found, changed=changed_lines(found, base.root / "src"))
    except ConformanceError as problem:
        return replace(found, notes=(*found.notes, str(problem)))

# SPDX-License-Identifier: GPL-2.0-only
"""Estimate the share of executed lines that are compared, from a sample of planted mutants."""

from __future__ import annotations

from collections.abc import Callable

from conformance.coverage.data import Coverage
from conformance.coverage.mutants import Compared, Judged
from conformance.kernels import Cache, Kernel, Progress

__all__ = ["sample"]


def sample(
    kernel: Kernel,
    coverage: Coverage,
    n: int,
    seed: int,
    cache: Cache,
    progress: Progress,
    *,
    jobs: int = 2,
    advance: Callable[[Judged], None] | None = None,
) -> Compared:
    """Plant ``n`` mutants into lines that properties or stories execute, and judge each.

    ``advance`` is called with each mutant as it is judged. Raises ConformanceError if the coverage has
    neither properties nor stories, or if the kernel with the mutants cannot be built.
    """
    raise NotImplementedError

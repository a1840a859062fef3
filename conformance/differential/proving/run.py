# SPDX-License-Identifier: GPL-2.0-only
"""Two kernels, property by property: equivalent for every input on every host, or told apart by one."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from conformance.differential.properties import PROPERTIES
from conformance.differential.proving.working import Witness, prove_all
from conformance.differential.verdict import PROVE, KernelReport, Report, Result, Verdict
from conformance.differential.wanted import check_wanted
from conformance.kernels import Cache, Kernel, open_kernel
from conformance.model.profiles import profile_of
from conformance.oracles.binary import BinaryOracle, symbolic_image
from conformance.oracles.shim import ShimOracle, build_shim
from conformance.oracles.shim.image import shim_image

__all__ = ["between", "binary_witness", "shim_witness"]

Progress = Callable[[str], None]


def shim_witness(kernel: Kernel, library: Path) -> Witness:
    """A kernel by its shim."""
    profile = profile_of(kernel.release)
    return Witness(profile, partial(ShimOracle, library), partial(shim_image, library), kernel.title)


def binary_witness(kernel: Kernel, folder: Path) -> Witness:
    """A kernel by a module of its, built as an image into a folder."""
    profile = profile_of(kernel.release)
    opened = partial(BinaryOracle, folder), partial(symbolic_image, folder)
    return Witness(profile, *opened, kernel.title, "binary")


def between(
    selectors: tuple[str, str],
    only: Sequence[str],
    seconds: float,
    jobs: int,
    progress: Progress,
    advance: Callable[[Result], None] | None = None,
) -> Report:
    """Compare the machine code of two kernels, each built as its shim.

    Raises ConformanceError if either cannot be used.
    """
    check_wanted(only, (), ())
    kernels = [open_kernel(selector, progress=progress) for selector in selectors]
    libraries = [build_shim(kernel, Cache(), progress) for kernel in kernels]
    title = " and ".join(kernel.title for kernel in kernels)
    version = " and ".join(kernel.version for kernel in kernels)
    report = KernelReport(" ".join(selectors), title, version)
    witnesses = [shim_witness(kernel, library) for kernel, library in zip(kernels, libraries, strict=True)]
    names, report.results = _common(kernels, libraries, only)
    progress(f"{title}: proving")
    for result in prove_all(witnesses, names, seconds, jobs, selectors):
        report.results.append(result)
        if advance is not None:
            advance(result)
    return Report([report], None)


def _common(
    kernels: Sequence[Kernel], libraries: Sequence[Path], only: Sequence[str]
) -> tuple[list[str], list[Result]]:
    """The wanted properties that both kernels have, and why others cannot be compared."""
    entries = [shim_image(library).entries for library in libraries]
    names: list[str] = []
    skipped: list[Result] = []
    for prop in PROPERTIES.values():
        if only and not any(fnmatch.fnmatch(prop.name, glob) for glob in only):
            continue
        lacking = [
            kernel.title for kernel, each in zip(kernels, entries, strict=True) if prop.name not in each
        ]
        if lacking:
            reason = f"absent from {' and '.join(lacking)}"
            skipped.append(Result(prop.name, "shim", PROVE, "-", Verdict.SKIP, reason=reason))
        else:
            names.append(prop.name)
    return names, skipped

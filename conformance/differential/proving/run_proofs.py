# SPDX-License-Identifier: GPL-2.0-only
"""Two kernels, property by property: equivalent for every input on every host, or told apart by one."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from conformance.differential.modelled import ModelOracle
from conformance.differential.proving.working import Witness, prove_all
from conformance.differential.selection import check_wanted, chosen
from conformance.differential.verdict import PROVE, KernelReport, Report, Result, Verdict
from conformance.errors import ConformanceError
from conformance.kernels import SERIES, Cache, Kernel, open_kernel
from conformance.kernels.compilers import chosen as compiler
from conformance.kernels.pins import pinned_release
from conformance.model.profiles import profile_of
from conformance.oracles.binary.oracle import BinaryOracle
from conformance.oracles.binary.storing import symbolic_image
from conformance.oracles.shim.build import build_shim
from conformance.oracles.shim.image import shim_image
from conformance.oracles.shim.oracle import ShimOracle
from conformance.sandbox.processes import Ended

__all__ = ["between", "binary_witness", "shim_witness"]

Progress = Callable[[str], None]

MODEL = "model:"
"""What begins a selector of a release's model instead of a kernel."""


def shim_witness(kernel: Kernel, library: Path) -> Witness:
    """A kernel by its shim."""
    profile = profile_of(kernel.release)
    return Witness(profile, partial(ShimOracle, library), partial(shim_image, library), kernel.title)


def binary_witness(kernel: Kernel, folder: Path) -> Witness:
    """A kernel by a module of its, built as an image into a folder."""
    profile = profile_of(kernel.release)
    opened = partial(BinaryOracle, folder), partial(symbolic_image, folder)
    return Witness(profile, *opened, kernel.title, "binary")


def model_witness(release: str) -> Witness:
    """The model of a release, such as "6.12": of the pinned kernel if there is one."""
    profile = profile_of(
        pinned_release(release) if release in SERIES else tuple(map(int, release.split(".")))
    )
    return Witness(profile, partial(ModelOracle, profile), None, f"{MODEL}{release}", "model")


def between(
    selectors: tuple[str, str],
    only: Sequence[str],
    seconds: float,
    jobs: int,
    progress: Progress,
    advance: Callable[[Result], None] | None = None,
    modes: Sequence[str] = (),
) -> Report:
    """Compare two kernels: the machine code of each, built as its shim; of "model:6.12" the model.

    Raises ConformanceError if either cannot be used.
    """
    start = time.monotonic()
    check_wanted(only, modes, ())
    if "all" in selectors:
        raise ConformanceError("--between compares one kernel with one other: name each instead of all.")
    opened = [_open(selector, progress) for selector in selectors]
    witnesses = [witness for witness, _, _ in opened]
    title = " and ".join(witness.title for witness in witnesses)
    versions = " and ".join(version for _, version, _ in opened)
    report = KernelReport(" ".join(selectors), title, versions, compiler=compiler().text)
    names, report.results = _common([(witness.title, entries) for witness, _, entries in opened], only)
    progress(f"{title}: proving")
    try:
        for result in prove_all(witnesses, names, seconds, jobs, selectors, modes):
            report.results.append(result)
            if advance is not None:
                advance(result)
    except Ended as ended:
        seen = {result.property for result in report.results}
        report.results += [
            Result(name, "shim", PROVE, "-", Verdict.MISS, reason=f"not reached: {ended}")
            for name in names
            if name not in seen
        ]
    report.seconds = time.monotonic() - start
    return Report([report], None, report.seconds)


def _open(selector: str, progress: Progress) -> tuple[Witness, str, Collection[str]]:
    """What a selector names, its version, and which properties it has."""
    if selector.startswith(MODEL):
        release = selector.removeprefix(MODEL)
        if not re.fullmatch(r"[0-9]{1,3}\.[0-9]{1,3}", release):
            raise ConformanceError(f"{selector} names no release; write {MODEL}6.12, for example.")
        witness = model_witness(release)
        return witness, f"model of {release}", [*witness.oracle().entries]
    kernel = open_kernel(selector, progress=progress)
    library = build_shim(kernel, Cache(), progress)
    return shim_witness(kernel, library), kernel.version, [*shim_image(library).entries]


def _common(
    kernels: Sequence[tuple[str, Collection[str]]], only: Sequence[str]
) -> tuple[list[str], list[Result]]:
    """The wanted properties that both kernels have, and why others cannot be compared."""
    names: list[str] = []
    skipped: list[Result] = []
    for prop in chosen(only):
        lacking = [title for title, entries in kernels if prop.name not in entries]
        if lacking:
            reason = f"absent from {' and '.join(lacking)}"
            skipped.append(Result(prop.name, "shim", PROVE, "-", Verdict.SKIP, reason=reason))
        else:
            names.append(prop.name)
    return names, skipped

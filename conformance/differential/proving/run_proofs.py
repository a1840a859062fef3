# SPDX-License-Identifier: GPL-2.0-only
"""Two kernels, property by property: equal for every input on every host, or shown to differ by one input."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from conformance.differential.properties import PROPERTIES
from conformance.differential.proving.proof_workers import prove_all
from conformance.differential.proving.side_specs import Pair, SideSpec, model_spec, shim_spec
from conformance.differential.selection import check_selection, chosen
from conformance.differential.verdict import PROVE, KernelReport, Report, Result, Verdict
from conformance.errors import ConformanceError
from conformance.kernels import SERIES, Cache, open_kernel
from conformance.kernels.compilers import chosen as compiler
from conformance.kernels.pins import pinned_release
from conformance.model.profiles import profile_of
from conformance.oracles.shim.build import build_shim
from conformance.oracles.shim.image import shim_image
from conformance.sandbox.processes import Ended

__all__ = ["between"]

Progress = Callable[[str], None]

MODEL_OF = "model:"
"""The prefix of a selector that names a release's model instead of a kernel."""


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
    check_selection(only, modes, ())
    if "all" in selectors:
        raise ConformanceError("--between compares one kernel with one other: name each instead of all.")
    opened = [_open(selector, progress) for selector in selectors]
    left, right = (each.spec for each in opened)
    title = f"{left.title} and {right.title}"
    versions = " and ".join(each.version for each in opened)
    report = KernelReport(" ".join(selectors), title, versions, compiler=compiler().text)
    names, report.results = _common(opened, only)
    progress(f"{title}: proving")
    try:
        for result in prove_all(Pair(left, right, review=True), names, seconds, jobs, selectors, modes):
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


@dataclass(frozen=True)
class _Opened:
    """What a selector names: a side, its version, and the properties that it answers."""

    spec: SideSpec
    version: str
    names: Collection[str]


def _open(selector: str, progress: Progress) -> _Opened:
    """The kernel, or the model of a release such as "model:6.12": of the pinned kernel if there is one."""
    if selector.startswith(MODEL_OF):
        release = selector.removeprefix(MODEL_OF)
        if not re.fullmatch(r"[0-9]{1,3}\.[0-9]{1,3}", release):
            raise ConformanceError(f"{selector} names no release; write {MODEL_OF}6.12, for example.")
        numbers = pinned_release(release) if release in SERIES else tuple(map(int, release.split(".")))
        profile = profile_of(numbers)
        names = [name for name, prop in PROPERTIES.items() if not prop.absent(profile)]
        return _Opened(model_spec(profile, selector), f"model of {release}", names)
    kernel = open_kernel(selector, progress=progress)
    library = build_shim(kernel, Cache(), progress)
    return _Opened(shim_spec(kernel, library, kernel.title), kernel.version, [*shim_image(library).entries])


def _common(kernels: Sequence[_Opened], only: Sequence[str]) -> tuple[list[str], list[Result]]:
    """The selected properties that both kernels have, and a SKIP for each of the others."""
    names: list[str] = []
    skipped: list[Result] = []
    for prop in chosen(only):
        lacking = [kernel.spec.title for kernel in kernels if prop.name not in kernel.names]
        if lacking:
            reason = f"absent from {' and '.join(lacking)}"
            skipped.append(Result(prop.name, "shim", PROVE, "-", Verdict.SKIP, reason=reason))
        else:
            names.append(prop.name)
    return names, skipped

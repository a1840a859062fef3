# SPDX-License-Identifier: GPL-2.0-only
"""A run of selftests: they are built from a kernel's source and run one after the other in one machine.

After a selftest that ends the machine the next one has a new machine.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.differential.unjudged import once, unjudged
from conformance.differential.verdict import KernelReport, Report, Result, Verdict
from conformance.kernels import BuildError, Cache, expand
from conformance.kernels.selftests import Selftests, open_selftests
from conformance.oracles.lacking import Lacking
from conformance.oracles.live.deaths import LiveDied
from conformance.sandbox.processes import Ended as TimeIsUp
from conformance.selftests.judging import ENGINE, MODE, ORACLE, died_in, judged, skipped
from conformance.selftests.kernel_to_boot import UserKernel, check, kernel_to_boot
from conformance.selftests.running import Machines
from conformance.selftests.table import Selftest, programs, selected

__all__ = ["SelftestPlan", "run"]

Progress = Callable[[str], None]
Advance = Callable[[Result], None]


@dataclass(frozen=True)
class SelftestPlan:
    """Selectors, patches, globs on names (none: all); a kernel of the user and the folder of its modules."""

    kernels: tuple[str, ...] = ()
    patches: tuple[Path, ...] = ()
    names: tuple[str, ...] = ()
    image: Path | None = None
    modules: Path | None = None


def run(plan: SelftestPlan, *, progress: Progress, advance: Advance | None = None) -> Report:
    """Carry out a plan. Raises ConformanceError for an unknown name, and if a kernel cannot be booted."""
    start = time.monotonic()
    selectors = expand(list(plan.kernels))
    chosen = selected(plan.names)
    given = check(plan.image, plan.modules, selectors)
    reports: list[KernelReport] = []
    for selector in selectors:
        report = KernelReport.unopened(selector, plan.patches)
        reports.append(report)
        try:
            _judge(report, plan, chosen, given, progress, advance)
        except BuildError as error:
            report.error = str(error)
        except TimeIsUp as ended:
            report.results += _missing(report, chosen, f"not reached: {ended}")
            reports += [
                KernelReport.unopened(left, error=f"{left}: not reached: {ended}.")
                for left in selectors[len(reports) :]
            ]
            break
    return Report(reports, None, time.monotonic() - start)


def _judge(
    report: KernelReport,
    plan: SelftestPlan,
    chosen: Sequence[Selftest],
    given: UserKernel | None,
    progress: Progress,
    advance: Advance | None,
) -> None:
    """Fill the report of one kernel."""
    start, cache, selector = time.monotonic(), Cache(), report.selector
    kernel = kernel_to_boot(selector, plan.patches, given, cache, progress)
    built = open_selftests(selector, plan.patches, programs(), progress=progress, cache=cache)
    report.title, report.version, report.notes = (
        built.title,
        built.version,
        (*built.notes, f"booted: {kernel.title}"),
    )
    report.drift = " ".join(filter(None, (kernel.drift, built.drift))) or None
    report.prepared = time.monotonic() - start
    with Machines(kernel, [*built.programs.values()], cache, progress) as machines:
        for one in _bootable(machines, report, chosen, _again(plan, selector)):
            report.results.append(_one(one, machines, built, _again(plan, selector, one.name)))
            if advance is not None:
                advance(report.results[-1])
    report.results[:] = once(report.results, "selftests")
    report.seconds = time.monotonic() - start


def _bootable(
    machines: Machines, report: KernelReport, chosen: Sequence[Selftest], again: str
) -> Sequence[Selftest]:
    """The selftests to run: none if the kernel does not boot, which is a finding of its own."""
    start = time.monotonic()
    try:
        machines.boot()
    except LiveDied as died:
        report.results.append(died_in("boot", died, time.monotonic() - start, again))
        return []
    return chosen


def _one(one: Selftest, machines: Machines, built: Selftests, again: str) -> Result:
    """The result of one selftest."""
    if one.left_out:
        return skipped(one.name, one.left_out)
    program = next((name for name in one.programs if name in built.programs), None)
    if program is None:
        unbuilt = next((built.unbuilt[name] for name in one.programs if name in built.unbuilt), None)
        why = "this kernel's source does not have it" if unbuilt is None else f"does not build: {unbuilt}"
        return skipped(one.name, why)
    start = time.monotonic()
    try:
        ended = machines.run(program, one)
    except LiveDied as died:
        return died_in(one.name, died, time.monotonic() - start, again)
    except Lacking as lacking:
        spent = time.monotonic() - start
        return unjudged(Result(one.name, ORACLE, ENGINE, MODE, Verdict.ERROR, 0, spent), lacking)
    return judged(one.name, ended, time.monotonic() - start, again)


def _again(plan: SelftestPlan, selector: str, *names: str) -> str:
    """The command that repeats one selftest."""
    words = ["conformance", "selftests", *names, "--kernel", selector]
    words += (word for patch in plan.patches for word in ("--patch", str(patch)))
    if plan.image is not None:
        words += ["--image", str(plan.image), "--modules", str(plan.modules)]
    return shlex.join(words)


def _missing(report: KernelReport, chosen: Sequence[Selftest], reason: str) -> list[Result]:
    """MISS for the selftests that the time limit cut off."""
    seen = {result.property for result in report.results}
    return [
        Result(one.name, ORACLE, ENGINE, MODE, Verdict.MISS, reason=reason)
        for one in chosen
        if one.name not in seen
    ]

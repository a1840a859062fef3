# SPDX-License-Identifier: GPL-2.0-only
"""A run over properties: opens kernels, builds their oracles, compares every property by every engine."""

from __future__ import annotations

import contextlib
import random
import shlex
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from conformance.deadline import Deadline
from conformance.differential.agreement import disagreement
from conformance.differential.engines import ENGINES, PROFILES, usual
from conformance.differential.engines.fingerprint import sentence
from conformance.differential.engines.prove import left_out, require
from conformance.differential.fingerprints import blessed
from conformance.differential.judging_kernel import Judge
from conformance.differential.machine_code import MachineCode, Unreached, build, of_module
from conformance.differential.properties import PROPERTIES
from conformance.differential.property import Property
from conformance.differential.property_plan import PropertyPlan
from conformance.differential.selection import check_names, check_selection, chosen
from conformance.differential.sides import ModelSide, OracleSide
from conformance.differential.source_places import source_places
from conformance.differential.unjudged import once
from conformance.differential.verdict import PROVE, Counterexample, KernelReport, Report, Result, Verdict
from conformance.errors import ConformanceError
from conformance.kernels import BuildError, Cache, Kernel, expand, open_kernel
from conformance.model.modes import MODES
from conformance.model.profiles import profile_of
from conformance.oracles.binary.oracle import BinaryOracle
from conformance.oracles.child import FunctionOracle, KernelDied
from conformance.oracles.shim.build import build_shim
from conformance.oracles.shim.oracle import ShimOracle
from conformance.sandbox.processes import Ended
from conformance.workers import manager, workers

__all__ = ["ORACLES", "Listing", "PropertyInfo", "listing", "run"]

ORACLES = {
    "shim": "single functions compiled from the kernel's source, called through cffi",
    "binary": "single functions of the kvm.ko that the distribution ships",
}
"""Every oracle by name, with its description."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class PropertyInfo:
    """A property as ``list`` shows it. ``absent`` says why the kernel lacks it; "" if it has it."""

    name: str
    group: str
    summary: str
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    modes: tuple[str, ...]
    absent: str


@dataclass(frozen=True)
class Listing:
    """Everything that options can name, with descriptions."""

    properties: list[PropertyInfo]
    modes: list[tuple[str, str]]
    engines: list[tuple[str, str]]
    oracles: list[tuple[str, str]]


def run(plan: PropertyPlan, *, progress: Progress, advance: Callable[[Result], None] | None = None) -> Report:
    """Carry out a plan.

    ``progress`` gets lines of text, ``advance`` every result as it comes. Raises ConformanceError if the plan
    names something unknown; a kernel that cannot be judged is an error in its report.
    """
    start = time.monotonic()
    plan = of_module(plan)
    selectors = expand(list(plan.kernels))
    check_names(plan.engines, ENGINES, "engine")
    check_names([plan.oracle], ORACLES, "oracle")
    check_names([plan.profile], PROFILES, "profile")
    check_selection(plan.only, plan.modes, plan.case)
    seed = (
        plan.seed
        if plan.seed is not None
        else 0
        if plan.profile == "ci"
        else random.SystemRandom().getrandbits(32)
    )
    if PROVE in plan.engines:
        require()
    elif not plan.engines and (why := left_out()):
        progress(why)
    plan = replace(plan, engines=plan.engines or usual())
    known = _Known(advance)
    try:
        if len(selectors) == 1 or plan.jobs == 1 or plan.engines == (PROVE,):
            for selector in selectors:
                known.reports[selector] = _judge(
                    selector, plan, seed, progress, partial(known.note, selector)
                )
        else:
            _judge_at_once(selectors, plan, seed, progress, known)
    except Ended as ended:
        for selector in selectors:
            known.reports.setdefault(selector, _cut_short(selector, plan, known.results[selector], ended))
    return Report([known.reports[selector] for selector in selectors], seed, time.monotonic() - start)


class _Known:
    """By selector: the reports of kernels that are judged, and the results so far of all."""

    def __init__(self, advance: Callable[[Result], None] | None) -> None:
        self.reports: dict[str, KernelReport] = {}
        self.results: defaultdict[str, list[Result]] = defaultdict(list)
        self._advance = advance

    def note(self, selector: str, result: Result) -> None:
        """Record a result."""
        self.results[selector].append(result)
        if self._advance is not None:
            self._advance(result)


def _cut_short(selector: str, plan: PropertyPlan, results: list[Result], ended: Ended) -> KernelReport:
    """The report of a kernel that was not judged to the end: each property without a result is a MISS."""
    report = KernelReport.unopened(selector, plan.patches)
    report.results += results
    reason = f"not reached: {ended}"
    if not results:
        report.error = f"{report.title}: {reason}."
        return report
    seen = {result.property for result in results}
    left = [prop.name for prop in chosen(plan.only) if prop.name not in seen]
    report.results += [Result(name, plan.oracle, "-", "-", Verdict.MISS, reason=reason) for name in left]
    if not left:
        report.results.append(
            Result("-", plan.oracle, "-", "-", Verdict.MISS, reason=f"not finished: {ended}")
        )
    return report


def _judge(
    selector: str, plan: PropertyPlan, seed: int, progress: Progress, advance: Callable[[Result], None] | None
) -> KernelReport:
    """One kernel's report, with the wall time that it took."""
    start = time.monotonic()
    report = _judged(selector, plan, seed, progress, advance)
    report.seconds = time.monotonic() - start
    return report


def _judged(
    selector: str, plan: PropertyPlan, seed: int, progress: Progress, advance: Callable[[Result], None] | None
) -> KernelReport:
    """One kernel's report."""
    start = time.monotonic()
    try:
        kernel = open_kernel(selector, plan.patches, progress=progress)
        shim = build_shim(kernel, Cache(), progress)
        binary = build(plan, kernel, progress) if plan.oracle == "binary" else None
    except Unreached as why:
        return KernelReport.unopened(selector, plan.patches, unreached=str(why))
    except BuildError as error:
        return KernelReport.unopened(selector, plan.patches, error=str(error))
    report = KernelReport.of(kernel)
    report.prepared = time.monotonic() - start
    arguments = ["--kernel", selector, *(word for patch in plan.patches for word in ("--patch", str(patch)))]
    arguments += kernel.compiler.arguments
    if binary is not None:
        report.version, report.drift = binary.version, binary.drift or kernel.drift
        report.compiler = binary.compiler
        arguments += binary.arguments
    try:
        with contextlib.ExitStack() as opened:
            oracle: FunctionOracle = opened.enter_context(
                ShimOracle(shim) if binary is None else BinaryOracle(binary.image)
            )
            fingerprints, profile = blessed(kernel.series), profile_of(kernel.release)
            asked = OracleSide(
                oracle,
                profile,
                "kernel" if binary is None else "module",
                source=kernel.root / "src",
            )
            judge = Judge(plan, asked, ModelSide(profile), arguments, seed, blessed=fingerprints)
            progress(f"{kernel.title}: comparing")
            prove = partial(_proofs, kernel, shim, binary, plan, arguments) if PROVE in plan.engines else None
            results = [judge.results(prove)]
            if binary is not None and not plan.case:
                other = OracleSide(opened.enter_context(ShimOracle(shim)), profile)
                results.insert(0, judge.agreement(other, "shim"))
            for result in chain(*results):
                report.results.append(result)
                if advance is not None:
                    advance(result)
            report.results[:] = once(report.results, "properties")
            report.disagreement = disagreement(report, (plan.oracle, "shim"))
            report.semantics = sentence(report.results, fingerprints)
            failed = (one.property for one in report.results if one.verdict is Verdict.FAIL)
            report.places = source_places(kernel.root / "src", failed)
    except KernelDied as died:
        crash = f"{died.how}, before any function was asked"
        again = shlex.join(["conformance", "run", *arguments])
        found = Counterexample({}, {}, {}, {}, again=again, crash=crash)
        report.results.append(Result(LOAD, plan.oracle, "-", "-", Verdict.FAIL, counterexample=found))
    return report


LOAD = "load"
"""The subject of a result where kernel code dies before any property can be compared."""


def _proofs(
    kernel: Kernel,
    shim: Path,
    binary: MachineCode | None,
    plan: PropertyPlan,
    arguments: Sequence[str],
    names: list[str],
    deadline: Deadline,
) -> Iterator[Result]:
    """The results of the prove engine on the machine code of the oracle, until the deadline."""
    # Here and not above: z3 is an extra.
    from conformance.differential.proving.proof_workers import prove_all
    from conformance.differential.proving.side_specs import Pair, binary_spec, model_spec, shim_spec

    code = shim_spec(kernel, shim) if binary is None else binary_spec(kernel, binary.image)
    pair = Pair(code, model_spec(code.profile))
    yield from prove_all(pair, names, plan.timeout, plan.jobs, arguments, plan.modes, deadline)


def _judge_at_once(
    selectors: list[str], plan: PropertyPlan, seed: int, progress: Progress, known: _Known
) -> None:
    """Judge several kernels, ``plan.jobs`` at a time, each in a process of its own."""
    with manager() as shared:
        messages = shared.Queue()

        def relay() -> None:
            for selector, message in iter(messages.get, (None, None)):
                if isinstance(message, Result):
                    known.note(selector, message)
                else:
                    progress(message)

        relaying = threading.Thread(target=relay, daemon=True)
        relaying.start()
        try:
            with workers(plan.jobs) as pool:
                futures = {
                    selector: pool.submit(_judge_apart, selector, plan, seed, messages)
                    for selector in selectors
                }
                for selector, future in futures.items():
                    known.reports[selector] = future.result()
        finally:
            messages.put((None, None))
            relaying.join()


def _judge_apart(selector: str, plan: PropertyPlan, seed: int, messages: Any) -> KernelReport:
    """_judge() in a process of its own, its messages put into a queue."""

    def put(message: str | Result) -> None:
        messages.put((selector, message))

    return _judge(selector, replace(plan, jobs=1), seed, put, put)


def listing(selector: str | None, progress: Progress) -> Listing:
    """Everything that options can name; with a selector, which properties that kernel has."""
    absent = {prop.name: "" for prop in PROPERTIES.values()}
    if selector is not None:
        (one,) = expand([selector]) if selector != "all" else [""]
        if not one:
            raise ConformanceError("list shows one kernel at a time; name one instead of all.")
        kernel = open_kernel(one, progress=progress)
        profile = profile_of(kernel.release)
        absent = {prop.name: prop.absent(profile) for prop in PROPERTIES.values()}
    return Listing(
        properties=[_info(prop, absent[prop.name]) for prop in PROPERTIES.values()],
        modes=[(mode.name, mode.description) for mode in MODES.values()],
        engines=list(ENGINES.items()),
        oracles=list(ORACLES.items()),
    )


def _info(prop: Property, absent: str) -> PropertyInfo:
    takes = tuple(column.name for column in prop.takes)
    gives = tuple(output.name for output in prop.gives)
    return PropertyInfo(prop.name, prop.group, prop.summary, takes, gives, prop.modes, absent)

# SPDX-License-Identifier: GPL-2.0-only
"""The duration of proofs: each function's symbolic execution and solving; all of a kernel; beside CBMC.

Each function is proved once, in a process that has executed the mask setters already: lifted code is cached.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cbmc import cbmc, installed
from figures import Figure, show
from rich import box
from rich.console import Console
from rich.table import Table
from whole import MB, below, conformed, watched

from conformance.differential.machine_code import build
from conformance.differential.properties import PROPERTIES
from conformance.differential.property import Property
from conformance.differential.property_plan import PropertyPlan
from conformance.differential.proving.every_host import EveryHost
from conformance.differential.proving.every_input import EveryInput
from conformance.differential.proving.proofs import prove
from conformance.differential.proving.solving import Deadline
from conformance.differential.proving.term_sides import CodeTerms, ModelTerms, Terms
from conformance.errors import ConformanceError
from conformance.kernels import Cache, Kernel
from conformance.model.profiles import Profile, profile_of
from conformance.oracles.binary.image_file import symbolic_image
from conformance.oracles.image import Image
from conformance.oracles.shim.build import build_shim
from conformance.oracles.shim.image import shim_image

__all__ = ["proofs"]

FIRST = "is_writable_pte"
"""Proved before anything is measured: on hosts of every kind, and with next to nothing to it."""
SECONDS = 120.0
WHOLE, MEMORY, PREDICATE = 60, 1000, 1
"""The targets of proving a kernel, in seconds and megabytes, and of proving a single-word predicate."""


@dataclass(frozen=True)
class _Took:
    """Seconds of one proof."""

    executing: float
    whole: float

    @property
    def solving(self) -> float:
        """The rest: the model's terms, and the proof of equality."""
        return self.whole - self.executing


class _Timed(CodeTerms):
    """Code that measures the seconds of its execution."""

    seconds = 0.0

    def answer(self, prop: Property, hosts: EveryHost, inputs: EveryInput, deadline: Deadline) -> Terms:
        start = time.perf_counter()
        try:
            return super().answer(prop, hosts, inputs, deadline)
        finally:
            self.seconds += time.perf_counter() - start


def proofs(console: Console, kernel: Kernel, no_network: bool, repeats: int) -> None:
    """Measure and print the proofs of a kernel's shim, and of its shipped module if that is available."""
    profile = profile_of(kernel.release)
    images: dict[str, Callable[[], Image]] = {}
    library = build_shim(kernel, Cache(), _whisper)
    images["shim"] = lambda: shim_image(library)
    if no_network:
        console.print("The shipped module: skipped (--no-network)\n", style="bold")
    else:
        try:
            made = build(PropertyPlan(oracle="binary"), kernel, _whisper)
            images["binary"] = lambda: symbolic_image(made.image)
        except ConformanceError as trouble:
            console.print(f"The shipped module cannot be had: {trouble}\n", markup=False, style="bold")
    took = {name: _each(image(), profile) for name, image in images.items()}
    beside, note = _beside(kernel, repeats)
    _table(console, took, beside)
    console.print(f" {note}\n", style="dim", highlight=False, markup=False)
    for name in took:
        show(console, f"All proofs of {kernel.title} ({name}), by the command", _whole(name, took[name]))


def _beside(kernel: Kernel, repeats: int) -> tuple[dict[str, float], str]:
    """CBMC's seconds for the functions that it proves, and a note on them."""
    program = installed()
    if program is None:
        return {}, "CBMC is not installed, so nothing is beside: put it on PATH or name it with CBMC."
    try:
        compiling, took = cbmc(program, kernel, repeats)
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as trouble:
        return {}, f"CBMC could not be measured: {trouble}"
    return took, (
        "CBMC proves the value alone, of source, for any masks; each time is that of a process, with its"
        f" start. Compiling the unit for it took {compiling:.1f} s, once."
    )


def _whisper(message: str) -> None:
    print(message, file=sys.stderr)


def _each(image: Image, profile: Profile) -> dict[str, _Took]:
    """Seconds for each property that the image has; raises RuntimeError if one is not proved."""
    code, model = _Timed(image, profile), ModelTerms(profile)
    first = PROPERTIES[FIRST if FIRST in image.entries else "spte_has_volatile_bits"]
    start = time.perf_counter()
    prove(first, (code, model), SECONDS)
    took = {"": _Took(code.seconds, time.perf_counter() - start)}
    for prop in PROPERTIES.values():
        if prop.name not in image.entries or prop.absent(profile) or prop.scalar:
            continue
        code.seconds, start = 0.0, time.perf_counter()
        proof = prove(prop, (code, model), SECONDS)
        took[prop.name] = _Took(code.seconds, time.perf_counter() - start)
        if not proof.proved:
            raise RuntimeError(f"{prop.name} is not proved: {proof.unproved or 'it is refuted'}")
    return took


def _table(console: Console, took: dict[str, dict[str, _Took]], beside: dict[str, float]) -> None:
    table = Table(
        title="Proofs, seconds for each function: on every host, for every input",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
    )
    table.add_column("", no_wrap=True)
    for name in took:
        for heading in (f"{name}\nexecuting", "\nsolving", "\nboth"):
            table.add_column(heading, justify="right")
    table.add_column("CBMC\n", justify="right")
    for name in took["shim"]:
        cells = []
        for each in took.values():
            one = each.get(name)
            cells += [f"{s:.2f}" for s in (one.executing, one.solving, one.whole)] if one else ["-"] * 3
        table.add_row(
            name or "the mask setters, once", *cells, f"{beside[name]:.2f}" if name in beside else ""
        )
    console.print(table)


def _whole(oracle: str, took: dict[str, _Took]) -> list[Figure]:
    """The whole command, in its processes."""
    command = [sys.executable, "-m", "conformance", "prove", "--kernel", "6.1", "--oracle", oracle]
    done = watched(command, dict(os.environ))
    conformed(done)
    predicates = {name: took[name].whole for name in _predicates(took)}
    slowest = max(predicates, key=predicates.__getitem__)
    memory = max(done.largest_tree, done.largest_process)
    cores = len(os.sched_getaffinity(0))
    return [
        below(f"start to exit, {cores} cores, the checks on drawn cases included", done.seconds, WHOLE, "s"),
        below("peak memory, sum over all processes", memory / MB, MEMORY, "MB"),
        below("peak memory, largest process", done.largest_process / MB, MEMORY, "MB"),
        below(
            f"slowest of {len(predicates)} single-word predicates: {slowest}",
            predicates[slowest],
            PREDICATE,
            "s",
        ),
        Figure("every function once, in one process", f"{sum(each.whole for each in took.values()):.1f} s"),
    ]


def _predicates(took: Iterable[str]) -> list[str]:
    """The properties that are predicates of one word."""
    return [
        name
        for name in took
        if name
        and len(PROPERTIES[name].takes) == 1
        and all(output.decides for output in PROPERTIES[name].gives)
    ]

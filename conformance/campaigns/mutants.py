# SPDX-License-Identifier: GPL-2.0-only
"""Campaigns of mutants: a unit judges one change of the executed lines of a kernel's MMU.

All changes that the operators of `coverage --compared` make are planted, in random order: the part that is
finished is a uniform sample of them. They are planted in batches, each compiled once on every host.
"""

from __future__ import annotations

import json
import random
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from conformance.campaigns.patches import paths_of
from conformance.campaigns.unit import Order, Row, Unit
from conformance.coverage.compared.choosing import chosen_operators
from conformance.coverage.compared.concurrency import concurrency_changes
from conformance.coverage.compared.judging import Judge, Task
from conformance.coverage.compared.pieces import Change
from conformance.coverage.compared.sample import Planting
from conformance.coverage.compared.sampling import RUN_LAYERS, Line, frame_of, likeliest_first, mutant_of
from conformance.coverage.data import Coverage
from conformance.coverage.run_coverage import CoveragePlan, measured
from conformance.errors import ConformanceError
from conformance.kernels import Cache, Kernel
from conformance.kernels.compilers import using
from conformance.kernels.tools import quiet
from conformance.review.kvm_state import keeping

__all__ = ["NOT_COMPILED", "Mutants"]

NOT_COMPILED = "not compiled"
"""The verdict on a mutant that the compiler refuses; the others are those of a sample (Outcome)."""

BATCH = 1000
"""The number of mutants that are compiled into one library."""

Mutant = tuple[Line, Change]
"""A change, and the line on which it is counted."""


@dataclass(frozen=True)
class Mutants:
    """All mutants of the executed lines of kernels.

    ``at``: only those in files whose path ends so, FILE, on one line of it, FILE:LINE, or in a folder,
    FOLDER/; all without any. ``operators``: patterns on the names of operators and of groups of them; all
    without any.
    """

    order: Order
    at: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    name = "mutants"
    compiles = True

    @property
    def definition(self) -> dict[str, Any]:
        """What the campaign is about, as plain data."""
        return {**self.order.definition, "at": [*self.at], "operators": [*self.operators]}

    def units(self) -> Sequence[Unit]:
        """The mutants of each kernel in random order. Raises ConformanceError if there are none."""
        chosen_operators(self.operators)
        found = [
            Unit.of(
                self.name,
                f"{kernel} {file}:{line} {change.operator}",
                **self.definition,
                kernel=kernel,
                number=number,
                file=file,
                line=line,
                change=[change.operator, change.start, change.end, change.text],
            )
            for kernel in self.order.kernels
            for number, ((file, line), change) in enumerate(self._mutants(kernel))
        ]
        if not found:
            which = f" of {', '.join(self.operators)}" if self.operators else ""
            raise ConformanceError(
                f"No executed line has mutants{which} in {', '.join(self.at) or 'the MMU'}; name files as "
                "'conformance coverage' does, such as mmu/spte.c, mmu/spte.c:100 or mmu/."
            )
        return found

    def preparations(self) -> Sequence[str]:
        """The kernels."""
        return self.order.kernels

    def _mutants(self, kernel: str) -> list[Mutant]:
        chosen = chosen_operators(self.operators)
        return [
            one
            for one in _site(kernel, self.order).every
            if one[1].operator in chosen and self._covers(one[0])
        ]

    def _covers(self, line: Line) -> bool:
        return not self.at or any(_matches(line, place) for place in self.at)

    def prepare(self, what: str) -> None:
        """Measure what properties, stories and races execute of a kernel. Raises ConformanceError."""
        _site(what, self.order)

    def run(self, unit: Unit) -> list[Row]:
        """Judge a mutant: one row with the outcome, and the run that detected it."""
        given = unit.defined
        site = _site(given["kernel"], self.order)
        batch, place = divmod(given["number"], BATCH)
        planted = _planted(site, self._mutants(given["kernel"])[batch * BATCH : (batch + 1) * BATCH])
        line, change = planted.mutants[place]
        if [*line, [change.operator, change.start, change.end, change.text]] != [
            given["file"],
            given["line"],
            given["change"],
        ]:
            raise ConformanceError(f"{given['kernel']}: this machine has another source or other coverage.")
        return [planted.row(place, given["kernel"])]


@dataclass(frozen=True, eq=False)
class _Site:
    """A kernel, what executes its lines, and all its mutants in random order."""

    kernel: Kernel
    coverage: Coverage
    every: tuple[Mutant, ...]


@lru_cache(maxsize=8)
def _site(selector: str, order: Order) -> _Site:
    """The mutants of a kernel. Raises ConformanceError if its coverage cannot be measured."""
    patches = paths_of(order.patches)
    with using(order.compiler):
        kernel, found = measured(CoveragePlan([selector], patches, RUN_LAYERS), selector, quiet)
    frame = frame_of(found.source, found.coverage, concurrency_changes)
    every = [(line, change) for line, changes in frame.changes.items() for change in changes]
    random.Random(order.seed).shuffle(every)
    return _Site(kernel, found.coverage, tuple(every))


def _matches(line: Line, place: str) -> bool:
    """Whether a line is in a place, FILE, FILE:LINE or FOLDER/, with the end of a path for FILE."""
    file, _, number = place.partition(":")
    if place.endswith("/"):
        return f"/{place}" in f"/{line[0]}"
    return f"/{line[0]}".endswith(f"/{file}") and number in ("", str(line[1]))


class _Planted:
    """A batch of mutants, compiled, and what judges them in this process."""

    def __init__(self, site: _Site, mutants: Sequence[Mutant]) -> None:
        self.site, self.mutants = site, mutants
        order = [(line, [change]) for line, change in mutants]
        planting = Planting(site.kernel, order, site.coverage.layers, Cache(), quiet)
        self._rejected = planting.planted().rejected
        self._judge = Judge(planting.libraries(keeping))

    def close(self) -> None:
        """End the processes of the judge."""
        self._judge.close()

    def row(self, place: int, selector: str) -> Row:
        """Judge one of the mutants, which are numbered from 1 where they are planted."""
        (file, line), change = self.mutants[place]
        runs = likeliest_first((file, line), change, self.site.coverage)
        content = (self.site.kernel.root / "src" / file).read_bytes()
        mutant = asdict(mutant_of(file, line, change, content)) | {"runs": len(runs)}
        outcome, by, how = NOT_COMPILED, ("", "", ""), ""
        if place + 1 not in self._rejected:
            judged = self._judge.judge(Task(place + 1, file, change, runs))
            outcome, by, how = judged.outcome.value, judged.by, judged.how
        layer, run, mode = by
        return Row(
            subject=change.function,
            verdict=outcome,
            kernel=self.site.kernel.title,
            version=self.site.kernel.version,
            engine=layer,
            mode=mode,
            reason=f"{run}: {how}" if run else how,
            again=f"conformance campaign mutants --kernel {selector} --at {file}:{line} "
            f"--operators {shlex.quote(change.operator)} --out DIR",
            details=json.dumps(mutant),
        )


_open: list[_Planted] = []
"""The one batch whose mutants are judged in this process now."""


def _planted(site: _Site, batch: Sequence[Mutant]) -> _Planted:
    """A batch; the one before is closed."""
    if not _open or _open[0].site is not site or _open[0].mutants != batch:
        for other in _open:
            other.close()
        _open[:] = [_Planted(site, batch)]
    return _open[0]

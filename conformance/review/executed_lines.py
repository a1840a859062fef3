# SPDX-License-Identifier: GPL-2.0-only
"""Whether changed lines were executed: before the change by cached coverage, after it by the review."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial

from conformance.coverage.data import Coverage, Layer
from conformance.coverage.gcov import Gcov, executed_of
from conformance.errors import ConformanceError
from conformance.kernels import Kernel
from conformance.oracles.coverage import Counters
from conformance.review.base_coverage import FUNCTIONS, STORIES, BaseCoverage
from conformance.review.changed_lines import ChangedLines, Execution, Reading, Side, changed_lines
from conformance.review.pairing import Pair
from conformance.review.plan import ReviewPlan
from conformance.review.ran import Ran

__all__ = ["ExecutedLines"]

NOT_COMPILED = "its file is not compiled in the configuration used here"
NOTHING_RUN = "nothing executes it before the change, so nothing was run"
IN_PART = "only a part of what executes it was selected"
ENDED = "what executes it ended at a difference"

_READERS = 2
"""Calls of gcov at a time."""


@dataclass
class ExecutedLines:
    """Reads which changed lines were executed.

    ``ran`` is what the review ran, by layer; ``changed`` are the symbols of all changed functions.
    """

    kernels: tuple[Kernel, Kernel]
    base: BaseCoverage
    ran: Mapping[str, Ran]
    changed: Collection[str]
    plan: ReviewPlan

    def of(self, function: Pair) -> ChangedLines | None:
        """The changed lines of a function; None if its own text did not change."""
        lacking = self._lacking(function)
        before = self._unmeasured(function) if self.base.exact else lacking
        return changed_lines(function, partial(self._read, lacking), (before, lacking))

    def _unmeasured(self, function: Pair) -> str:
        """Why lines of a function are not measured in the kernel before; "" if they are."""
        layers, missing = self.base.coverage.layers.values(), self.base.coverage.missing
        if missing:
            return "; ".join(dict.fromkeys(missing.values()))
        compiled = function.before is None or any(function.before.file in layer.files for layer in layers)
        return "" if compiled else NOT_COMPILED

    def _read(self, lacking: str, side: Side, function: Pair, file: str, number: int) -> Reading:
        unexecuted = Execution.NOT_RUN if lacking else None
        if side is Side.BEFORE and self.base.exact:
            number = self.base.line(file, number)
            unexecuted = Execution.NOT_MEASURED if self.base.coverage.missing else None
        return _reading(self._covered[side], file, number, unexecuted)

    def _lacking(self, function: Pair) -> str:
        """Why not everything that may execute a function was run; "" if it was."""
        symbols = function.symbols if function.before else self.changed
        try:
            selected = {layer: {*self.base.reach(layer, symbols)} for layer in (FUNCTIONS, STORIES)}
        except ConformanceError as problem:
            return str(problem)
        if not any(selected.values()):
            return NOTHING_RUN
        if self.plan.only or self.plan.modes or self.plan.case:
            return IN_PART
        for layer, kind in ((FUNCTIONS, "properties"), (STORIES, "stories")):
            seen = {one.name: one for one in self.ran[layer].seen} if layer in self.ran else {}
            left = selected[layer] - {*seen}
            if left:
                return f"{len(left)} of the {len(selected[layer])} {kind} that execute it were not run"
            if any(seen[name].difference for name in selected[layer]):
                return ENDED
        return ""

    @cached_property
    def _covered(self) -> tuple[Coverage, Coverage]:
        """What was executed on each kernel in this review."""
        before, after = (self._layers(side) for side in Side)
        return before, after

    def _layers(self, side: Side) -> Coverage:
        if side is Side.BEFORE and self.base.exact:
            return self.base.coverage
        kernel = self.kernels[side]
        layers = {name: _layer(name, ran, self.changed, kernel, side) for name, ran in self.ran.items()}
        return Coverage(kernel.title, layers)


def _layer(name: str, ran: Ran, changed: Collection[str], kernel: Kernel, side: Side) -> Layer:
    """What was run, as a layer of the coverage of one kernel. Raises ConformanceError if gcov fails."""
    gcov = Gcov(kernel, ran.libraries[side])
    total = sum((one.counters[side] for one in ran.seen), Counters())
    concerned = ran.concerning(changed)
    with ThreadPoolExecutor(_READERS) as pool:
        read = pool.map(lambda one: executed_of(gcov.files(one.counters[side])), concerned)
        runs = {one.name: executed for one, executed in zip(concerned, read, strict=True)}
    return Layer(name, gcov.files_of(total), runs)


def _reading(coverage: Coverage, file: str, number: int, unexecuted: Execution | None) -> Reading:
    """The reading of a line; if it was not executed, it is ``unexecuted``, or NOT_EXECUTED for None."""
    files = [layer.files[file] for layer in coverage.layers.values() if file in layer.files]
    if not files:
        return Reading(unexecuted or Execution.NOT_MEASURED)
    lines = [one.lines[number] for one in files if number in one.lines]
    if not lines:
        return Reading(Execution.NO_CODE)
    if not any(line.count for line in lines):
        return Reading(unexecuted or Execution.NOT_EXECUTED)
    return Reading(Execution.EXECUTED, tuple(name for _, name in coverage.runs_of_line(file, number)))

# SPDX-License-Identifier: GPL-2.0-only
"""Estimate the share of executed lines that are compared, from a sample of planted mutants."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from conformance.coverage.compared.detecting import Keeping
from conformance.coverage.compared.judging import Libraries, Task, Verdict, begin, judge
from conformance.coverage.compared.mutants import Compared, Judged, Outcome
from conformance.coverage.compared.pieces import Change
from conformance.coverage.compared.planted_kernel import PlantedKernel, plant_kernel
from conformance.coverage.compared.sampling import (
    RUN_LAYERS,
    Line,
    drawn,
    frame_of,
    likeliest_first,
    mutant_of,
)
from conformance.coverage.data import Coverage
from conformance.errors import ConformanceError
from conformance.kernels import Cache, Kernel, Progress, key_of
from conformance.oracles.common import digest_of_parts
from conformance.oracles.kvm.build import build_kvm, layouts_of
from conformance.oracles.shim.build import build_shim
from conformance.workers import workers

__all__ = ["Planting", "sample"]

SPARE = 0.1
"""The share of further lines that are planted, for those on which no change compiles."""

_NOTE = "mutant"
_SHAPE = {"outcome": str, "by": [str], "how": str}
_PARTS = (
    *(
        f"coverage/compared/{name}.py"
        for name in ("detecting", "equivalence", "judging", "planting", "racing")
    ),
    *("differential", "interface", "model", "oracles", "races", "scenarios"),
)
"""The parts of this package that decide what is detected."""


@dataclass(frozen=True)
class _Drawn:
    """A drawn line with its change, and the runs that execute it, likeliest to detect it first."""

    line: Line
    change: Change
    runs: tuple[tuple[str, str], ...]


def sample(
    kernel: Kernel,
    coverage: Coverage,
    n: int,
    seed: int,
    cache: Cache,
    progress: Progress,
    *,
    jobs: int = 2,
    keeping: Keeping | None = None,
    advance: Callable[[Judged], None] | None = None,
) -> Compared:
    """Plant ``n`` mutants into lines that properties, stories or races execute, and judge each.

    ``keeping`` compares what KVM keeps in its structures, as reviews do; without it that is not compared.
    ``advance`` is called with each mutant as it is judged. Raises ConformanceError if the coverage has
    none of these, or if the kernel with the mutants cannot be built.
    """
    if not any(layer in coverage.layers for layer in RUN_LAYERS):
        reasons = [coverage.missing[layer] for layer in RUN_LAYERS if layer in coverage.missing]
        raise ConformanceError(
            " ".join(reasons) or "neither functions, stories nor races were measured; add them to --by."
        )
    source = kernel.root / "src"
    frame = frame_of(source, coverage)
    progress(f"{kernel.title}: planting mutants into {min(n, len(frame.changes))} lines")
    order = islice(drawn(frame, seed), n + round(n * SPARE) + 1)
    planting = Planting(kernel, [*order], coverage.layers, cache, progress)
    chosen, rejected = planting.chosen(n, coverage)
    notes = _Notes(kernel, cache, keeping)
    found = {number: verdict for number, one in chosen.items() if (verdict := notes.read(one)) is not None}

    def judged(number: int) -> Judged:
        one, verdict = chosen[number], found[number]
        (file, line), text = one.line, (source / one.line[0]).read_bytes()
        mutant = mutant_of(file, line, one.change, text)
        return Judged(mutant, verdict.outcome, verdict.by, verdict.how, one.runs)

    left = {number: one for number, one in chosen.items() if number not in found}
    progress(f"{kernel.title}: judging {len(left)} mutants; {len(found)} are known")
    for number, verdict in _verdicts(planting, left, keeping, jobs) if left else ():
        found[number] = verdict
        notes.write(chosen[number], verdict)
        if advance is not None:
            advance(judged(number))
    return Compared(
        kernel.title,
        seed,
        n,
        frame.executed,
        len(frame.changes),
        rejected,
        tuple(judged(number) for number in chosen),
    )


class Planting:
    """The kernel with all candidates of the drawn lines; it is built only if necessary."""

    def __init__(
        self,
        kernel: Kernel,
        order: Sequence[tuple[Line, list[Change]]],
        layers: Collection[str],
        cache: Cache,
        progress: Progress,
    ) -> None:
        self.kernel = kernel
        self._cache = cache
        self._progress = progress
        self._layers = layers
        pairs = [(line, change) for line, candidates in order for change in candidates]
        self._candidates = dict(enumerate(pairs, 1))

    def chosen(self, n: int, coverage: Coverage) -> tuple[dict[int, _Drawn], int]:
        """By number, the first change that compiles of each of ``n`` lines; how many do not compile."""
        lines: dict[Line, int] = {}
        planted, rejected = self.planted(), 0
        for number, (line, _) in self._candidates.items():
            if number in planted.rejected and line not in lines and len(lines) < n:
                rejected += 1
            elif number in planted.mutants and len(lines) < n:
                lines.setdefault(line, number)
        found = {}
        for line, number in lines.items():
            change = self._candidates[number][1]
            found[number] = _Drawn(line, change, likeliest_first(line, change, coverage))
        return found, rejected

    def planted(self) -> PlantedKernel:
        """The kernel with those candidates that compile. Raises BuildError, CannotBuild."""
        mutants = {number: (line[0], change) for number, (line, change) in self._candidates.items()}
        return plant_kernel(self.kernel, mutants, self._cache, self._progress, self._build)

    def _build(self, kernel: Kernel) -> tuple[Path, Path | None, Path | None]:
        shim = build_shim(kernel, self._cache, self._progress)
        kvm = build_kvm(kernel, self._cache, self._progress) if "stories" in self._layers else None
        if "races" not in self._layers:
            return shim, kvm, None
        return shim, kvm, build_kvm(kernel, self._cache, self._progress, racing=True)

    def libraries(self, keeping: Keeping | None) -> Libraries:
        """What a worker needs."""
        planted = self.planted().kernel
        shim, kvm, racing = self._build(planted)
        layouts = layouts_of(planted, self._cache) if kvm is not None else {}
        return Libraries(self.kernel, shim, kvm, layouts, keeping, racing)


def _verdicts(
    planting: Planting, left: Mapping[int, _Drawn], keeping: Keeping | None, jobs: int
) -> Iterator[tuple[int, Verdict]]:
    """The verdicts in the order in which they are reached."""
    with workers(jobs, begin, (planting.libraries(keeping),)) as pool:
        futures = {
            pool.submit(judge, Task(number, one.line[0], one.change, one.runs)): number
            for number, one in left.items()
        }
        for future in as_completed(futures):
            yield futures[future], future.result()


class _Notes:
    """The verdicts that the cache has."""

    def __init__(self, kernel: Kernel, cache: Cache, keeping: Keeping | None) -> None:
        self._cache = cache
        own = [] if keeping is None else [_file_of(keeping)]
        self._digest = key_of(kernel.fingerprint, digest_of_parts(*_PARTS, *own), *own)

    def read(self, one: _Drawn) -> Verdict | None:
        """The verdict on a mutant, if it is known."""
        note: Any = self._cache.read_note(_NOTE, self._key(one), _SHAPE)
        if note is None or len(note["by"]) != 3 or note["outcome"] not in {each.value for each in Outcome}:
            return None
        layer, name, mode = note["by"]
        return Verdict(Outcome(note["outcome"]), (layer, name, mode), note["how"])

    def write(self, one: _Drawn, verdict: Verdict) -> None:
        """Store a verdict that would be the same the next time."""
        if verdict.lasting:
            note = {"outcome": verdict.outcome.value, "by": [*verdict.by], "how": verdict.how}
            self._cache.write_note(_NOTE, self._key(one), note)

    def _key(self, one: _Drawn) -> str:
        return key_of(self._digest, one.line, one.change, sorted(one.runs))


def _file_of(keeping: Keeping) -> str:
    """The file of this package that a function is in."""
    return keeping.__module__.removeprefix("conformance.").replace(".", "/") + ".py"

# SPDX-License-Identifier: GPL-2.0-only
"""Which lines and changes a sample consists of: lines drawn uniformly, then a change of each.

Lines that no property, story or race executes are not drawn: no change in them could be detected.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from conformance.coverage.compared.mutants import Mutant
from conformance.coverage.compared.operators import changes
from conformance.coverage.compared.pieces import UNSURE, Change
from conformance.coverage.data import Coverage

__all__ = ["RUN_LAYERS", "Frame", "Line", "drawn", "frame_of", "likeliest_first", "mutant_of"]

RUN_LAYERS = ("functions", "stories", "races")
"""The layers whose runs are repeated with a mutant enabled."""

CANDIDATES = 2
"""The changes of each drawn line that are planted: the second one is for the case that the first fails."""

Line = tuple[str, int]
"""A file and the number of a line in it."""


Operators = Callable[[bytes], Iterable[Change]]
"""Makes the changes of a file's content."""


@dataclass(frozen=True)
class Frame:
    """The lines that can be drawn, with their changes; ``executed`` counts those without any too."""

    executed: int
    changes: Mapping[Line, tuple[Change, ...]]


def frame_of(source: Path, coverage: Coverage, *more: Operators) -> Frame:
    """The lines that runs of RUN_LAYERS execute. ``source``: the directory of the kernel's files.

    ``more`` makes further changes of a file than the operators of operators.py do.
    """
    executed = _executed(coverage)
    found: dict[Line, list[Change]] = defaultdict(list)
    for name, file in coverage.files.items():
        path = source / name
        content = path.read_bytes() if executed[name] and path.is_file() else b""
        for change in [one for make in (changes, *more) for one in make(content)]:
            line = _line_of(change, file.lines)
            if line in executed[name]:
                found[name, line].append(change)
    return Frame(
        sum(map(len, executed.values())), {line: tuple(there) for line, there in sorted(found.items())}
    )


def _executed(coverage: Coverage) -> dict[str, set[int]]:
    """The lines that the runs of RUN_LAYERS execute, by file."""
    executed: dict[str, set[int]] = defaultdict(set)
    for layer in coverage.layers.values():
        for run in layer.runs.values() if layer.name in RUN_LAYERS else ():
            for file, lines in run.lines.items():
                executed[file] |= lines
    return executed


def _line_of(change: Change, lines: Collection[int]) -> int:
    """The line on which the compiler counts a change: its own, or an earlier one of the statement; else 0."""
    there = (line for line in range(change.first, change.statement - 1, -1) if line in lines)
    return next(there, 0)


def drawn(frame: Frame, seed: int) -> Iterator[tuple[Line, list[Change]]]:
    """The lines in random order, each with the first few of its changes in random order.

    A sample is a beginning of this: a larger one contains the smaller ones of the same seed.
    """
    lines = sorted(frame.changes)
    random.Random(seed).shuffle(lines)
    for line in lines:
        candidates = [*frame.changes[line]]
        random.Random(f"{seed} {line}").shuffle(candidates)
        chosen = candidates[:1]
        chosen += [one for one in candidates[1:] if one.rank != UNSURE][: CANDIDATES - 1]
        yield line, chosen


def likeliest_first(line: Line, change: Change, coverage: Coverage) -> tuple[tuple[str, str], ...]:
    """The runs that execute a line: the function's own property, then by how little else they execute."""

    def key(run: tuple[str, str]) -> tuple[bool, int]:
        layer, name = run
        return name != change.function, len(coverage.layers[layer].runs[name].functions)

    return tuple(sorted((run for run in coverage.runs_of_line(*line) if run[0] in RUN_LAYERS), key=key))


def mutant_of(file: str, line: int, change: Change, content: bytes) -> Mutant:
    """The description of a change of a file with this content."""
    first = content.rfind(b"\n", 0, change.start) + 1
    last = content.find(b"\n", change.end)
    last = len(content) if last < 0 else last
    before = content[first:last]
    after = content[first : change.start] + change.text.encode() + content[change.end : last]
    return Mutant(
        file,
        line,
        change.function,
        change.operator,
        change.start,
        change.end,
        change.text,
        *(" ".join(text.decode(errors="replace").split()) for text in (before, after)),
    )

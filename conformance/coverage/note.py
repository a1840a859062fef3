# SPDX-License-Identifier: GPL-2.0-only
"""The coverage of a layer as JSON, for the cache."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from conformance.coverage.data import Executed, File, Function, Layer, Line

__all__ = ["SHAPE", "read_layer", "written_layer"]

SHAPE = {str: dict}


def written_layer(layer: Layer) -> dict[str, Any]:
    """A layer. Lines of runs are numbers in pairs: the first of a row without gaps, and how many."""
    return {
        "files": {
            name: {
                "lines": [
                    [number, line.count, list(line.branches), line.function]
                    for number, line in file.lines.items()
                ],
                "functions": [[one.name, one.first, one.last, one.count] for one in file.functions.values()],
            }
            for name, file in layer.files.items()
        },
        "runs": {
            name: {
                "functions": sorted(run.functions),
                "lines": {file: list(_rows(lines)) for file, lines in run.lines.items()},
            }
            for name, run in layer.runs.items()
        },
    }


def read_layer(name: str, note: dict[str, Any]) -> Layer:
    """The layer that was written."""
    files = {
        file: File(
            {
                number: Line(count, tuple(branches), function)
                for number, count, branches, function in each["lines"]
            },
            {one[0]: Function(*one) for one in each["functions"]},
        )
        for file, each in note["files"].items()
    }
    runs = {
        run: Executed(
            frozenset(each["functions"]),
            {file: frozenset(_numbers(rows)) for file, rows in each["lines"].items()},
        )
        for run, each in note["runs"].items()
    }
    return Layer(name, files, runs)


def _rows(lines: Iterable[int]) -> Iterator[int]:
    """Numbers as pairs: the first of a row without gaps, and how many follow each other."""
    first, n = 0, 0
    for line in sorted(lines):
        if n and line == first + n:
            n += 1
            continue
        if n:
            yield from (first, n)
        first, n = line, 1
    if n:
        yield from (first, n)


def _numbers(rows: list[int]) -> Iterator[int]:
    for first, n in zip(rows[::2], rows[1::2], strict=True):
        yield from range(first, first + n)

# SPDX-License-Identifier: GPL-2.0-only
"""Coverage as data: lines, branches and functions of a kernel's files, by layer, and what each run executed.

Files are named by their path in the kernel ("arch/x86/kvm/mmu/mmu.c"), lines are numbered from 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

__all__ = ["LAYERS", "Coverage", "Executed", "File", "Function", "Layer", "Line", "merged"]

LAYERS = {
    "functions": "properties, on single functions",
    "stories": "scenarios, on a whole KVM",
    "lockstep": "random steps, on a whole KVM",
    "races": "races, under several schedules",
}
"""The layers of the suite whose coverage is measured."""


@dataclass(frozen=True)
class Line:
    """A line with code.

    count: how often it was executed. branches: how often each branch that leaves it was taken. function: the
    one that it is part of.
    """

    count: int
    branches: tuple[int, ...]
    function: str


@dataclass(frozen=True)
class Function:
    """A function, with its first and last line, and how often it was called."""

    name: str
    first: int
    last: int
    count: int


@dataclass(frozen=True)
class File:
    """The lines with code of a file, and its functions by name."""

    lines: Mapping[int, Line]
    functions: Mapping[str, Function]

    def lines_of(self, function: str) -> range:
        """The lines from the first to the last of a function, those without code included.

        The functions that a template such as paging_tmpl.h makes share their lines.
        """
        found = self.functions[function]
        return range(found.first, found.last + 1)


@dataclass(frozen=True)
class Executed:
    """What one run executed: a property, a story, a lockstep sequence or a race, in all its modes."""

    functions: frozenset[str]
    lines: Mapping[str, frozenset[int]]
    """By file."""


@dataclass(frozen=True)
class Layer:
    """What one layer executed, in total and by run, in the order in which the runs took place."""

    name: str
    files: Mapping[str, File]
    runs: Mapping[str, Executed]


@dataclass(frozen=True)
class Coverage:
    """The coverage of a kernel. ``missing`` says of layers that were not measured why."""

    kernel: str
    layers: Mapping[str, Layer]
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, File]:
        """The files, with the counts of all layers."""
        return merged(layer.files for layer in self.layers.values())

    def runs_of_line(self, file: str, line: int) -> list[tuple[str, str]]:
        """The layer and the name of each run that executed a line."""
        return [
            (layer.name, name)
            for layer in self.layers.values()
            for name, run in layer.runs.items()
            if line in run.lines.get(file, ())
        ]

    def runs_of_function(self, name: str) -> list[tuple[str, str]]:
        """The layer and the name of each run that executed a function."""
        return [
            (layer.name, run)
            for layer in self.layers.values()
            for run, executed in layer.runs.items()
            if name in executed.functions
        ]


def merged(measured: Iterable[Mapping[str, File]]) -> dict[str, File]:
    """Files with the sums of their counts. Branches are added where both have the same number of them."""
    found: dict[str, File] = {}
    for files in measured:
        for name, file in files.items():
            found[name] = _added(found[name], file) if name in found else file
    return found


def _added(one: File, other: File) -> File:
    lines = dict(one.lines)
    for number, line in other.lines.items():
        lines[number] = _added_lines(lines[number], line) if number in lines else line
    functions = dict(one.functions)
    for name, function in other.functions.items():
        count = function.count + (functions[name].count if name in functions else 0)
        functions[name] = Function(name, function.first, function.last, count)
    return File(dict(sorted(lines.items())), functions)


def _added_lines(one: Line, other: Line) -> Line:
    """Two compilations of a line may have different branches: then those of the one executed more often."""
    if len(one.branches) == len(other.branches):
        branches = tuple(map(sum, zip(one.branches, other.branches, strict=True)))
    else:
        branches = max(one, other, key=lambda line: line.count).branches
    return Line(one.count + other.count, branches, one.function)

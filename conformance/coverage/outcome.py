# SPDX-License-Identifier: GPL-2.0-only
"""The outcome of `conformance coverage` for a kernel: the state of each line, and sums, for every report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path

from conformance.coverage.compared.mutants import Compared, Outcome
from conformance.coverage.data import Coverage, File, Function
from conformance.coverage.unreachable import Unreachable

__all__ = ["Changed", "Dark", "KernelCoverage", "State", "Sums"]


class State(str, Enum):
    """What is known of a line with code; the value is the word that reports use."""

    COMPARED = "compared"
    """It was executed, and a change planted into it was detected."""
    SURVIVED = "not compared"
    """It was executed, and a change planted into it was not detected, or only where reviews look."""
    EXECUTED = "executed"
    """It was executed; no change was planted into it."""
    DARK = "dark"
    """No run executed it."""
    UNREACHABLE = "unreachable"
    """Nothing can execute it in this configuration."""


@dataclass(frozen=True)
class Sums:
    """Executed of existing: lines, branches and functions, unreachable lines left out."""

    lines: tuple[int, int]
    branches: tuple[int, int]
    functions: tuple[int, int]
    unreachable: int = 0

    def __add__(self, other: Sums) -> Sums:
        def added(one: tuple[int, int], two: tuple[int, int]) -> tuple[int, int]:
            return one[0] + two[0], one[1] + two[1]

        return Sums(
            added(self.lines, other.lines),
            added(self.branches, other.branches),
            added(self.functions, other.functions),
            self.unreachable + other.unreachable,
        )


NOTHING = Sums((0, 0), (0, 0), (0, 0))


@dataclass(frozen=True)
class Changed:
    """The lines of a file that a patch adds or changes: those with code, and those of them not executed."""

    file: str
    lines: int
    dark: tuple[int, ...]


@dataclass(frozen=True)
class Dark:
    """Lines that no run executed: a function, or several that a template makes of the same lines."""

    file: str
    names: tuple[str, ...]
    lines: int

    @property
    def name(self) -> str:
        """The name of one, and how many others there are."""
        more = len(self.names) - 1
        return f"{self.names[-1]} and {more} more of its template" if more else self.names[0]


@dataclass(frozen=True)
class KernelCoverage:
    """The coverage of one kernel's MMU.

    source: the directory with the kernel's files. astray: for each story that does not execute what it is
    about, a sentence. changed: what patches change, or None without a patch.
    """

    selector: str
    title: str
    version: str
    source: Path
    coverage: Coverage
    unreachable: Unreachable
    drift: str | None = None
    notes: tuple[str, ...] = ()
    astray: tuple[str, ...] = ()
    compared: Compared | None = None
    changed: tuple[Changed, ...] | None = None

    @cached_property
    def files(self) -> dict[str, File]:
        """The files with the counts of all layers, in the order of their paths."""
        return dict(sorted(self.coverage.files.items()))

    @cached_property
    def states(self) -> dict[str, dict[int, State]]:
        """The state of each line with code, by file."""
        sampled = {} if self.compared is None else self.compared.compared_lines()
        return {
            name: {
                number: _state(
                    line.count,
                    number in self.unreachable.lines.get(name, ()),
                    sampled.get(name, {}).get(number),
                )
                for number, line in file.lines.items()
            }
            for name, file in self.files.items()
        }

    def sums(self, name: str, layer: str | None = None) -> Sums:
        """The sums of a file, of one layer or of all."""
        layers = self.coverage.layers
        file = self.files[name] if layer is None else layers[layer].files.get(name)
        return NOTHING if file is None else _sums(file, self.unreachable.lines.get(name, {}))

    def total(self, layer: str | None = None) -> Sums:
        """The sums of all files."""
        return sum((self.sums(name, layer) for name in self.files), NOTHING)

    def counts(self, file: str, function: str | None = None) -> dict[State, int]:
        """How many lines of a file, or of one function in it, are in each state."""
        states = self.states[file]
        lines = states if function is None else self.files[file].lines_of(function)
        found = Counter(states[number] for number in lines if number in states)
        return {state: found[state] for state in State}

    def counts_of_all(self) -> dict[State, int]:
        """How many lines are in each state."""
        found = Counter(state for states in self.states.values() for state in states.values())
        return {state: found[state] for state in State}

    @cached_property
    def _runs(self) -> dict[str, list[tuple[str, str]]]:
        found: dict[str, list[tuple[str, str]]] = {}
        for layer in self.coverage.layers.values():
            for name, run in layer.runs.items():
                for function in run.functions:
                    found.setdefault(function, []).append((layer.name, name))
        return found

    def runs_of_function(self, name: str) -> list[tuple[str, str]]:
        """The layer and the name of each run that executed a function, in the order of the runs."""
        return self._runs.get(name, [])

    @cached_property
    def _line_runs(self) -> dict[tuple[str, int], list[tuple[str, str]]]:
        found: dict[tuple[str, int], list[tuple[str, str]]] = {}
        for layer in self.coverage.layers.values():
            for name, run in layer.runs.items():
                for file, numbers in run.lines.items():
                    for number in numbers:
                        found.setdefault((file, number), []).append((layer.name, name))
        return found

    def runs_of_line(self, file: str, number: int) -> list[tuple[str, str]]:
        """The layer and the name of each run that executed a line, in the order of the runs."""
        return self._line_runs.get((file, number), [])

    def dark_functions(self) -> list[Dark]:
        """The functions that no run executed, and that can be reached; the largest first."""
        found = []
        for file in self.files:
            for functions in self.apart(file):
                lines = self.counts(file, functions[0].name)[State.DARK]
                if lines and not any(function.count for function in functions):
                    found.append(Dark(file, tuple(function.name for function in functions), lines))
        return sorted(found, key=lambda one: (-one.lines, one.names))

    def apart(self, file: str) -> list[list[Function]]:
        """The functions of a file in the order of their lines; those that share their lines together."""
        found: dict[int, list[Function]] = {}
        for one in sorted(self.files[file].functions.values(), key=lambda one: (one.first, one.name)):
            found.setdefault(one.first, []).append(one)
        return [*found.values()]


def _state(count: int, unreachable: bool, sampled: Outcome | None) -> State:
    if not count:
        return State.UNREACHABLE if unreachable else State.DARK
    if sampled is Outcome.COMPARED:
        return State.COMPARED
    return State.SURVIVED if sampled in (Outcome.SURVIVED, Outcome.REVIEWS) else State.EXECUTED


def _sums(file: File, unreachable: Iterable[int]) -> Sums:
    left_out = set(unreachable)
    lines = {number: line for number, line in file.lines.items() if number not in left_out}
    branches = [count for line in lines.values() for count in line.branches]
    functions = [one for one in file.functions.values() if any(n in lines for n in file.lines_of(one.name))]
    return Sums(
        (sum(bool(line.count) for line in lines.values()), len(lines)),
        (sum(map(bool, branches)), len(branches)),
        (sum(bool(one.count) for one in functions), len(functions)),
        len(file.lines) - len(lines),
    )

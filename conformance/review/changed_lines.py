# SPDX-License-Identifier: GPL-2.0-only
"""The changed lines of a function, as hunks, and whether each was executed before and after the change.

A removed line is one of the kernel before, an added line one of the kernel after; a modified line is both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import IntEnum

from conformance.differential.verdict import Wording
from conformance.review.functions import Text
from conformance.review.pairing import Pair

__all__ = ["ChangedLines", "Execution", "Hunk", "Reading", "Row", "Side", "SideLines", "changed_lines"]

_CONTEXT = 3
"""Unchanged lines around a change."""


class Side(IntEnum):
    """The kernel that a line belongs to."""

    BEFORE = 0
    AFTER = 1


class Execution(Wording):
    """Whether a changed line was executed."""

    EXECUTED = "executed"
    NOT_EXECUTED = "not executed"
    """Everything that executes its function was run, and did not execute it."""
    NOT_RUN = "not run"
    """It was not executed, but not everything that may execute it was run on its kernel."""
    NOT_MEASURED = "not measured"
    """It is not known: what its kernel executes cannot be measured, or not all of it."""
    NO_CODE = "no code"
    """The compiler emits nothing for it: a comment, a declaration."""


_UNKNOWN = (Execution.NOT_RUN, Execution.NOT_MEASURED)


@dataclass(frozen=True)
class Reading:
    """Whether a line was executed, and the names of the properties and stories that executed it."""

    execution: Execution
    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """A line of a hunk, and its number in the file before and after; 0 on the side that lacks it.

    ``reading`` is None for an unchanged line.
    """

    text: str
    before: int
    after: int
    reading: Reading | None = None

    @property
    def numbers(self) -> tuple[int, int]:
        """Its number on either side."""
        return self.before, self.after

    @property
    def sign(self) -> str:
        """Its mark in a diff."""
        return " " if self.reading is None else "+" if self.after else "-"

    @property
    def dark(self) -> bool:
        """Whether it was not executed by anything that was run."""
        unexecuted = (Execution.NOT_EXECUTED, Execution.NOT_RUN)
        return self.reading is not None and self.reading.execution in unexecuted


@dataclass(frozen=True)
class Hunk:
    """Changed lines that lie together, with the unchanged ones around them."""

    file: str
    rows: tuple[Row, ...]

    @property
    def heading(self) -> str:
        """Its heading in a unified diff."""
        before, after = (_extent([row.numbers[side] for row in self.rows]) for side in Side)
        return f"@@ -{before} +{after} @@"


def _extent(numbers: list[int]) -> str:
    there = [number for number in numbers if number]
    return f"{there[0] if there else 0},{len(there)}"


@dataclass(frozen=True)
class SideLines:
    """The changed lines of one side, counted.

    changed: all of them. code: those with code. counts: the lines with code, by whether they were executed.
    by: the properties and stories that executed one of them.
    """

    changed: int
    counts: dict[Execution, int]
    by: tuple[str, ...]

    @property
    def code(self) -> int:
        """The number of lines with code; lines that are not measured may have none."""
        return sum(self.counts.values())

    @property
    def executed(self) -> int:
        """The number of lines that were executed."""
        return self.counts.get(Execution.EXECUTED, 0)


@dataclass(frozen=True)
class ChangedLines:
    """The changed lines of a function. ``reasons``: why lines of each side are not run or not measured."""

    hunks: tuple[Hunk, ...]
    reasons: tuple[str, str] = ("", "")

    def side(self, side: Side) -> SideLines:
        """The changed lines of one side."""
        readings = [row.reading for row in self._changed(side) if row.reading]
        counts: Counter[Execution] = Counter(one.execution for one in readings)
        del counts[Execution.NO_CODE]
        by = dict.fromkeys(name for one in readings for name in one.by)
        return SideLines(len(readings), dict(counts), tuple(by))

    @property
    def dark(self) -> bool:
        """Whether a line was not executed by anything that was run."""
        return any(row.dark for hunk in self.hunks for row in hunk.rows)

    def _changed(self, side: Side) -> Iterator[Row]:
        for hunk in self.hunks:
            yield from (row for row in hunk.rows if row.reading and row.numbers[side])


Read = Callable[[Side, Pair, str, int], Reading]
"""Reads whether a line was executed: its side, the function, its file and its number."""


def changed_lines(function: Pair, read: Read, reasons: tuple[str, str]) -> ChangedLines | None:
    """The changed lines of a function; None if its own text did not change."""
    before, after = (text.text.split("\n") if text else [] for text in (function.before, function.after))
    if before == after:
        return None
    hunks = []
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for group in matcher.get_grouped_opcodes(_CONTEXT):
        rows: list[Row] = []
        for tag, start, end, first, last in group:
            if tag == "equal":
                for n, text in enumerate(before[start:end]):
                    numbers = _number(function.before, start + n), _number(function.after, first + n)
                    rows.append(Row(text, *numbers))
                continue
            for n in range(start, end):
                reading = _read(read, Side.BEFORE, function, before, n)
                rows.append(Row(before[n], _number(function.before, n), 0, reading))
            for n in range(first, last):
                reading = _read(read, Side.AFTER, function, after, n)
                rows.append(Row(after[n], 0, _number(function.after, n), reading))
        hunks.append(Hunk(function.text.file, tuple(rows)))
    return ChangedLines(tuple(hunks), reasons)


def _read(read: Read, side: Side, function: Pair, lines: list[str], n: int) -> Reading:
    """The reading of line ``n``, or of the statement that it continues if it has no code of its own."""
    while True:
        found = read(side, function, *_place((function.before, function.after)[side], n))
        if found.execution in _UNKNOWN and _bare(lines[n]):
            return Reading(Execution.NO_CODE)
        if found.execution is not Execution.NO_CODE or not n or not _continues(lines[n - 1], lines[n]):
            return found
        n -= 1


def _continues(above: str, line: str) -> bool:
    """Whether a line continues the statement of the line above it."""
    above, line = above.strip(), line.strip()
    return not _bare(above) and not _bare(line) and not above.endswith((";", "{", "}", ":", "*/"))


def _bare(line: str) -> bool:
    """Whether a line is blank, a directive, a bracket, or part of a comment."""
    line = line.strip()
    return line in ("", "{", "}", "} else {", "else", "*") or line.startswith(("#", "/*", "* ", "*/"))


def _place(text: Text | None, n: int) -> tuple[str, int]:
    assert text is not None
    return text.places[n]


def _number(text: Text | None, n: int) -> int:
    return _place(text, n)[1]

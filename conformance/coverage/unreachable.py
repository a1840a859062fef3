# SPDX-License-Identifier: GPL-2.0-only
"""What cannot be executed in the configuration that the suite builds: unreachable.toml, applied to a kernel.

A line is unreachable only if no input, story or race could execute it. What the suite merely does not do yet
is dark, and is no part of the table.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tree_sitter import Node

from conformance.coverage.data import Coverage, File
from conformance.coverage.source import source_lines
from conformance.kernels.parsing import parse, text_of
from conformance.kernels.prepare import options_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Entry", "Unreachable", "entries", "unreachable"]

_TABLE = Path(__file__).with_name("unreachable.toml")
_KEYS = {"file", "functions", "lines", "under", "unless", "reason"}


@dataclass(frozen=True)
class Entry:
    """An entry of the table: lines of one file, and the reason why they cannot be executed.

    functions: the functions that contain them; all of the file if empty. lines: texts, each of which a line
    must contain. under: texts, each part of the condition of an ``if`` whose body is meant. With neither,
    whole functions are meant. unless: options of the configuration with which the entry does not hold.
    """

    file: str
    reason: str
    functions: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    under: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unreachable:
    """The lines of a kernel that cannot be executed, by file, each with its entry."""

    lines: Mapping[str, Mapping[int, Entry]]
    executed: Mapping[str, Sequence[int]]
    """Lines that the table lists although they were executed, by file. They are not in ``lines``."""

    @property
    def faults(self) -> list[str]:
        """A sentence for each function with lines that the table should not list."""
        return [
            f"unreachable.toml lists {file}, line {', '.join(map(str, lines))}, which was executed."
            for file, lines in self.executed.items()
        ]


def entries(table: Path = _TABLE) -> list[Entry]:
    """The entries of the table. Raises ValueError for one that cannot be understood."""
    with table.open("rb") as file:
        found = tomllib.load(file).get("entry", [])
    return [_entry(given) for given in found]


def _entry(given: dict[str, Any]) -> Entry:
    if set(given) - _KEYS or not given.get("file") or not given.get("reason"):
        raise ValueError(f"unreachable.toml: {given} needs file and reason, and may have {sorted(_KEYS)}")
    lists = {key: tuple(given.get(key, ())) for key in ("functions", "lines", "under", "unless")}
    return Entry(given["file"], given["reason"], **lists)


def unreachable(coverage: Coverage, root: Path, table: Sequence[Entry] | None = None) -> Unreachable:
    """The lines with code of a kernel that cannot be executed; ``root`` is that of the kernel."""
    options = options_of(root / "gen/.config")
    lines: dict[str, dict[int, Entry]] = {}
    executed: dict[str, list[int]] = {}
    sources: dict[str, _Source] = {}
    files = coverage.files
    for entry in entries() if table is None else table:
        if entry.file not in files or any(option in options for option in entry.unless):
            continue
        file = files[entry.file]
        source = sources.setdefault(entry.file, _Source(root / "src" / entry.file))
        for number in _matching(entry, file, source):
            if file.lines[number].count:
                executed.setdefault(entry.file, []).append(number)
            else:
                lines.setdefault(entry.file, {}).setdefault(number, entry)
    return Unreachable(lines, {name: sorted(set(found)) for name, found in executed.items()})


def _matching(entry: Entry, file: File, source: _Source) -> list[int]:
    """The lines with code that an entry means."""
    meant = [number for name in entry.functions if name in file.functions for number in file.lines_of(name)]
    found = [number for number in meant if number in file.lines] if entry.functions else [*file.lines]
    if not entry.lines and not entry.under:
        return found
    bodies = source.bodies(entry.under)
    return [
        number
        for number in found
        if number in bodies or any(text in source.line(number) for text in entry.lines)
    ]


class _Source:
    """A file of the kernel, parsed when needed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _lines(self) -> list[str]:
        return source_lines(self._path)

    @cached_property
    def _conditions(self) -> list[tuple[str, range]]:
        """The condition of each ``if``, white space collapsed, and the lines of its body."""
        return [
            (" ".join(text_of(condition).split()), _inside(condition, body))
            for node in _ifs(parse(self._path.read_bytes()))
            if (condition := node.child_by_field_name("condition")) is not None
            and (body := node.child_by_field_name("consequence")) is not None
        ]

    def line(self, number: int) -> str:
        """The text of a line."""
        return self._lines[number - 1] if number <= len(self._lines) else ""

    def bodies(self, under: Sequence[str]) -> set[int]:
        """The lines in the body of each ``if`` whose condition contains one of the texts."""
        return (
            {
                number
                for condition, body in self._conditions
                if any(text in condition for text in under)
                for number in body
            }
            if under
            else set()
        )


def _ifs(node: Node) -> Iterator[Node]:
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if node.type == "if_statement":
            yield node
        waiting += node.children


def _inside(condition: Node, body: Node) -> range:
    """The lines of a body without those of the condition, and of ``} else if``."""
    first = max(body.start_point[0], condition.end_point[0] + 1) + 1
    last = body.end_point[0] + 1
    return range(first, last if body.type == "compound_statement" else last + 1)

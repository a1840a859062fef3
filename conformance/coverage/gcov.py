# SPDX-License-Identifier: GPL-2.0-only
"""Counters as lines, branches and functions, by gcc's own gcov."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from conformance.coverage.data import Executed, File, Function, Line, merged
from conformance.errors import ConformanceError
from conformance.kernels import Kernel
from conformance.kernels.building import build
from conformance.kernels.cache import temporary
from conformance.kernels.parsing import extents
from conformance.kernels.tools import first_error
from conformance.oracles.coverage import Counters, is_kvm, notes_beside

__all__ = ["Gcov", "executed_of"]


class Gcov:
    """Reads the counters of one library of a kernel."""

    def __init__(self, kernel: Kernel, library: Path) -> None:
        self._kernel = kernel
        self._notes = notes_beside(library)
        if not self._notes:
            raise ConformanceError(
                f"{kernel.title}: {library.name} was not compiled to count what it executes."
            )
        self._command = _command(kernel)
        self._definitions: dict[str, list[tuple[int, int, str]]] = {}

    def files(self, counters: Counters) -> dict[str, File]:
        """The files of KVM, as executed. Units of which nothing was executed are not read.

        Raises ConformanceError if gcov fails.
        """
        return self._read(counters, [name for name, _ in counters.ran()])

    def files_of(self, counters: Counters) -> dict[str, File]:
        """The files of KVM in the units of the counters, executed or not."""
        return self._read(counters, [*counters])

    def all_files(self, counters: Counters) -> dict[str, File]:
        """The files of KVM that are compiled into the library, executed or not."""
        return self._read(counters, [*self._notes])

    def _read(self, counters: Counters, units: list[str]) -> dict[str, File]:
        if not units:
            return {}
        with temporary("coverage") as place:
            for name in units:
                shutil.copyfile(self._notes[name], place / f"{name}.gcno")
                if name in counters:
                    (place / f"{name}.gcda").write_bytes(counters.content(name))
            done = build(
                [*self._command, "--json-format", "--stdout", "--branch-probabilities", *units],
                read=[place, *self._kernel.compiler.places],
                cwd=place,
                purpose=f"{self._kernel.title}: reading coverage",
            )
        if done.returncode:
            raise ConformanceError(
                f"{self._kernel.title}: gcov cannot read what was counted: {first_error(done.stderr)}"
            )
        try:
            return self._with_inlined(merged(_files(json.loads(line)) for line in done.stdout.splitlines()))
        except (ValueError, KeyError, TypeError) as problem:
            raise ConformanceError(
                f"{self._kernel.title}: gcov of this compiler writes another form: {problem!r}"
            ) from None

    def _with_inlined(self, files: Mapping[str, File]) -> dict[str, File]:
        """The files with functions that are always inlined, of which gcov knows lines only."""
        found = {}
        for name, file in files.items():
            known = {function.first for function in file.functions.values()}
            lines, functions = dict(file.lines), dict(file.functions)
            for first, last, function in self._defined(name):
                inside = [number for number in range(first, last + 1) if number in lines]
                if inside and not any(first <= start <= last for start in known):
                    count = max(lines[number].count for number in inside)
                    functions[function] = Function(function, first, last, count)
                    for number in inside:
                        lines[number] = Line(lines[number].count, lines[number].branches, function)
            found[name] = File(lines, functions)
        return found

    def _defined(self, file: str) -> list[tuple[int, int, str]]:
        """First line, last line and name of the functions that a file of the kernel defines."""
        if file not in self._definitions:
            found = extents(self._kernel.root / "src" / file)
            self._definitions[file] = [one for one in found if one[2]]
        return self._definitions[file]


def executed_of(files: Mapping[str, File]) -> Executed:
    """The functions and lines with a count."""
    functions = {one.name for file in files.values() for one in file.functions.values() if one.count}
    lines = {
        name: frozenset(number for number, line in file.lines.items() if line.count)
        for name, file in files.items()
    }
    return Executed(frozenset(functions), {name: numbers for name, numbers in lines.items() if numbers})


def _command(kernel: Kernel) -> list[str]:
    """The gcov of the kernel's compiler: beside it, under a name that has gcov for gcc."""
    gcc = next(Path(word) for word in reversed(kernel.compiler.command) if "gcc" in Path(word).name)
    beside = gcc.with_name(gcc.name.replace("gcc", "gcov"))
    return [str(beside) if beside.is_file() else "gcov"]


def _files(unit: Mapping[str, Any]) -> dict[str, File]:
    """The files of KVM in what gcov writes on a unit. Templates have a line several times."""
    return merged(_one(file) for file in unit["files"] if is_kvm(os.path.normpath(file["file"])))


def _one(file: Mapping[str, Any]) -> dict[str, File]:
    lines: dict[int, Line] = {}
    for each in file["lines"]:
        number = int(each["line_number"])
        branches = tuple(int(branch["count"]) for branch in each["branches"])
        line = Line(int(each["count"]), branches, str(each.get("function_name", "")))
        if number in lines:
            before = lines[number]
            same = len(before.branches) == len(branches)
            added = tuple(map(sum, zip(before.branches, branches, strict=True))) if same else before.branches
            line = Line(before.count + line.count, added, before.function)
        lines[number] = line
    functions = {one.name: one for one in _functions(file["functions"])}
    return {os.path.normpath(file["file"]): File(lines, functions)}


def _functions(found: list[Mapping[str, Any]]) -> Iterator[Function]:
    for each in found:
        yield Function(
            str(each["name"]), int(each["start_line"]), int(each["end_line"]), int(each["execution_count"])
        )

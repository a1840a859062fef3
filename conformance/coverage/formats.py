# SPDX-License-Identifier: GPL-2.0-only
"""lcov and Cobertura files, written by gcovr, and the coverage of a patch, from diff-cover.

gcovr reads gcov's JSON, format version 2, in which the counts of all layers are given to it. Unreachable
lines are left out.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conformance.coverage.data import File, Line
from conformance.coverage.extras import lacking
from conformance.coverage.outcome import Changed, KernelCoverage
from conformance.errors import ConformanceError
from conformance.kernels.cache import temporary
from conformance.kernels.substitutions import unified_diff
from conformance.kernels.tools import run

__all__ = ["FORMATS", "changed_lines", "export"]

FORMATS = {"lcov": "--lcov", "cobertura": "--cobertura"}
"""The formats that gcovr writes, each with its option."""

_TIME = 600
"""Seconds after which gcovr or diff-cover counts as hanging; they take 2."""


def export(kernel: KernelCoverage, name: str) -> str:
    """The coverage of a kernel in one of FORMATS. Raises ConformanceError if gcovr is missing or fails."""
    if sentence := lacking(name):
        raise ConformanceError(f"--{name}: {sentence}")
    with temporary("gcovr") as place:
        given = place / "given"
        given.mkdir()
        document = gzip.compress(json.dumps(_gcov(kernel)).encode(), mtime=0)
        (given / "kernel.gcov.json.gz").write_bytes(document)
        written = place / "written"
        keep = ("--gcov-use-existing-files", "--gcov-keep", "--include-internal-functions")
        options = (*keep, "--root", kernel.source, FORMATS[name], written)
        _run("gcovr", [*options, given], place)
        text = written.read_text(encoding="utf-8")
        # The checksum of a line is optional, and genhtml does not accept those of gcovr.
        return re.sub(r"^(DA:\d+,\d+),.*$", r"\1", text, flags=re.MULTILINE) if name == "lcov" else text


def _run(module: str, arguments: Sequence[str | Path], place: Path) -> None:
    done = run(
        [sys.executable, "-m", module, *arguments], cwd=place, timeout=_TIME, purpose="Writing coverage"
    )
    if done.returncode:
        why = (done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}").splitlines()[-1]
        raise ConformanceError(f"{module.partition('.')[0].replace('_', '-')} failed: {why}")


def _gcov(kernel: KernelCoverage) -> dict[str, Any]:
    """The coverage as gcov --json-format writes it."""
    left_out = kernel.unreachable.lines
    return {
        "format_version": "2",
        "gcc_version": "-",
        "current_working_directory": str(kernel.source),
        "data_file": "-",
        "files": [_file(name, file, left_out.get(name, {})) for name, file in kernel.files.items()],
    }


def _file(name: str, file: File, left_out: Mapping[int, object]) -> dict[str, Any]:
    lines = {number: line for number, line in file.lines.items() if number not in left_out}
    # gcovr takes the first line of a function for a line with code, which that of an inlined one need not be.
    starts = {one: next((n for n in file.lines_of(one) if n in lines), None) for one in file.functions}
    functions = [(one, start) for one in file.functions.values() if (start := starts[one.name]) is not None]
    return {
        "file": name,
        "functions": [
            {
                "name": one.name,
                "demangled_name": one.name,
                "start_line": start,
                "start_column": 1,
                "end_line": one.last,
                "end_column": 1,
                "blocks": 1,
                "blocks_executed": int(bool(one.count)),
                "execution_count": one.count,
            }
            for one, start in functions
        ],
        "lines": [_line(number, line) for number, line in lines.items()],
    }


def _line(number: int, line: Line) -> dict[str, Any]:
    return {
        "line_number": number,
        "function_name": line.function,
        "count": line.count,
        "unexecuted_block": not line.count,
        "block_ids": [],
        "branches": [
            {
                "count": count,
                "throw": False,
                "fallthrough": index == 0,
                "source_block_id": 0,
                "destination_block_id": index + 1,
            }
            for index, count in enumerate(line.branches)
        ],
    }


def changed_lines(kernel: KernelCoverage, before: Path) -> tuple[Changed, ...]:
    """The lines with code in which a kernel differs from the one whose files are in ``before``.

    Raises ConformanceError if gcovr or diff-cover is missing or fails.
    """
    if sentence := lacking("patch"):
        raise ConformanceError(f"The coverage of the patch is not known: {sentence}")
    xml = export(kernel, "cobertura")
    with temporary("diff-cover") as place:
        # diff-cover asks git for the root to which the paths of a diff are relative.
        run(["git", "init", "-q", "."], cwd=place, purpose="Measuring the coverage of a patch")
        (place / "kernel.xml").write_text(xml, encoding="utf-8")
        diffs = (_diff(name, before, kernel.source) for name in kernel.files)
        (place / "patch.diff").write_text("".join(diffs), encoding="utf-8")
        options = ("--diff-file", "patch.diff", "--format", "json:found.json", "--quiet")
        _run("diff_cover.diff_cover_tool", ["kernel.xml", *options], place)
        found = json.loads((place / "found.json").read_text())["src_stats"]
    return tuple(
        Changed(name, len(one["covered_lines"]) + len(one["violation_lines"]), tuple(one["violation_lines"]))
        for name, one in found.items()
        if name in kernel.files
    )


def _diff(name: str, before: Path, after: Path) -> str:
    """The diff of one file, with the line by which git, and thus diff-cover, begins it; "" if it is equal."""
    old, new = (path / name for path in (before, after))
    texts = tuple(
        path.read_text(encoding="utf-8", errors="replace") if path.is_file() else "" for path in (old, new)
    )
    hunks = unified_diff({name: (texts[0], texts[1])})
    return f"diff --git a/{name} b/{name}\n{hunks}" if hunks else ""

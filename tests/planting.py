# SPDX-License-Identifier: GPL-2.0-only
"""Planting: a kernel with one small textual substitution, as a patch made at test time."""

from __future__ import annotations

import difflib
from pathlib import Path

from conformance.differential.property import Mutant
from conformance.kernels import open_kernel


def patch_for(mutant: Mutant, directory: Path) -> Path:
    """A patch file that plants the mutant, against the source as it is prepared."""
    source = (open_kernel(mutant.kernel).root / "src" / mutant.file).read_text()
    count = source.count(mutant.old)
    assert count == 1, f"{mutant.file} of {mutant.kernel} has {count} times {mutant.old!r}"
    return write_patch(mutant.file, source, source.replace(mutant.old, mutant.new), directory)


def write_patch(file: str, before: str, after: str, directory: Path) -> Path:
    """A unified diff between two texts of a kernel file."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{file}", f"b/{file}"
    )
    path = directory / "mutant.patch"
    path.write_text("".join(lines))
    return path

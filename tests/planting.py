# SPDX-License-Identifier: GPL-2.0-only
"""Planting: patches made at test time, against a kernel's source as it is prepared."""

from __future__ import annotations

from pathlib import Path

from conformance.kernels import open_kernel
from conformance.kernels.substitutions import Substitution, unified_diff, write_patch


def patch_for(mutant: Substitution, directory: Path) -> Path:
    """A patch file that plants one mutant."""
    return write_patch(open_kernel(mutant.kernel), [mutant], directory / "mutant.patch")


def patch_between(file: str, before: str, after: str, directory: Path) -> Path:
    """A patch file between two texts of a kernel's file, for what is no single substitution."""
    path = directory / "mutant.patch"
    path.write_text(unified_diff({file: (before, after)}), errors="surrogateescape")
    return path

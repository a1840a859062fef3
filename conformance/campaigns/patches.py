# SPDX-License-Identifier: GPL-2.0-only
"""Patches on a worker: files in its cache with the content that the command sent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from conformance.campaigns.unit import Patch
from conformance.kernels import Cache
from conformance.kernels.cache import key_of

__all__ = ["paths_of"]

_KEPT = 64


def paths_of(patches: Sequence[Patch]) -> list[Path]:
    """A file for each patch, of the same name as on the command's machine."""
    return [_path_of(patch) for patch in patches]


def _path_of(patch: Patch) -> Path:
    name = Path(patch.path).name

    def write(entry: Path) -> None:
        (entry / name).write_bytes(patch.content)

    return Cache().get_or_build("campaign-patch", key_of(name, patch.content), write, keep=_KEPT) / name

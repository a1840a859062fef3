# SPDX-License-Identifier: GPL-2.0-only
"""Kernels before their patches: the prepared entry, and how to stage the source if a patch needs it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from conformance.kernels.applying import FUZZ, Blob
from conformance.kernels.compilers import chosen
from conformance.kernels.kernel import FACTS, read_facts
from conformance.kernels.manifest import file_digest
from conformance.kernels.patches import Patch, apply_patch
from conformance.kernels.prepare import (
    closure,
    configure,
    inputs_of,
    keep_generated,
    release_of,
    whole_folders,
)
from conformance.kernels.recipe import CONFIG_FRAGMENT, PREPARED
from conformance.kernels.staging import Wanted, stage_files, wanted
from conformance.kernels.tools import Progress

__all__ = [
    "Base",
    "Stage",
    "StagePart",
    "conditions",
    "digest_of",
    "fill",
    "keep",
    "note_facts",
    "take_notes",
]

Stage = Callable[[Path, Path], None]
"""Stages a kernel's source in the first directory; the second is for temporary files."""


class StagePart(Protocol):
    """A Stage that stages other files, too, of the same source."""

    def __call__(self, into: Path, scratch: Path, which: Wanted = wanted) -> None:
        """Stage the files for which `which` is true."""


@dataclass(frozen=True)
class Base:
    """A prepared kernel without patches."""

    root: Path
    series: str | None
    version: str
    drift: str | None
    stage: StagePart
    origin: str
    """What `stage` stages: package and version, the name of a git tree, or the path of a tree on disk."""
    tree: Path | None = None
    """The tree on disk, whose files may have changed since."""
    blob: Blob | None = None
    """Looks up git objects from which patches may have been made; None without a repository."""
    commit: str = ""
    """The full name of the commit that was staged; "" for anything else."""

    def has(self, name: str) -> bool:
        """Whether the entry has this file of the kernel."""
        return (self.root / "src" / name).is_file()


def conditions() -> tuple[str, ...]:
    """The inputs of every prepared kernel besides its source."""
    return (str(PREPARED), file_digest(CONFIG_FRAGMENT), chosen().configures)


def fill(
    entry: Path,
    title: str,
    stage: Stage,
    patches: Sequence[Patch],
    progress: Progress,
    *,
    fuzz: int = FUZZ,
    blob: Blob | None = None,
) -> dict[str, str]:
    """Stage a kernel, patch it, prepare it, and keep in `entry` what is needed from then on.

    `fuzz` and `blob` are those of `apply_patch()`. Returns the digests, before the patches, of all files that
    were read or kept; "" for one that did not exist.
    """
    scratch = entry.parent
    src, gen = scratch / "src", scratch / "gen"
    src.mkdir()
    stage(src, scratch)
    laid = {path: digest_of(src / path) for patch in patches for path in patch.paths}
    notes = []
    for patch in patches:
        applied = apply_patch(patch, src, title, exists=lambda name: not wanted(name), fuzz=fuzz, blob=blob)
        notes += applied.notes
    release_of(src, title)
    configure(src, gen, title, progress)
    progress(f"{title}: collecting headers")
    names = [str(path.relative_to(src)) for path in sorted(src.rglob("*")) if path.is_file()]
    inputs = inputs_of(src, gen, names)
    keep_generated(gen, entry / "gen")
    kept = closure(src, gen, title) | whole_folders(names)
    keep(entry, src, kept, inputs, title)
    laid = {name: digest_of(src / name) for name in kept | inputs.keys()} | laid
    shutil.rmtree(src)
    shutil.rmtree(gen)
    take_notes(entry, notes)
    return laid


def digest_of(path: Path) -> str:
    """The digest of a file's content; "" if it does not exist."""
    return file_digest(path) if path.is_file() else ""


def keep(entry: Path, src: Path, names: Iterable[str], inputs: dict[str, str], title: str) -> None:
    """Copy the named files of a kernel into an entry and record its facts."""
    stage_files(src, ["Makefile", *sorted(names)], entry / "src")
    major, minor, version = release_of(src, title)
    facts = {"version": version, "release": [major, minor], "inputs": inputs}
    (entry / FACTS).write_text(json.dumps(facts, separators=(",", ":")))


def take_notes(entry: Path, notes: Sequence[str]) -> None:
    """Add the notes on how patches were applied to an entry's facts."""
    if notes:
        note_facts(entry, notes=[*notes])


def note_facts(entry: Path, **more: Any) -> None:
    """Add to the facts of an entry under construction."""
    (entry / FACTS).write_text(json.dumps(read_facts(entry) | more, separators=(",", ":")))

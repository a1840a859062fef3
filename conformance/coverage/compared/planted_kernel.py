# SPDX-License-Identifier: GPL-2.0-only
"""A kernel with mutants in its files, built once for all of them; those that do not compile are left out."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.coverage.compared.pieces import UNSURE, Change
from conformance.coverage.compared.planting import planted
from conformance.kernels import BuildError, Cache, Kernel, Progress, key_of
from conformance.kernels.kernel import FACTS, fingerprint
from conformance.kernels.manifest import Manifest
from conformance.kernels.staging import copy_folder

__all__ = ["PlantedKernel", "plant_kernel"]

_KEPT_KERNELS = 8
_REJECTED = "rejected"

Place = tuple[str, Change]
"""A file of the kernel, and a change of it."""


@dataclass(frozen=True)
class PlantedKernel:
    """The kernel with its mutants by number. ``rejected`` are the numbers of those that do not compile."""

    kernel: Kernel
    mutants: Mapping[int, Place]
    rejected: frozenset[int]


def plant_kernel(
    base: Kernel,
    mutants: Mapping[int, Place],
    cache: Cache,
    progress: Progress,
    build: Callable[[Kernel], object],
) -> PlantedKernel:
    """The kernel with those of the mutants with which ``build`` succeeds; which these are is cached.

    Raises BuildError if it fails for another reason.
    """
    key = key_of(base.fingerprint, *(f"{number} {place}" for number, place in mutants.items()))
    known = cache.read_note(_REJECTED, key, [int])
    rejected = set(known or ())
    while True:
        left = {number: place for number, place in mutants.items() if number not in rejected}
        kernel = _kernel_with(base, left, cache)
        if known is not None:
            return PlantedKernel(kernel, left, frozenset(rejected))
        try:
            build(kernel)
        except BuildError as error:
            guilty = _guilty(left, error.places)
            if not guilty:
                raise
            progress(f"{base.title}: {len(guilty)} of {len(left)} mutants do not compile and are left out")
            rejected |= guilty
        else:
            cache.write_note(_REJECTED, key, sorted(rejected))
            return PlantedKernel(kernel, left, frozenset(rejected))


def _guilty(mutants: Mapping[int, Place], places: Iterable[tuple[str, int]]) -> set[int]:
    """The mutants on lines that compiler errors name: of those on one line, the ones that may not compile."""
    found: set[int] = set()
    for name, line in places:
        there = {
            number: change.rank
            for number, (file, change) in mutants.items()
            if file == name and any(piece.first <= line <= piece.last for piece in change.pieces)
        }
        unsure = {number for number, rank in there.items() if rank == UNSURE}
        found |= unsure or there.keys()
    return found


def _kernel_with(base: Kernel, mutants: Mapping[int, Place], cache: Cache) -> Kernel:
    """The prepared kernel with mutants in its source."""
    by_file: dict[str, dict[int, Change]] = defaultdict(dict)
    for number, (file, change) in mutants.items():
        by_file[file][number] = change
    source = base.root / "src"
    texts = {file: planted((source / file).read_bytes(), there) for file, there in by_file.items()}

    def build(entry: Path) -> None:
        for name in ("src", "gen"):
            copy_folder(base.root / name, entry / name)
        shutil.copyfile(base.root / FACTS, entry / FACTS)
        for file, text in texts.items():
            (entry / "src" / file).write_bytes(text)

    key = key_of("planted", base.fingerprint, *(word for pair in sorted(texts.items()) for word in pair))
    root = cache.get_or_build("planted", key, build, keep=_KEPT_KERNELS)
    title = f"{base.title} with mutants"
    return replace(base, root=root, title=title, fingerprint=fingerprint(Manifest.now(root), base.compiler))

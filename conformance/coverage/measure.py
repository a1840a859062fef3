# SPDX-License-Identifier: GPL-2.0-only
"""Measuring what the layers of the suite execute of a kernel; each layer is cached."""

from __future__ import annotations

from collections.abc import Callable, Collection

from conformance.coverage.data import LAYERS, Coverage, Layer
from conformance.coverage.functions import measure_functions
from conformance.coverage.lockstep import measure_lockstep
from conformance.coverage.note import SHAPE, read_layer, written_layer
from conformance.coverage.races import measure_races
from conformance.coverage.stories import measure_stories
from conformance.errors import ConformanceError
from conformance.kernels import Cache, Kernel, Progress, key_of
from conformance.oracles.common import digest_of_parts

__all__ = ["known", "measure"]

_NOTE = "coverage"
_PARTS = (
    *(
        f"coverage/{name}.py"
        for name in ("functions", "gcov", "lockstep", "measure", "note", "races", "stories")
    ),
    *("differential", "interface", "model", "oracles", "races", "scenarios"),
)
"""The parts of this package that decide what is executed."""

_MEASURES: dict[str, Callable[[Kernel, Cache, Progress], Layer]] = {
    "functions": measure_functions,
    "stories": measure_stories,
    "lockstep": measure_lockstep,
    "races": measure_races,
}


def measure(kernel: Kernel, cache: Cache, progress: Progress, layers: Collection[str]) -> Coverage:
    """The coverage of a kernel by ``layers``, of data.LAYERS, measured now where the cache does not have it.

    A layer that cannot be measured is in ``missing``, with the reason as a sentence. Raises ConformanceError
    if none can be.
    """
    found: dict[str, Layer] = {}
    missing: dict[str, str] = {}
    for name in LAYERS:
        if name in layers:
            try:
                found[name] = _one(kernel, cache, progress, name)
            except ConformanceError as problem:
                missing[name] = str(problem)
    if not found:
        raise ConformanceError("\n".join(dict.fromkeys(missing.values())))
    return Coverage(kernel.title, found, missing)


def known(kernel: Kernel, cache: Cache, layer: str) -> Layer | None:
    """The cached measurement of a layer, or None."""
    note = cache.read_note(_NOTE, _key(kernel, layer), SHAPE)
    return None if note is None else read_layer(layer, note)


def _one(kernel: Kernel, cache: Cache, progress: Progress, name: str) -> Layer:
    layer = known(kernel, cache, name)
    if layer is None:
        layer = _MEASURES[name](kernel, cache, progress)
        cache.write_note(_NOTE, _key(kernel, name), written_layer(layer))
    return layer


def _key(kernel: Kernel, layer: str) -> str:
    return key_of(kernel.fingerprint, layer, digest_of_parts(*_PARTS))

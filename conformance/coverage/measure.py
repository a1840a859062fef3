# SPDX-License-Identifier: GPL-2.0-only
"""Measuring what the layers of the suite execute of a kernel; each layer is cached."""

from __future__ import annotations

from collections.abc import Collection

from conformance.coverage.data import Coverage, Layer
from conformance.kernels import Cache, Kernel, Progress

__all__ = ["known", "measure"]


def measure(kernel: Kernel, cache: Cache, progress: Progress, layers: Collection[str]) -> Coverage:
    """The coverage of a kernel by ``layers``, of data.LAYERS, measured now where the cache does not have it.

    A layer that cannot be measured is in ``missing``, with the reason as a sentence. Raises ConformanceError
    if none can be.
    """
    raise NotImplementedError


def known(kernel: Kernel, cache: Cache, layer: str) -> Layer | None:
    """The cached measurement of a layer, or None."""
    raise NotImplementedError

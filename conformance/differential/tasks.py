# SPDX-License-Identifier: GPL-2.0-only
"""Work of engines that is done in parts: deferred exhaustive spaces, chunks of the bulk engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from conformance.differential.comparison import Comparison, Difference
from conformance.differential.engines import Space, bulk
from conformance.differential.engines.bulk import VARIED
from conformance.differential.shrinking import mended

__all__ = ["Chunking", "Exhausting"]

FIRST = 1 << 12
"""How many cases of each property are compared in each mode first."""
MOMENT = 0.05
"""Seconds that the bulk engine spends on one property in a round; long enough to vary a drawn chunk."""


@dataclass(frozen=True)
class Exhausting:
    """The exhaustive engine's work on one comparison, deferred because the space is large."""

    comparison: Comparison
    space: Space
    rng: np.random.Generator


class Chunking:
    """The bulk engine's work on one comparison, done in rounds."""

    def __init__(self, comparison: Comparison, rng: np.random.Generator) -> None:
        self.comparison = comparison
        self.cases = 0
        self.seconds = 0.0
        self.found: Difference | None = None
        self._rng = rng

    def begin(self) -> None:
        """Compare a few cases: legal ones first, then the drawn ones."""
        start, before = time.monotonic(), self.comparison.cases
        n = min(FIRST // (64 if self.comparison.property.scalar else 1), self.comparison.capacity)
        drawn = self.comparison.draw(self._rng, n)
        legal = mended(self.comparison.property, self.comparison.semantics, drawn)
        self.found = self.comparison.compare(legal) if legal.shape[1] else None
        self.found = self.found or self.comparison.compare(drawn)
        self.cases += self.comparison.cases - before
        self.seconds += time.monotonic() - start

    def chunk(self) -> None:
        """Compare a chunk as it is drawn, and one varied."""
        self._compare(2, lambda: True)

    def chunks(self, more_time: Callable[[], bool]) -> None:
        """Compare chunks for MOMENT seconds."""
        end = time.monotonic() + MOMENT
        self._compare(VARIED, lambda: time.monotonic() < end and more_time())

    def _compare(self, chunks: int, more_time: Callable[[], bool]) -> None:
        start, before = time.monotonic(), self.comparison.cases
        self.found = bulk(self.comparison, self._rng, chunks, more_time)
        self.cases += self.comparison.cases - before
        self.seconds += time.monotonic() - start

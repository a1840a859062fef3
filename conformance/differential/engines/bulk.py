# SPDX-License-Identifier: GPL-2.0-only
"""The bulk engine: chunks of drawn cases, numpy on the model's side, a loop in C on the kernel's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from conformance.differential.comparison import Comparison, Difference

__all__ = ["CHUNK", "bulk"]

CHUNK = 1 << 16
"""Cases in a chunk: few enough for a chunk's columns to stay in the processor's cache."""
SCALAR_CHUNK = 1 << 8
"""The same where the model's side runs over ints, one case at a time."""
VARIED = 64
"""How many chunks are derived from one that is drawn."""


class _Chunks:
    """Chunks of cases: one in ``VARIED`` is drawn, and those up to the next are that one varied.

    Drawing a chunk takes ten times as long as comparing it. Varying is an exclusive or with *deltas*,
    which change one to three bits of a word, at times many; each chunk pairs cases and deltas anew.
    Columns of few values stay as drawn.
    """

    def __init__(self, comparison: Comparison, rng: np.random.Generator, n: int) -> None:
        self._comparison = comparison
        self._rng = rng
        self._n = n
        self._made = 0
        self._drawn: NDArray[np.uint64] | None = None
        self._deltas: dict[int, NDArray[np.uint64]] = {}
        takes = comparison.property.takes
        self._widths = [0 if column.choices(comparison.semantics) else column.width for column in takes]

    def next(self) -> NDArray[np.uint64]:
        """The next chunk, an array of its own."""
        fresh = self._made % VARIED == 0 or not any(self._widths)
        self._made += 1
        if self._drawn is None or fresh:
            self._drawn = self._comparison.draw(self._rng, self._n)
            return self._drawn
        # Half of the time all words of a case are changed alike, for what matters is where they differ.
        alike = self._made % 2 == 0
        start = int(self._rng.integers(self._n))
        batch = np.empty_like(self._drawn)
        for row, old, width in zip(batch, self._drawn, self._widths, strict=True):
            if not width:
                row[:] = old
                continue
            if not alike:
                start = int(self._rng.integers(self._n))
            np.bitwise_xor(old, self._of_width(width)[start : start + self._n], out=row)
        return batch

    def _of_width(self, width: int) -> NDArray[np.uint64]:
        """Deltas of ``width`` bits, twice in a row, so that any n in a row are as good as a rotation."""
        if width not in self._deltas:
            rng, n = self._rng, self._n
            one = np.uint64(1)
            bits = one << np.arange(width, dtype=np.uint64)
            deltas = bits[rng.integers(0, width, n, np.uint8)]
            deltas[: n // 2] ^= bits[rng.integers(0, width, n // 2, np.uint8)]
            deltas[: n // 4] ^= bits[rng.integers(0, width, n // 4, np.uint8)]
            top = (1 << width) - 1
            many = n // 8
            deltas[:many] = rng.integers(0, top, many, np.uint64, endpoint=True)
            self._deltas[width] = np.concatenate([deltas, deltas])
        return self._deltas[width]


def bulk(
    comparison: Comparison,
    rng: np.random.Generator,
    chunks: int = 1,
    more_time: Callable[[], bool] = lambda: True,
) -> Difference | None:
    """Compare ``chunks`` chunks, fewer if ``more_time`` ends it; the first difference or None."""
    n = min(SCALAR_CHUNK if comparison.property.scalar else CHUNK, comparison.capacity)
    source = _Chunks(comparison, rng, n)
    for made in range(chunks):
        if made and not more_time():
            break
        found = comparison.compare(source.next())
        if found is not None:
            return found
    return None

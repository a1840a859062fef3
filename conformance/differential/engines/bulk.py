# SPDX-License-Identifier: GPL-2.0-only
"""The bulk engine: chunks of drawn cases, numpy on the model's side, a loop in C on the kernel's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from conformance.differential.comparison import Comparison, Difference

__all__ = ["Chunks", "bulk"]

Words = NDArray[np.uint64]

WORDS = 1 << 20
"""The most words of a chunk, in and out: as many as stay in the processor's last cache. Smaller chunks are
slower, as each costs switches between processes."""
POOL = 1 << 14
"""The most cases that are drawn at once, and then varied: as many as stay in a core's own cache."""
SCALAR = 1 << 8
"""The cases of a chunk where the model's side runs over ints, one case at a time."""
VARIED = 128
"""How often a pool is used: once as it was drawn, then varied."""


class Chunks:
    """Chunks of cases: a pool of cases as it was drawn, then the same varied, up to the next pool.

    The first chunk is a pool alone, so that what many cases show is found at once.
    Drawing a case takes longer than comparing it. Varying is an exclusive or with *deltas*, which change one
    to three bits of a word, at times many; each use of a pool pairs cases and deltas anew. Columns of few
    values stay as drawn.
    """

    def __init__(self, comparison: Comparison, rng: np.random.Generator) -> None:
        prop = comparison.property
        self._comparison = comparison
        self._rng = rng
        self._widths = [0 if column.choices(comparison.semantics) else column.width for column in prop.takes]
        fit = min(WORDS // (len(prop.takes) + len(prop.gives) + 1), comparison.capacity)
        if prop.scalar:
            fit = min(fit, SCALAR)
        parts = -(-fit // POOL) if any(self._widths) else 1
        self._size = fit // parts
        self.cases = self._size * parts
        """The number of cases of each chunk but the first."""
        self._chunk = np.empty((len(prop.takes), self.cases), np.uint64)
        self._uses = 0
        self._pool = self._chunk
        self._deltas: dict[int, Words] = {}

    def next(self) -> Words:
        """The next chunk, valid until the one after it."""
        chunk = self._chunk if self._uses else self._chunk[:, : self._size]
        places = range(0, chunk.shape[1], self._size)
        starts = self._rng.integers(self._size, size=(len(places), len(self._widths))).tolist()
        for at, shifts in zip(places, starts, strict=True):
            part = chunk[:, at : at + self._size]
            fresh = self._uses % VARIED == 0 or not any(self._widths)
            if fresh:
                self._pool = self._comparison.draw(self._rng, self._size)
                part[:] = self._pool
            else:
                # Half of the time all words of a case are changed alike: what matters is where they differ.
                alike = self._uses % 2 == 0
                self._vary(part, shifts[:1] * len(shifts) if alike else shifts)
            self._uses += 1
        return chunk

    def _vary(self, part: Words, shifts: list[int]) -> None:
        """Write the pool to a part of the chunk, with each column changed by the deltas from a place on."""
        for row, old, width, shift in zip(part, self._pool, self._widths, shifts, strict=True):
            if width:
                np.bitwise_xor(old, self._of_width(width)[shift : shift + self._size], out=row)
            else:
                row[:] = old

    def _of_width(self, width: int) -> Words:
        """Deltas of ``width`` bits, twice in a row, so that as many from any place on are a rotation."""
        if width not in self._deltas:
            rng, n = self._rng, self._size
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
    source = Chunks(comparison, rng)
    for made in range(chunks):
        if made and not more_time():
            break
        found = comparison.compare(source.next())
        if found is not None:
            return found
    return None

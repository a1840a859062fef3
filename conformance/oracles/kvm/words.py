# SPDX-License-Identifier: GPL-2.0-only
"""Reading the words of an observation in order, as c/process/observe.h writes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

__all__ = ["Words", "numbers", "rows"]


def numbers(raw: bytes) -> list[int]:
    """The words as integers."""
    return memoryview(raw).cast("Q").tolist()


def rows(words: Sequence[int], size: int) -> Iterator[tuple[int, ...]]:
    """The words, ``size`` at a time."""
    return zip(*[iter(words)] * size, strict=True)


class Words:
    """The words, and how far they have been read.

    What a list or a record holds is returned as bytes, by which it is recognised when it is unchanged.
    Reading behind their end raises IndexError, or gives fewer words; end() then raises ValueError.
    """

    def __init__(self, raw: bytes, at: int = 0) -> None:
        self.at = at
        self._raw = raw
        self._words = memoryview(raw).cast("Q")

    def word(self) -> int:
        """The next word."""
        at = self.at
        self.at = at + 1
        return self._words[at]

    def take(self, number: int) -> list[int]:
        """The next words."""
        start = self.at
        self.at = start + number
        return self._words[start : self.at].tolist()

    def record(self, header: int, size: int) -> bytes:
        """The next ``header`` words, of which the last one counts the rows of ``size`` words that follow."""
        start = self.at
        self.at = start + header + self._words[start + header - 1] * size
        return self._raw[8 * start : 8 * self.at]

    def rows(self, size: int) -> bytes:
        """The elements of a list, of ``size`` words each."""
        start = self.at + 1
        self.at = start + self._words[start - 1] * size
        return self._raw[8 * start : 8 * self.at]

    def counted(self) -> range:
        """As many numbers as the list that begins here has elements, whatever their size."""
        return range(self.word())

    def left(self) -> bytes:
        """The words that have not been read."""
        return self._raw[8 * self.at :]

    def end(self) -> None:
        """Raise ValueError unless all words have been read, and no more."""
        if self.at != len(self._words):
            raise ValueError("the lists are not as long as the observation")

# SPDX-License-Identifier: GPL-2.0-only
"""Reading the words of an observation in order, as c/process/observe.h writes them."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["Words", "rows_of"]


def rows_of(words: tuple[int, ...], size: int) -> Iterator[tuple[int, ...]]:
    """The words, ``size`` at a time."""
    return zip(*[iter(words)] * size, strict=True)


class Words:
    """The words, and how far they have been read.

    Reading behind their end raises IndexError, or gives fewer words; end() then raises ValueError.
    """

    def __init__(self, words: tuple[int, ...], at: int) -> None:
        self.at = at
        self._words = words

    def word(self) -> int:
        """The next word."""
        at = self.at
        self.at = at + 1
        return self._words[at]

    def take(self, number: int) -> tuple[int, ...]:
        """The next words."""
        start = self.at
        self.at = start + number
        return self._words[start : self.at]

    def record(self, header: int, size: int) -> tuple[int, ...]:
        """The next ``header`` words, of which the last one counts the rows of ``size`` words that follow."""
        start = self.at
        self.at = start + header + self._words[start + header - 1] * size
        return self._words[start : self.at]

    def rows(self, size: int) -> Iterator[tuple[int, ...]]:
        """The elements of a list, of ``size`` words each."""
        return rows_of(self.take(self.word() * size), size)

    def counted(self) -> range:
        """As many numbers as the list that begins here has elements, whatever their size."""
        return range(self.word())

    def end(self) -> None:
        """Raise ValueError unless all words have been read, and no more."""
        if self.at != len(self._words):
            raise ValueError("the lists are not as long as the observation")

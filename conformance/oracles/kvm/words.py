# SPDX-License-Identifier: GPL-2.0-only
"""Reading the words of an observation in order, as c/process/observe.h writes them."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["Words", "rows_of"]


def rows_of(words: tuple[int, ...], size: int) -> Iterator[tuple[int, ...]]:
    """The words, ``size`` at a time."""
    return zip(*[iter(words)] * size, strict=True)


class Words:
    """The words, and how far they have been read. Reading behind their end raises ValueError."""

    def __init__(self, words: tuple[int, ...], at: int) -> None:
        self.at = at
        self._words = words

    def word(self) -> int:
        """The next word."""
        at, self.at = self.at, self.at + 1
        if at >= len(self._words):
            raise ValueError("the lists are longer than the observation")
        return self._words[at]

    def take(self, number: int) -> tuple[int, ...]:
        """The next words."""
        start, self.at = self.at, self.at + number
        if self.at > len(self._words):
            raise ValueError("the lists are longer than the observation")
        return self._words[start : self.at]

    def rows(self, size: int) -> Iterator[tuple[int, ...]]:
        """The elements of a list, of ``size`` words each."""
        return rows_of(self.take(self.word() * size), size)

    def counted(self) -> range:
        """As many numbers as the list that begins here has elements, whatever their size."""
        return range(self.word())

    def end(self) -> None:
        """Raise ValueError if there are more words."""
        if self.at != len(self._words):
            raise ValueError("the lists are not as long as the observation")

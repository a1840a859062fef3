# SPDX-License-Identifier: GPL-2.0-only
"""The content of the host's memory: 64-bit words by frame, of which only those that are not 0 are kept.

Frames are not reused, and a frame keeps its words when the host has unmapped it: an access through a
translation that should be gone does not go unseen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from conformance.interface.memory_access import Access
from conformance.interface.observation import MemoryWord, views
from conformance.model.vm.places import MEMORY, place
from conformance.model.vm.scheduler import current

__all__ = ["Frames"]

WORD = (1 << 64) - 1


@dataclass
class Frames:
    """The words of each frame that are not 0, by index. An ``index`` counts words of 8 bytes."""

    words: dict[int, dict[int, int]] = field(default_factory=dict)
    listing: list[MemoryWord] | None = field(default=None, repr=False)
    """All words as the observation lists them, until one changes."""

    def read(self, pfn: int, index: int) -> int:
        """A word of a frame."""
        current.scheduler.access(Access.READ, place(MEMORY, pfn, index))
        return self._get(pfn, index)

    def write(self, pfn: int, index: int, value: int, mask: int = WORD) -> None:
        """Store the bits of ``mask``: a word, or a part of it as an instruction of fewer bytes does."""
        current.scheduler.access(Access.WRITE, place(MEMORY, pfn, index))
        self._set(pfn, index, value, mask)

    def cmpxchg(self, pfn: int, index: int, old: int, new: int, mask: int = WORD) -> int:
        """Store the bits of ``mask`` if they are still ``old``; gives what was there."""
        current.scheduler.access(Access.RMW, place(MEMORY, pfn, index))
        found = self._get(pfn, index) & mask
        if found == old:
            self._set(pfn, index, new, mask)
        return found

    def copy(self, pfns: Iterable[tuple[int, int]]) -> None:
        """Copy the content of frames, given as (from, to); each new frame is empty."""
        for old, new in pfns:
            if old in self.words:
                self.listing = None
                self.words[new] = dict(self.words[old])

    def listed(self) -> list[MemoryWord]:
        """All words that are not 0, sorted."""
        if self.listing is None:
            rows = [(pfn, at, value) for pfn, words in self.words.items() for at, value in words.items()]
            self.listing = views(MemoryWord, sorted(rows))
        return self.listing

    def _get(self, pfn: int, index: int) -> int:
        words = self.words.get(pfn)
        return words.get(index, 0) if words else 0

    def _set(self, pfn: int, index: int, value: int, mask: int) -> None:
        value = self._get(pfn, index) & ~mask | value & mask
        self.listing = None
        words = self.words.setdefault(pfn, {})
        if value:
            words[index] = value
        else:
            words.pop(index, None)

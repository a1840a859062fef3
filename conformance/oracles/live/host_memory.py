# SPDX-License-Identifier: GPL-2.0-only
"""The content of the guest's memory."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from conformance.interface.observation import MemoryWord
from conformance.oracles.live.memory import Memory

__all__ = ["words_of"]

_PAGE = 4096


def words_of(memory: Memory, frames: Iterable[int], shown: Callable[[int], int]) -> tuple[MemoryWord, ...]:
    """The words that are not 0 of frames, sorted; ``shown`` is what is shown of a word."""
    found = []
    for frame in sorted(frames):
        content = memory.physical(frame * _PAGE)
        if content.count(0) == _PAGE:
            continue
        for at, (word,) in enumerate(struct.iter_unpack("<Q", content)):
            value = shown(word) if word else 0
            if value:
                found.append(MemoryWord(frame, at, value))
    return tuple(found)

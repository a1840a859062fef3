# SPDX-License-Identifier: GPL-2.0-only
"""Memory: an image, a stack, and the writes since, in words of eight bytes.

Uninitialised words of the stack and of the area for arguments are unconstrained terms, about which nothing
can be proved.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

from conformance.oracles.image import Image
from conformance.symbolic.terms import Terms, Value

__all__ = ["ARGUMENTS", "END", "STACK", "Backing", "Unmapped", "load", "store"]

ARGUMENTS = 0x7FFC_0000_0000
"""Where arguments lie: columns of inputs and outputs, strings. Above 4 GiB, like the stack."""
STACK = 0x7FFE_0000_0000
"""The stack's upper end."""
END = 0x7FFF_0000_0000
"""The return address of the outermost call; no code lies there."""
_SIZE = 0x10_0000


class Unmapped(Exception):
    """An address is not mapped, or not writable."""


class Backing:
    """Memory before a path writes to it. A word's number is its address divided by eight."""

    def __init__(self, image: Image, terms: Terms) -> None:
        self._terms = terms
        self._segments = sorted(image.segments, key=lambda segment: segment.address)
        self._starts = [segment.address for segment in self._segments]
        self._words: dict[int, Value] = {}
        """Words that were read from the image, or written."""

    def update(self, words: Mapping[int, Value]) -> None:
        """Keep the words that a path wrote."""
        self._words.update(words)

    def word(self, number: int) -> Value:
        """The word with this number. Raises Unmapped."""
        found = self._words.get(number)
        if found is None:
            found = self._words[number] = self._look_up(8 * number)
        return found

    def _look_up(self, address: int) -> Value:
        if self.is_scratch(address):
            return self._terms.unknown(f"memory at {address:#x}", 64)
        at = bisect_right(self._starts, address + 7) - 1
        if at < 0:
            raise Unmapped
        segment = self._segments[at]
        offset = address - segment.address
        if offset >= len(segment.content):
            raise Unmapped
        # A segment may begin or end within a word.
        content = segment.content[max(offset, 0) : offset + 8]
        return int.from_bytes(bytes(max(-offset, 0)) + content, "little")

    def is_scratch(self, address: int) -> bool:
        """Whether ``address`` lies in the stack or in the area for arguments, not in the image."""
        return ARGUMENTS <= address < ARGUMENTS + _SIZE or STACK - _SIZE <= address < STACK

    def check_writable(self, number: int) -> None:
        """Raise Unmapped if the word is not writable."""
        address = 8 * number
        if self.is_scratch(address):
            return
        at = bisect_right(self._starts, address + 7) - 1
        if at < 0 or not self._segments[at].writable:
            raise Unmapped
        self.word(number)

    def code(self, address: int) -> bytes:
        """Up to 16 bytes of code; empty if ``address`` is not executable."""
        at = bisect_right(self._starts, address) - 1
        if at < 0 or not self._segments[at].executable:
            return b""
        offset = address - self._segments[at].address
        return self._segments[at].content[offset : offset + 16]


def load(terms: Terms, words: Mapping[int, Value], backing: Backing, address: int, width: int) -> Value:
    """Load ``width`` bits from a concrete address."""
    number, at = address >> 3, 8 * (address & 7)
    word = words.get(number)
    if word is None:
        word = backing.word(number)
    if at + width <= 64:
        if word.__class__ is int:
            return (word >> at) & ((1 << width) - 1)
        return terms.extract(word, at, width)
    here = 64 - at
    above = load(terms, words, backing, 8 * (number + 1), width - here)
    return terms.concat((above, width - here), (terms.extract(word, at, here), here))


def store(
    terms: Terms, words: dict[int, Value], backing: Backing, address: int, value: Value, width: int
) -> None:
    """Store ``width`` bits at a concrete address into ``words``."""
    number, at = address >> 3, 8 * (address & 7)
    word = words.get(number)
    if word is None:
        backing.check_writable(number)
    if width == 64 and at == 0:
        words[number] = value
        return
    if word is None:
        word = backing.word(number)
    here = min(width, 64 - at)
    if word.__class__ is int and value.__class__ is int:
        mask = ((1 << here) - 1) << at
        words[number] = word & ~mask | (value << at) & mask
    else:
        above = 64 - at - here
        words[number] = terms.concat(
            (terms.extract(word, at + here, above) if above else 0, above),
            (terms.extract(value, 0, here), here),
            (terms.extract(word, 0, at) if at else 0, at),
        )
    if here < width:
        rest = terms.extract(value, here, width - here)
        store(terms, words, backing, 8 * (number + 1), rest, width - here)

# SPDX-License-Identifier: GPL-2.0-only
"""Places: numbers for the words of memory, the locks and the lists that more than one thread may use.

A place is an int made of a kind, the number of a thing of that kind and a word of the thing. The same place
is the same memory, so two accesses conflict only if their places are equal.
"""

from __future__ import annotations

__all__ = [
    "BITMAPS",
    "EVENTS",
    "HOST_PTES",
    "LOCKS",
    "MEMORY",
    "SPTES",
    "TABLES",
    "TRACKED",
    "VCPUS",
    "VM",
    "WORDS",
    "parts_of",
    "place",
    "word_of",
]

SPTES, TABLES, VCPUS, VM, LOCKS, HOST_PTES, BITMAPS, TRACKED, MEMORY = range(1, 10)
"""The kinds of things, each with numbers of its own."""

_KIND_SHIFT, _NUMBER_SHIFT = 56, 16


def place(kind: int, number: int = 0, word: int = 0) -> int:
    """The place of ``word`` of the ``number``-th thing of its ``kind``."""
    return kind << _KIND_SHIFT | number << _NUMBER_SHIFT | word


def parts_of(where: int) -> tuple[int, int, int]:
    """Kind, number and word of a place."""
    return (
        where >> _KIND_SHIFT,
        where >> _NUMBER_SHIFT & (1 << _KIND_SHIFT - _NUMBER_SHIFT) - 1,
        where & 0xFFFF,
    )


EVENTS = place(VM, 1)
"""The log of events, one place so that their order counts."""

WORDS: list[str] = [""]
"""Names of the words of structures and of locks, by number."""

_NUMBERS: dict[str, int] = {}


def word_of(name: str) -> int:
    """The number of the word with this name; it gets one at its first use."""
    number = _NUMBERS.get(name)
    if number is None:
        number = _NUMBERS[name] = len(WORDS)
        WORDS.append(name)
    return number

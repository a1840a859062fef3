# SPDX-License-Identifier: GPL-2.0-only
"""Mutations of samples: flipped bits, cuts, copies, splices, and numbers and words that confuse parsers."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Sequence

__all__ = ["mutants"]

_NUMBERS = tuple(2**bits - less for bits in (0, 7, 8, 15, 16, 31, 32, 62, 63, 64) for less in (0, 1))
_TEXTS = (b"0", b"-1", b"1" * 5000, b"99999999999999999999", b"0x" + b"f" * 40, b"1e999", "²".encode())
_PIECES = (
    b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\r\n", b"\n\n", b"\x1b[2J", b"\xe2\x80\xa8", b" " * 300,
    b"x" * 70_000,
)  # fmt: skip
_MOST = 1 << 20
"""The largest mutant in bytes; oversized files have tests of their own."""


def mutants(samples: Sequence[bytes], words: Sequence[bytes], seed: str, count: int):
    """Yield damaged copies of samples, reproducible by seed; ``words`` are significant to the parser."""
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        data = bytearray(chance.choice(samples))
        for _ in range(chance.choice((1, 1, 1, 2, 3, 5, 8))):
            chance.choice(_WAYS)(data, chance, samples, words)
            del data[_MOST:]
        yield bytes(data)


def _flip(data: bytearray, chance: random.Random, *_) -> None:
    for _ in range(chance.choice((1, 1, 4, 16)) if data else 0):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _cut(data: bytearray, chance: random.Random, *_) -> None:
    del data[chance.randrange(len(data) + 1) :]


def _remove(data: bytearray, chance: random.Random, *_) -> None:
    start, end = _range(data, chance)
    del data[start:end]


def _copy(data: bytearray, chance: random.Random, *_) -> None:
    start, end = _range(data, chance)
    piece = data[start:end] * chance.choice((1, 1, 2, 50))
    at = chance.randrange(len(data) + 1)
    data[at:at] = piece[:_MOST]


def _repeat_line(data: bytearray, chance: random.Random, *_) -> None:
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    lines[at:at] = lines[at : at + 1] * chance.choice((1, 10, 3000))
    data[:] = b"\n".join(lines)[:_MOST]


def _splice(data: bytearray, chance: random.Random, samples: Sequence[bytes], _) -> None:
    other = chance.choice(samples)
    data[chance.randrange(len(data) + 1) :] = other[chance.randrange(len(other) + 1) :]


def _binary_number(data: bytearray, chance: random.Random, *_) -> None:
    form = chance.choice(("<H", "<I", "<Q"))
    size = struct.calcsize(form)
    if len(data) >= size:
        at = chance.randrange(len(data) - size + 1) // size * size
        value = chance.choice((*_NUMBERS, len(data), chance.getrandbits(64))) + chance.choice((0, 0, 1, -1))
        struct.pack_into(form, data, at, value % (1 << 8 * size))


def _text_number(data: bytearray, chance: random.Random, *_) -> None:
    found = [*re.finditer(rb"\d+", data)]
    if found:
        one = chance.choice(found)
        data[one.start() : one.end()] = chance.choice((*_TEXTS, b"%d" % chance.choice(_NUMBERS)))


def _insert(data: bytearray, chance: random.Random, _, words: Sequence[bytes]) -> None:
    at = chance.randrange(len(data) + 1)
    data[at:at] = chance.choice((*_PIECES, *words, *words))


def _swap_word(data: bytearray, chance: random.Random, _, words: Sequence[bytes]) -> None:
    there = [word for word in words if word in data]
    if there:
        old = chance.choice(there)
        at = chance.choice([one.start() for one in re.finditer(re.escape(old), data)])
        data[at : at + len(old)] = chance.choice((*_PIECES, *words, *words))


def _range(data: bytearray, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(data) + 1)
    return start, min(start + chance.choice((1, 4, 64, 1000)), len(data))


_WAYS = (
    _flip, _cut, _remove, _copy, _repeat_line, _splice, _binary_number, _binary_number, _text_number, _insert,
    _swap_word,
)  # fmt: skip

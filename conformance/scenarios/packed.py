# SPDX-License-Identifier: GPL-2.0-only
"""Stories and what they reach as a few bytes: in the results of campaigns, and on the way to workers."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

from conformance.scenarios.corpus import Entry
from conformance.scenarios.steps import Step
from conformance.scenarios.story import Script

__all__ = ["pack", "pack_numbers", "unpack", "unpack_numbers"]


def pack(entries: Sequence[Entry], scripts: Sequence[Script] = ()) -> bytes:
    """Stories of which it is known what they reach, and others."""
    known = [[*_plain(entry.script), _gaps(entry.reached)] for entry in entries]
    return zlib.compress(json.dumps([known, [_plain(script) for script in scripts]]).encode())


def unpack(content: bytes) -> tuple[list[Entry], list[Script]]:
    """The inverse of pack()."""
    known, scripts = json.loads(zlib.decompress(content))
    return (
        [Entry(_script(options, steps), frozenset(accumulate(gaps))) for options, steps, gaps in known],
        [_script(options, steps) for options, steps in scripts],
    )


def pack_numbers(numbers: Iterable[int]) -> bytes:
    """A set of small numbers as a compressed bitmap: number n is bit n % 8 of byte n // 8."""
    bits = 0
    for number in numbers:
        bits |= 1 << number
    return zlib.compress(bits.to_bytes((bits.bit_length() + 7) // 8, "little"))


def unpack_numbers(content: bytes) -> set[int]:
    """The inverse of pack_numbers()."""
    bits = zlib.decompress(content)
    return {8 * at + bit for at, byte in enumerate(bits) if byte for bit in range(8) if byte >> bit & 1}


def _plain(script: Script) -> list[Any]:
    return [script.options, [[step.kind, *step.given] for step in script.steps]]


def _script(options: dict[str, int], steps: list[list[Any]]) -> Script:
    return Script(tuple(Step(kind, tuple(given)) for kind, *given in steps), options)


def _gaps(numbers: Iterable[int]) -> list[int]:
    """Numbers in ascending order, each as its distance from the one before."""
    found, before = [], 0
    for number in sorted(numbers):
        found.append(number - before)
        before = number
    return found

# SPDX-License-Identifier: GPL-2.0-only
"""From the words of an observation, in the order of c/say.c, to plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["read_observation"]


def read_observation(words: list[int], events: list[str], state: Sequence[str]) -> dict[str, Any]:
    """The observation; of a machine that is destroyed the outcome and the events, and empty lists.

    Raises ValueError or IndexError if the words are none: the kernel may write over them.
    """
    at = 1 + 2 * words[0]
    observation: dict[str, Any] = {
        "outcome": [
            _signed(word) if number else word
            for number, word in zip(words[1:at:2], words[2:at:2], strict=True)
        ],
        "events": events,
        "state": {},
        "vcpus": [],
        "tlb": [],
        "slots": [],
        "roots": [],
        "retired": [],
    }
    if at == len(words):
        return observation
    observation["state"] = dict(zip(state, words[at : at + len(state)], strict=True))
    at += len(state)

    def chunks(size: int) -> list[list[int]]:
        """A list of entries of `size` words, after its length."""
        nonlocal at
        if words[at] > len(words):
            raise ValueError("a list is longer than all there is")
        start, at = at + 1, at + 1 + words[at] * size
        return [words[place : place + size] for place in range(start, at, size)]

    observation["vcpus"] = [[root - 1, *rest] for root, *rest in chunks(5)]
    at += 1
    observation["tlb"] = [
        sorted([root - 1, *rest] for root, *rest in chunks(6)) for _ in observation["vcpus"]
    ]
    number, at = words[at], at + 1
    for _ in range(number):
        start, at = at + 1, at + 1 + words[at]
        observation["slots"].append(words[start:at])
    observation["slots"].sort()
    number, at = words[at], at + 1
    for _ in range(number):
        header, at = words[at : at + 4], at + 4
        start, at = at + 1, at + 1 + words[at] * 4
        observation["roots"].append([*header, words[start:at]])
    observation["retired"] = sorted(chunks(5))
    return observation


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word

# SPDX-License-Identifier: GPL-2.0-only
"""A corpus: the stories that together reach all edges and states that any story has reached.

A story enters it with an edge or a state that no other one has reached. From time to time it is minimised: a
few stories are chosen that reach as much as all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from conformance.scenarios.story import Script

__all__ = ["Corpus", "Entry"]

STATE = 1 << 16
"""Added to the number of a state, to distinguish it from an edge."""


@dataclass(frozen=True)
class Entry:
    """A story, and the edges and states that it reaches."""

    script: Script
    reached: frozenset[int]

    @classmethod
    def of(cls, script: Script, edges: Iterable[int], states: Iterable[int]) -> Entry:
        """A story with its edges and its states."""
        return cls(script, frozenset((*edges, *(STATE + state for state in states))))


@dataclass
class Corpus:
    """Stories, and what they reach together."""

    entries: list[Entry] = field(default_factory=list)
    reached: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Corpus:
        """A minimal corpus of these stories."""
        chosen = _cover(entries)
        return cls(chosen, set().union(*(entry.reached for entry in chosen)))

    @property
    def edges(self) -> frozenset[int]:
        """The edges that are reached."""
        return frozenset(number for number in self.reached if number < STATE)

    def add(self, entry: Entry) -> bool:
        """Add a story that reaches something new; return whether it does."""
        if entry.reached <= self.reached:
            return False
        self.entries.append(entry)
        self.reached |= entry.reached
        return True


def _cover(entries: Iterable[Entry]) -> list[Entry]:
    """A few entries that reach as much as all: always the one that adds most, the shorter one if equal."""
    left = sorted(entries, key=lambda entry: (-len(entry.reached), len(entry.script.steps)))
    reached: set[int] = set()
    chosen = []
    while left:
        gains = [(len(entry.reached - reached), entry) for entry in left]
        left = [entry for gain, entry in gains if gain]
        if left:
            best = max(gains, key=lambda pair: pair[0])[1]
            chosen.append(best)
            reached |= best.reached
    return chosen

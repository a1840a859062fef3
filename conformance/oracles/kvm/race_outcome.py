# SPDX-License-Identifier: GPL-2.0-only
"""The outcome of a schedule of a race: its history, and the state of the machine at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from conformance.interface.observation import Observation
from conformance.oracles.kvm.observation_words import read_observation
from conformance.oracles.kvm.race_interface import Event

__all__ = ["RaceOutcome", "Step"]

Step = tuple[str, Mapping[str, int]]


@dataclass(frozen=True)
class RaceOutcome:
    """The outcome of a schedule, which invariants are checked against."""

    threads: tuple[str, ...]
    steps: tuple[tuple[Step, ...], ...]
    """The steps of each thread, then the closing steps."""
    complaints: tuple[str, ...]
    """The lines of WARN, LOCKDEP and MEMORY, in order."""
    words: tuple[int, ...]
    frames: tuple[int, ...]
    observed: bytes

    @cached_property
    def events(self) -> tuple[tuple[Any, ...], ...]:
        """The history, in order.

        ("access", vcpu, gfn, kind, pfn), ("released", pfn), ("protected", pfn), ("writable", pfn),
        ("moved", pfn, page), ("logged", slot, gfns), ("cleared", slot), ("slot gone", slot), ("step", thread,
        text).
        """
        found: list[tuple[Any, ...]] = []
        at = 0
        while at < len(self.words):
            length, kind = divmod(self.words[at], 256)
            found.append(self._event(Event(kind), self.words[at + 1 : at + 1 + length]))
            at += 1 + length
        return tuple(found)

    def _event(self, kind: Event, numbers: Sequence[int]) -> tuple[Any, ...]:
        name = kind.name.lower().replace("_", " ")
        if kind == Event.LOGGED:
            return (name, numbers[0], tuple(numbers[1:]))
        if kind != Event.STEP:
            return (name, *numbers)
        thread, number, *outcome = numbers
        closing = thread >= len(self.threads)
        step, arguments = self.steps[-1 if closing else thread][number]
        text = " ".join([step, *(f"{word}={value:#x}" for word, value in arguments.items())])
        numbers = [
            value - (1 << 64) if is_number and value >> 63 else value
            for is_number, value in zip(outcome[::2], outcome[1::2], strict=True)
        ]
        return (name, "closing" if closing else self.threads[thread], f"{text}: {numbers}")

    @cached_property
    def dirty(self) -> frozenset[int]:
        """The host's frames that KVM marked as dirty."""
        return frozenset(word >> 2 for word in self.frames if word & 1)

    @cached_property
    def accessed(self) -> frozenset[int]:
        """The host's frames that KVM marked as accessed."""
        return frozenset(word >> 2 for word in self.frames if word & 2)

    @cached_property
    def observation(self) -> Observation:
        """The state of the machine at the end, as after a step of KvmOracle."""
        return read_observation(self.observed, list(self.complaints))

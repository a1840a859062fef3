# SPDX-License-Identifier: GPL-2.0-only
"""Arenas without a kernel: the model on both sides, one of which can be told to lie or to die."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from conformance.model.machine import Machine
from conformance.model.modes import MODES, kernel_in
from conformance.model.profiles import profile_of
from conformance.scenarios.comparing import Death

__all__ = ["ModelArena", "add_to_serials", "dies_at", "drop_flushes"]

Lie = Callable[[str, dict[str, Any]], None]


class ModelArena:
    """``lie`` changes what the kernel's side observes after a step of the name it is given."""

    def __init__(
        self, mode: str = "ept-ad", release: tuple[int, int] = (6, 1), lie: Lie | None = None
    ) -> None:
        self.mode = MODES[mode]
        self.profile = profile_of(release)
        self.k = kernel_in(self.mode, self.profile)
        self._lie = lie
        self.opened = 0

    @contextmanager
    def kernel(self, options: dict[str, int]) -> Iterator[Any]:
        self.opened += 1
        yield _Liar(Machine(self.profile, self.mode, **options), self._lie)

    def model(self, options: dict[str, int]) -> Machine:
        return Machine(self.profile, self.mode, **options)


class _Liar:
    def __init__(self, machine: Machine, lie: Lie | None) -> None:
        self._machine = machine
        self._lie = lie

    def step(self, name: str, **arguments: int) -> dict[str, Any]:
        seen = self._machine.step(name, **arguments)
        if self._lie is not None:
            seen = copy.deepcopy(seen)
            self._lie(name, seen)
        return seen


def drop_flushes(name: str, seen: dict[str, Any]) -> None:
    """A kernel that asks for no flush when the host takes pages back."""
    if name == "madvise_dontneed":
        seen["state"]["flush_requests"] -= 1


def add_to_serials(name: str, seen: dict[str, Any]) -> None:
    """A kernel that numbers its tables in its own way, which is no difference."""
    for root in seen["roots"]:
        root[4] = [n + 1000 if at % 4 == 3 and n else n for at, n in enumerate(root[4])]
    for table in seen["retired"]:
        table[2] += 1000


def dies_at(step: str, how: str = "BUG: somewhere") -> Lie:
    """A kernel that dies in a step."""

    def die(name: str, seen: dict[str, Any]) -> None:
        if name == step:
            raise Death(how)

    return die

# SPDX-License-Identifier: GPL-2.0-only
"""Sides without a kernel: the model on both, one of which can be made to lie or to die."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from conformance.interface.observation import Observation
from conformance.model.machine import Machine
from conformance.model.modes import VM_MODES, kernel_in
from conformance.model.profiles import profile_of
from conformance.scenarios.comparing import Death

__all__ = ["ModelSides", "ProcessSides", "add_to_serials", "changed", "dies_at", "drop_flushes", "renumbered"]

Lie = Callable[[str, Observation], Observation | None]


class ModelSides:
    """``lie`` is given a step's name and the observation of the kernel's side, and may return another one."""

    def __init__(
        self, mode: str = "ept-ad", release: tuple[int, int] = (6, 1), lie: Lie | None = None
    ) -> None:
        self.oracle = "kvm"
        self.unobserved: frozenset[str] = frozenset()
        self.mode = VM_MODES[mode]
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


class ProcessSides(ModelSides):
    """The same, whose kernel's side takes a step when that is finished; ``begun`` are the steps begun."""

    @contextmanager
    def kernel(self, options: dict[str, int]) -> Iterator[Any]:
        with super().kernel(options) as machine:
            self.begun: list[tuple[str, dict[str, int]]] = []
            yield _InProcess(machine, self.begun)


class _InProcess:
    def __init__(self, machine: Any, begun: list[tuple[str, dict[str, int]]]) -> None:
        self._machine = machine
        self._begun = begun

    def begin(self, name: str, **arguments: int) -> None:
        self._begun.append((name, arguments))

    def finish(self) -> Observation:
        name, arguments = self._begun[-1]
        return self._machine.step(name, **arguments)


class _Liar:
    def __init__(self, machine: Machine, lie: Lie | None) -> None:
        self._machine = machine
        self._lie = lie

    def step(self, name: str, **arguments: int) -> Observation:
        seen = self._machine.step(name, **arguments)
        return (self._lie and self._lie(name, copy.deepcopy(seen))) or seen


def changed(seen: Observation, **counters: int) -> Observation:
    """The observation with other counters."""
    return seen._replace(state=seen.state._replace(**counters))


def renumbered(seen: Observation, by: int) -> Observation:
    """The observation with other serial numbers of tables."""
    roots = [
        root._replace(flat=[n + by if at % 4 == 3 and n else n for at, n in enumerate(root.flat)])
        for root in seen.roots
    ]
    return seen._replace(
        roots=roots, retired=[table._replace(serial=table.serial + by) for table in seen.retired]
    )


def drop_flushes(name: str, seen: Observation) -> Observation | None:
    """A kernel that requests no flush when the host discards pages."""
    if name != "madvise_dontneed":
        return None
    return changed(seen, flush_requests=seen.state.flush_requests - 1)


def add_to_serials(name: str, seen: Observation) -> Observation:
    """A kernel that numbers its tables in its own way, which is no difference."""
    return renumbered(seen, 1000)


def dies_at(step: str, how: str = "BUG: somewhere") -> Lie:
    """A kernel that dies in a step."""

    def die(name: str, seen: Observation) -> None:
        if name == step:
            raise Death(how)

    return die

# SPDX-License-Identifier: GPL-2.0-only
"""What an observation looks like, and how both machines are asked for one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from conformance.scenarios.steps import Step

__all__ = [
    "KEPT",
    "Entry",
    "Machine",
    "Observation",
    "Root",
    "entries",
    "root_entries",
    "roots",
    "take",
]

Observation = Mapping[str, Any]
"""What a machine tells after a step: plain data by the keys outcome, events, state, vcpus, tlb, slots,
roots and retired; of two kernels also KEPT."""

KEPT = "kept"
"""The key of what KVM keeps in memory. Its value equals the other side's, or has facts(other)."""


class Machine(Protocol):
    """What answers to steps: the kvm oracle, or the model."""

    def step(self, name: str, **arguments: int) -> Observation:
        """Take a step and tell what is to be seen after it."""


def take(machine: Machine, step: Step) -> Observation:
    """One step on one machine."""
    return machine.step(step.kind, **step.arguments)


@dataclass(frozen=True)
class Entry:
    """One entry of a page table: its level and first gfn, the SPTE, the serial number of its table or 0.

    Of an SPTE that points to a table the address bits are 0. ``path`` are the first gfns of the tables
    from the root down to the one that holds the entry.
    """

    level: int
    gfn: int
    spte: int
    child: int
    path: tuple[int, ...]


@dataclass(frozen=True)
class Root:
    """One root of the TDP MMU."""

    index: int
    as_id: int
    level: int
    invalid: bool
    references: int
    flat: list[int]


def roots(observation: Observation) -> list[Root]:
    """Every root, oldest first, the invalid ones that are not yet gone too."""
    return [
        Root(index, as_id, level, bool(invalid), count, flat)
        for index, (as_id, level, invalid, count, flat) in enumerate(observation["roots"])
    ]


def root_entries(root: Root) -> Iterator[Entry]:
    """The entries of a root that hold anything, depth first."""
    yield from entries(root.flat, root.level)


def entries(flat: list[int], root_level: int) -> Iterator[Entry]:
    """The entries of a flat list of level, gfn, spte, child."""
    above: list[int] = [0]
    for at in range(0, len(flat), 4):
        level, gfn, spte, child = flat[at : at + 4]
        del above[root_level - level + 1 :]
        yield Entry(level, gfn, spte, child, tuple(above))
        if child:
            above.append(gfn)

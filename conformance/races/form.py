# SPDX-License-Identifier: GPL-2.0-only
"""What is done in a race, by value: all that a side has to know of it."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.races.subject import Memslot

__all__ = ["Form", "Step"]

Step = tuple[str, dict[str, int]]
"""The kind of a step and its arguments."""

_LOGGED = 1


@dataclass(frozen=True)
class Form:
    """The options of the VM, and the steps: of the setup, of each thread, and of the end."""

    options: dict[str, int]
    setup: tuple[Step, ...]
    threads: dict[str, tuple[Step, ...]]
    closing: tuple[Step, ...]

    @property
    def destroys(self) -> bool:
        """Whether the last step destroys the VM."""
        return any(kind == "destroy" for kind, _ in self.closing[-1:])

    @property
    def memslots(self) -> tuple[Memslot, ...]:
        """The memslots that the setup leaves, by their numbers."""
        found: dict[int, Memslot] = {}
        for kind, given in self.setup:
            if kind == "set_memory_region":
                number = given["slot"] | given["as_id"] << 16
                found[number] = Memslot(number, given["gfn"], given["npages"], bool(given["flags"] & _LOGGED))
        return tuple(found.values())

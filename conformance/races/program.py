# SPDX-License-Identifier: GPL-2.0-only
"""The program of a race as plain values, as both sides and the worker process take it."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.races.subject import Memslot

__all__ = ["Program", "Step"]

Step = tuple[str, dict[str, int]]
"""The kind of a step and its arguments."""

_LOGGED = 1


@dataclass(frozen=True)
class Program:
    """The options of the VM, the steps of the setup, of each thread, and those after all threads ended."""

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
        """The memslots after the setup, in the order in which it sets them."""
        found: dict[int, Memslot] = {}
        huge: set[int] = set()
        for kind, given in self.setup:
            if kind == "mmap" and given["level"] > 1:
                huge.add(given["page"])
            if kind == "set_memory_region":
                number = given["slot"] | given["as_id"] << 16
                found[number] = Memslot(
                    number,
                    given["gfn"],
                    given["npages"],
                    bool(given["flags"] & _LOGGED),
                    given["page"],
                    given["page"] in huge,
                )
        return tuple(found.values())

# SPDX-License-Identifier: GPL-2.0-only
"""A trace that was read: its events, and what is known about those that are not in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from conformance.traces.events import COUNTED, Event

__all__ = ["Trace"]


@dataclass
class Trace:
    """The events of one or more files, in their order, and what was noticed while they were read.

    ``seen`` counts events by name, ``unread`` those whose fields could not be read, with the first line of
    each; ``lost`` are the lines at which events were lost. ``cpus`` are those that have events, of
    ``of_cpus`` if the trace says how many there are. ``threads`` are those that each vCPU was seen on.
    ``notes`` are sentences for the report.
    """

    name: str
    events: list[Event] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    first_unread: dict[str, int] = field(default_factory=dict)
    lost: list[int] = field(default_factory=list)
    cpus: set[int] = field(default_factory=set)
    of_cpus: int | None = None
    threads: dict[int, set[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    lines: int = 0
    hashed: bool = False
    """Whether pointers are hashed: the same sptep then has a number that is no address."""
    release: tuple[int, int] | None = None
    """The release of the kernel, if the trace names it; that of a distribution may have backports."""

    def add(self, event: Event) -> None:
        """Count an event, and append it unless it is only counted: most of many traces are kvm_exit."""
        if event.name not in COUNTED:
            self.events.append(event)
        self.seen[event.name] += 1
        if event.cpu:
            self.cpus.add(int(event.cpu))
        vcpu = event.values.get("vcpu_id")
        if vcpu is not None and event.pid:
            self.threads.setdefault(vcpu, set()).add(event.pid)

    def skip(self, name: str, line: int) -> None:
        """Count an event whose fields could not be read."""
        self.unread[name] += 1
        self.first_unread.setdefault(name, line)

    @property
    def several_vms(self) -> bool:
        """Whether one vCPU number was seen on several threads: then several VMs are in the trace."""
        return any(len(threads) > 1 for threads in self.threads.values())

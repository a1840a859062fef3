# SPDX-License-Identifier: GPL-2.0-only
"""What must never happen, whatever the schedule: promises to the guest, the host and userspace.

They are judged by what a guest, a host and a userspace could see, on either side alike. Neither the model nor
the kernel is asked whether it was right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from conformance.races.subject import Ending

__all__ = ["PROMISES", "Invariant", "broken"]

WRITE = 2
_EMULATED = "2"
_ACCESS = re.compile(r"access .*gfn=(0x[0-9a-f]+) .*?([0-9]+)\]?")


@dataclass(frozen=True)
class Invariant:
    """A sentence, and how a schedule that breaks it is told from its end."""

    name: str
    sentence: str
    breach: Callable[[Ending], str | None]

    def __str__(self) -> str:
        return self.name


def _unlogged(ending: Ending) -> str | None:
    """A write counts as reported by any log that userspace acts upon after it.

    Userspace copies a page when it has got the log and, if it has to do that itself, cleared it.
    """
    clears = [at for at, event in enumerate(ending.events) if event[0] == "cleared"]
    logs = [
        (next((clear for clear in clears if clear > at), at), event)
        for at, event in enumerate(ending.events)
        if event[0] == "logged"
    ]
    if not logs:
        return None
    for at, event in enumerate(ending.events):
        if event[0] != "access" or event[3] != WRITE or not ending.is_logged(event[2]):
            continue
        if not any(later > at and event[2] in log[2] for later, log in logs):
            return f"vcpu{event[1]} wrote gfn {event[2]:#x}, and no log says so from then on"
    return None


def _stale(ending: Ending) -> str | None:
    released: set[object] = set()
    for event in ending.events:
        if event[0] == "released":
            released.add(event[1])
        elif event[0] == "taken":
            released.discard(event[1])
        elif event[0] == "access" and event[4] in released:
            where = f"gfn {event[2]:#x} at pfn {event[4]:#x}"
            return f"vcpu{event[1]} reached {where}, which the host had taken back"
    return None


def _unprotected(ending: Ending) -> str | None:
    protected: set[object] = set()
    for event in ending.events:
        if event[0] == "protected":
            protected.add(event[1])
        elif event[0] == "writable":
            protected.discard(event[1])
        elif event[0] == "access" and event[3] == WRITE and event[4] in protected:
            return f"vcpu{event[1]} wrote pfn {event[4]:#x}, which the host had made read-only"
    return None


def _slot_gone(ending: Ending) -> str | None:
    gone: set[object] = set()
    for event in ending.events:
        if event[0] == "slot gone":
            gone.add(event[1])
        elif event[0] == "access" and ending.slot_of(event[2]) in gone:
            return f"vcpu{event[1]} reached gfn {event[2]:#x}, whose memslot was gone"
    return None


def _dirty_lost(ending: Ending) -> str | None:
    if not ending.tells_dirty:
        return None
    written: dict[int, int | None] = {}
    for event in ending.events:
        lost: list[int] = []
        if event[0] == "access" and event[3] == WRITE:
            written[event[4]] = ending.slot_of(event[2])
        elif event[0] == "released" and event[1] in written:
            lost = [event[1]]
        elif event[0] == "slot gone":
            lost = [pfn for pfn, slot in written.items() if slot == event[1]]
        for pfn in lost:
            if pfn not in ending.dirty:
                return f"pfn {pfn:#x} was written, and taken from the guest without the host being told"
    return None


def _taken_for_mmio(ending: Ending) -> str | None:
    gone = {event[1] for event in ending.events if event[0] == "slot gone"}
    for event in ending.events:
        access = _ACCESS.fullmatch(event[2]) if event[0] == "step" else None
        if access is None:
            continue
        slot = ending.slot_of(int(access[1], 16))
        if slot is not None and slot not in gone and access[2] == _EMULATED:
            return (
                f"{event[1]}'s access to gfn {access[1]} was emulated, though there was memory all the time"
            )
    return None


def _leaked(ending: Ending) -> str | None:
    if not any(ending.leaked):
        return None
    objects, pages, references = ending.leaked
    return f"{objects} objects, {pages} pages and {references} references to pages were not given back"


def _complained(ending: Ending) -> str | None:
    return ending.complaints[0] if ending.complaints else None


def _stuck(ending: Ending) -> str | None:
    if not ending.stuck:
        return None
    return f"{' and '.join(ending.stuck)} {'wait' if len(ending.stuck) > 1 else 'waits'} for ever"


def _died(ending: Ending) -> str | None:
    return ending.died or None


WRITES_ARE_LOGGED = Invariant(
    "writes are logged", "A write to logged memory is reported by a log handed out after it.", _unlogged
)
RELEASED_IS_OUT_OF_REACH = Invariant(
    "released memory is out of reach",
    "Once an invalidation has begun, no access goes to a frame that the host takes back.",
    _stale,
)
PROTECTED_IS_NOT_WRITTEN = Invariant(
    "protected memory is not written",
    "Once an invalidation has begun, no write goes to a frame that the host makes read-only.",
    _unprotected,
)
GONE_SLOTS_ARE_OUT_OF_REACH = Invariant(
    "a memslot that is gone is out of reach",
    "When the ioctl that deletes or moves a memslot is back, no access goes through it.",
    _slot_gone,
)
DIRTY_FRAMES_ARE_TOLD = Invariant(
    "dirty frames are told",
    "A frame that the guest wrote is reported to the host before it leaves the guest's reach (until v6.13).",
    _dirty_lost,
)
MEMORY_IS_NO_MMIO = Invariant(
    "memory is not taken for MMIO",
    "An access to memory that is there before and after is not emulated.",
    _taken_for_mmio,
)
NO_COMPLAINT = Invariant(
    "nothing complains",
    "No WARN, no broken lock rule, no use of freed memory, no illegal writability of an SPTE.",
    _complained,
)
NOTHING_LEAKS = Invariant(
    "nothing leaks", "When the VM is destroyed, all that it took is free again.", _leaked
)
NOBODY_IS_STUCK = Invariant("nobody is stuck", "Every thread gets to its end.", _stuck)
NO_CRASH = Invariant("nothing crashes", "Kernel code neither crashes nor hangs.", _died)

PROMISES: Mapping[str, Invariant] = {
    promise.name: promise
    for promise in (
        WRITES_ARE_LOGGED,
        RELEASED_IS_OUT_OF_REACH,
        PROTECTED_IS_NOT_WRITTEN,
        GONE_SLOTS_ARE_OUT_OF_REACH,
        DIRTY_FRAMES_ARE_TOLD,
        MEMORY_IS_NO_MMIO,
        NO_COMPLAINT,
        NOTHING_LEAKS,
        NOBODY_IS_STUCK,
        NO_CRASH,
    )
}


def broken(ending: Ending) -> Iterator[tuple[Invariant, str]]:
    """The promises that a schedule broke, each with how."""
    for promise in PROMISES.values():
        how = promise.breach(ending)
        if how is not None:
            yield promise, how

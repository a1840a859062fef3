# SPDX-License-Identifier: GPL-2.0-only
"""The invariants that hold under every schedule: for the guest, for the host, and for userspace.

They are checked on what these three can observe of an execution, on either side in the same way. Neither the
model nor the kernel is the reference here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from conformance.races.guest_tables import GuestMemory
from conformance.races.shadow_state import looser, writable_table
from conformance.races.subject import Execution

__all__ = ["INVARIANTS", "Invariant", "violations"]

WRITE = 2
_EMULATED = "2"
_HUGE = 0x200
_ACCESS = re.compile(r"access .*gfn=(0x[0-9a-f]+) .*?([0-9]+)\]?")
_LOGGING = re.compile(r"set_memory_region .*gfn=(0x\w+) npages=(0x\w+) .*flags=0x1: \[0\]")
_NOT_LOGGING = re.compile(r"set_memory_region slot=(0x\w+) as_id=(0x\w+) .*flags=0x0: \[0\]")


@dataclass(frozen=True)
class Invariant:
    """An invariant. ``check`` returns how an execution violates it, as a sentence; None if it holds."""

    name: str
    sentence: str
    check: Callable[[Execution], str | None]

    def __str__(self) -> str:
        return self.name


def _unlogged(execution: Execution) -> str | None:
    """A write is covered by any log that userspace acts on after it.

    Userspace copies a page after it got the log and, where it clears the log itself, after it cleared it. A
    thread that ends logging, or deletes the memslot, gives up the log of that memslot.
    """
    clears = [at for at, event in enumerate(execution.by_gfn) if event[0] == "cleared"]
    logs = [
        (next((clear for clear in clears if clear > at), at), event)
        for at, event in enumerate(execution.by_gfn)
        if event[0] == "logged"
    ]
    if not logs:
        return None
    given_up = {*_given_up(execution)}
    for at, event in enumerate(execution.by_gfn):
        if event[0] != "access" or event[3] != WRITE or not _logged(execution, event[2], at):
            continue
        if execution.slot_of(event[2]) in given_up:
            continue
        if not any(later > at and event[2] in log[2] for later, log in logs):
            return f"vcpu{event[1]} wrote gfn {event[2]:#x}, and no log says so from then on"
    return None


def _given_up(execution: Execution) -> Iterator[int]:
    """The memslots whose log a thread gives up."""
    for event in execution.events:
        if event[0] == "step" and event[1] != "closing" and event[2].startswith("set_memory_region"):
            found = _NOT_LOGGING.fullmatch(event[2])
            if found is not None:
                yield int(found[1], 16) | int(found[2], 16) << 16


def _logged(execution: Execution, gfn: int, at: int) -> bool:
    """Whether writes to ``gfn`` are logged at event ``at``: from the start, or by an ioctl that is over."""
    if execution.is_logged(gfn):
        return True
    steps = (event[2] for event in execution.events[:at] if event[0] == "step")
    found = [match for match in map(_LOGGING.fullmatch, steps) if match is not None]
    return any(0 <= gfn - int(match[1], 16) < int(match[2], 16) for match in found)


def _stale(execution: Execution) -> str | None:
    released: set[object] = set()
    for event in execution.events:
        if event[0] == "released":
            released.add(event[1])
        elif event[0] == "taken":
            released.discard(event[1])
        elif event[0] == "access" and event[4] in released:
            where = f"gfn {event[2]:#x} at pfn {event[4]:#x}"
            return f"vcpu{event[1]} reached {where}, which the host had taken back"
    return None


def _unprotected(execution: Execution) -> str | None:
    protected: set[object] = set()
    for event in execution.events:
        if event[0] == "protected":
            protected.add(event[1])
        elif event[0] == "writable":
            protected.discard(event[1])
        elif event[0] == "access" and event[3] == WRITE and event[4] in protected:
            return f"vcpu{event[1]} wrote pfn {event[4]:#x}, which the host had made read-only"
    return None


def _slot_gone(execution: Execution) -> str | None:
    gone: set[object] = set()
    for event in execution.by_gfn:
        if event[0] == "slot gone":
            gone.add(event[1])
        elif event[0] == "access" and execution.slot_of(event[2]) in gone:
            return f"vcpu{event[1]} reached gfn {event[2]:#x}, whose memslot was gone"
    return None


def _dirty_lost(execution: Execution) -> str | None:
    if not execution.reports_dirty:
        return None
    written: dict[int, int | None] = {}
    for event in execution.by_gfn:
        lost: list[int] = []
        if event[0] == "access" and event[3] == WRITE:
            written[event[4]] = execution.slot_of(event[2])
        elif event[0] == "released" and event[1] in written:
            lost = [event[1]]
        elif event[0] == "slot gone":
            lost = [pfn for pfn, slot in written.items() if slot == event[1]]
        for pfn in lost:
            if not _reported_dirty(execution, pfn, written[pfn]):
                return f"pfn {pfn:#x} was written, and taken from the guest without the host being told"
    return None


def _reported_dirty(execution: Execution, pfn: int, slot: int | None) -> bool:
    """Whether a frame was reported; the host keeps Dirty for a huge page as a whole, as its first frame."""
    if pfn in execution.dirty:
        return True
    huge = any(one.huge for one in execution.memslots if one.id == slot)
    return huge and pfn & -_HUGE in execution.dirty


def _taken_for_mmio(execution: Execution) -> str | None:
    gone = {event[1] for event in execution.events if event[0] == "slot gone"}
    for event in execution.events:
        access = _ACCESS.fullmatch(event[2]) if event[0] == "step" else None
        if access is None:
            continue
        slot = execution.slot_of(int(access[1], 16))
        if slot is not None and slot not in gone and access[2] == _EMULATED:
            return (
                f"{event[1]}'s access to gfn {access[1]} was emulated, though there was memory all the time"
            )
    return None


def _leaked(execution: Execution) -> str | None:
    if not any(execution.leaked):
        return None
    objects, pages, references = execution.leaked
    return f"{objects} objects, {pages} pages and {references} references to pages were not given back"


def _complained(execution: Execution) -> str | None:
    return execution.complaints[0] if execution.complaints else None


def _deadlocked(execution: Execution) -> str | None:
    blocked = execution.deadlocked
    if not blocked:
        return None
    return f"{' and '.join(blocked)} {'are' if len(blocked) > 1 else 'is'} blocked, and no thread is enabled"


def _crashed(execution: Execution) -> str | None:
    return execution.crash or None


def _stale_translation(execution: Execution) -> str | None:
    if execution.tables is None:
        return None
    return GuestMemory(execution.tables, execution.events).stale(execution.events)


def _writable_table(execution: Execution) -> str | None:
    if execution.tables is None or execution.final is None:
        return None
    return writable_table(execution.tables, execution.final)


def _looser(execution: Execution) -> str | None:
    if execution.tables is None or execution.final is None:
        return None
    return looser(execution.tables, execution.final)


# The names, and the sentences that checks return, stand in golden race files.
WRITES_ARE_LOGGED = Invariant(
    "writes are logged", "A write to logged memory is in a dirty log that is returned after it.", _unlogged
)
RELEASED_IS_OUT_OF_REACH = Invariant(
    "released memory is out of reach",
    "After the start of an invalidation, no access reaches a frame that the host reclaims.",
    _stale,
)
PROTECTED_IS_NOT_WRITTEN = Invariant(
    "protected memory is not written",
    "After the start of an invalidation, no write reaches a frame that the host makes read-only.",
    _unprotected,
)
GONE_SLOTS_ARE_OUT_OF_REACH = Invariant(
    "a memslot that is gone is out of reach",
    "After the ioctl that deletes or moves a memslot returned, no access goes through that memslot.",
    _slot_gone,
)
DIRTY_FRAMES_ARE_REPORTED = Invariant(
    "dirty frames are told",
    "A frame that the guest wrote is reported dirty to the host before it is unmapped (until v6.13).",
    _dirty_lost,
)
MEMORY_IS_NO_MMIO = Invariant(
    "memory is not taken for MMIO",
    "An access is not emulated if memory backs its gfn before and after it.",
    _taken_for_mmio,
)
NO_COMPLAINT = Invariant(
    "nothing complains",
    "No WARN, no lockdep report, no use after free, no illegal writability of an SPTE.",
    _complained,
)
NOTHING_LEAKS = Invariant(
    "nothing leaks", "Destroying the VM frees every object, page and reference that it held.", _leaked
)
NO_DEADLOCK = Invariant("no deadlock", "Every thread runs to its end.", _deadlocked)
NO_CRASH = Invariant("nothing crashes", "Kernel code neither crashes nor hangs.", _crashed)
TRANSLATIONS_ARE_CURRENT = Invariant(
    "translations are current",
    "No access uses entries of the guest's tables that it changed before the vCPU was flushed.",
    _stale_translation,
)
SYNCED_TABLES_ARE_READ_ONLY = Invariant(
    "synchronized tables are read-only",
    "In the end no page table or TLB maps a gfn writable whose shadow page is synchronized.",
    _writable_table,
)
RIGHTS_ARE_THE_GUESTS = Invariant(
    "rights are no looser than the guest's",
    "In the end a synchronized shadow page maps nothing that the guest's table does not.",
    _looser,
)

INVARIANTS: Mapping[str, Invariant] = {
    invariant.name: invariant
    for invariant in (
        WRITES_ARE_LOGGED,
        RELEASED_IS_OUT_OF_REACH,
        PROTECTED_IS_NOT_WRITTEN,
        GONE_SLOTS_ARE_OUT_OF_REACH,
        DIRTY_FRAMES_ARE_REPORTED,
        MEMORY_IS_NO_MMIO,
        NO_COMPLAINT,
        NOTHING_LEAKS,
        NO_DEADLOCK,
        NO_CRASH,
        TRANSLATIONS_ARE_CURRENT,
        SYNCED_TABLES_ARE_READ_ONLY,
        RIGHTS_ARE_THE_GUESTS,
    )
}


def violations(execution: Execution) -> Iterator[tuple[Invariant, str]]:
    """The invariants that an execution violates, each with how, as a sentence."""
    for invariant in INVARIANTS.values():
        how = invariant.check(execution)
        if how is not None:
            yield invariant, how

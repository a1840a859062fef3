# SPDX-License-Identifier: GPL-2.0-only
"""The guest's page tables during an execution: what they hold at each moment, and what a processor may use.

A processor may use a translation that the tables gave at any moment since it was last flushed, and may have
cached entries of upper levels earlier than those below. Tables are those of 4-level paging, or of EPT.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from conformance.interface.access import FETCH, READ, WRITE, End
from conformance.interface.observation import Observation

__all__ = ["GuestEntry", "GuestMemory", "GuestTables", "entry_of", "tables_at_start"]

ALL = READ | WRITE | FETCH
_FLUSHES = ("set_cr3", "set_cr4", "invlpg", "invept", "enter_l2", "leave_l2")
_GFN = range(12, 52)
_HUGE, _NX, _PG = 1 << 7, 1 << 63, 1 << 31
_STEP = re.compile(r"(\w+)((?: \w+=0x[0-9a-f]+)*): (.*)")

Word = tuple[int, int]
"""A word of memory: its pfn, and its index in the page."""


@dataclass(frozen=True)
class GuestTables:
    """The guest's memory and registers when the threads start.

    ``words`` are those of its memory that are not 0, ``frames`` the pfn of each gfn that userspace has
    written, ``roots`` the gfns of the tables that vCPUs use. ``nested``: they are L1's EPT tables.
    """

    words: Mapping[Word, int]
    frames: Mapping[int, int]
    roots: Mapping[int, int]
    nested: bool


class GuestEntry(NamedTuple):
    """An entry of the guest's tables: whether it maps a page, its gfn, and the rights that it grants."""

    leaf: bool
    gfn: int
    rights: int


def entry_of(value: int, level: int, nested: bool) -> GuestEntry | None:
    """The entry with this value; None if it is not present."""
    granted = READ | value & WRITE | (0 if value & _NX else FETCH)
    rights = value & ALL if nested else granted if value & 1 else 0
    if not rights:
        return None
    gfn = value >> _GFN.start & (1 << len(_GFN)) - 1
    return GuestEntry(level == 1 or bool(value & _HUGE), gfn, rights)


def tables_at_start(
    setup: Sequence[tuple[str, Mapping[str, int]]], seen: Sequence[Observation]
) -> GuestTables | None:
    """The tables after the steps of a setup and the observations after each; None if no vCPU has used any."""
    frames: dict[int, int] = {}
    roots: dict[int, int] = {}
    nested = used = False
    before: frozenset[Any] = frozenset()
    for (kind, given), after in zip(setup, seen, strict=True):
        words = frozenset(after.memory)
        if kind == "store":
            frames |= [(given["gfn"], word.pfn) for word in words - before if word.at == given["index"]]
        nested |= kind == "enter_l2"
        _load(roots, kind, given)
        used |= bool(roots)
        before = words
    if not used:
        return None
    memory = {(word.pfn, word.at): word.value for word in seen[-1].memory}
    return GuestTables(memory, frames, roots, nested)


def _load(roots: dict[int, int], kind: str, given: Mapping[str, int]) -> None:
    """What a step makes of the table that a vCPU uses. Without paging it uses none."""
    if kind == "set_sregs" and not given["cr0"] & _PG:
        roots.pop(given["vcpu"], None)
        return
    root = {"set_sregs": "cr3", "set_cr3": "value", "enter_l2": "address"}.get(kind)
    if root is not None:
        roots[given["vcpu"]] = given[root] >> _GFN.start & (1 << len(_GFN)) - 1
    elif kind == "leave_l2":
        roots.pop(given["vcpu"], None)


class _Value(NamedTuple):
    """A value of a word, and from when until when it may be read."""

    value: int
    since: float
    until: float


class _Flush(NamedTuple):
    """A flush of a vCPU that is over at ``until``: of a page, or (None) of all."""

    since: float
    until: float
    page: int | None


class _Root(NamedTuple):
    """The gfn of the table that a vCPU uses from a moment on; None without."""

    gfn: int | None
    since: float


class GuestMemory:
    """The guest's memory, and the flushes of its vCPUs, as the events of an execution report them.

    Moments are numbers of events. A step of a thread takes effect at some moment after the step before it.
    """

    def __init__(self, tables: GuestTables, events: Sequence[tuple[Any, ...]]) -> None:
        self._tables = tables
        self._values = {word: [_Value(value, -1, math.inf)] for word, value in tables.words.items()}
        self._roots = {vcpu: [_Root(root, -1)] for vcpu, root in tables.roots.items()}
        self._flushes: dict[int, list[_Flush]] = {}
        began: dict[str, int] = {}
        written: dict[int, tuple[int, int]] = {}
        for at, event in enumerate(events):
            if event[0] == "access" and event[3] == WRITE:
                written[event[1]] = at, event[4]
            elif event[0] == "step":
                # The closing steps begin when all threads have ended.
                start = max(began.values(), default=-1) if event[1] == "closing" else -1
                self._take(event, began.get(event[1], start), at, written)
                began[event[1]] = at

    def stale(self, events: Sequence[tuple[Any, ...]]) -> str | None:
        """The first access that uses what its vCPU may not use any more, as a sentence; None if none does."""
        for at, event in enumerate(events):
            if event[0] != "access":
                continue
            _, vcpu, page, kind, pfn = event
            if self._root(vcpu, at) is not None and not self._may(vcpu, page, kind, pfn, at):
                return (
                    f"vcpu{vcpu} reached pfn {pfn:#x} at page {page:#x}, which no tables of the guest"
                    " have said since the vCPU was flushed"
                )
        return None

    def _take(
        self, event: tuple[Any, ...], since: int, until: int, written: dict[int, tuple[int, int]]
    ) -> None:
        """A step that is over: what it stored, loaded and flushed."""
        found = _STEP.fullmatch(event[2])
        assert found is not None, event[2]
        kind, outcome = found[1], [*map(int, re.findall(r"-?\d+", found[3]))]
        given = {name: int(value, 16) for name, value in re.findall(r"(\w+)=(0x[0-9a-f]+)", found[2])}
        if kind == "execute" and given["kind"] == WRITE:
            self._execute(given, outcome, since, until, written)
        elif kind == "store":
            self._put((self._tables.frames[given["gfn"]], given["index"]), given["value"], since, until)
        elif kind in (*_FLUSHES, "set_sregs"):
            vcpu = given["vcpu"]
            page = given["address"] >> 12 if kind == "invlpg" else None
            if kind in _FLUSHES:
                self._flushes.setdefault(vcpu, []).append(_Flush(since, until, page))
            root: dict[int, int] = {}
            _load(root, kind, given)
            if root or kind in ("set_sregs", "leave_l2"):
                self._roots.setdefault(vcpu, []).append(_Root(root.get(vcpu), until))

    def _execute(
        self,
        given: Mapping[str, int],
        outcome: Sequence[int],
        since: int,
        until: int,
        written: dict[int, tuple[int, int]],
    ) -> None:
        """A write by the guest: of the processor, after its access, or of KVM's emulator."""
        vcpu, index = given["vcpu"], given["address"] >> 3 & 511
        if outcome[-4] == End.DONE:
            at, pfn = written[vcpu]
            self._put((pfn, index), given["value"], at, until)
        elif outcome[-4] == End.EMULATED:
            gfn = given["address"] >> 12
            if self._root(vcpu, until) is not None:
                reached = self._reached(vcpu, gfn, until, until, WRITE)
                gfn = next((one for one in reached if one in self._tables.frames), -1)
            if gfn in self._tables.frames:
                self._put((self._tables.frames[gfn], index), given["value"], since, until)

    def _root(self, vcpu: int, at: float) -> int | None:
        """The gfn of the table that a vCPU uses at a moment."""
        return next((one.gfn for one in reversed(self._roots.get(vcpu, [])) if one.since < at), None)

    def _put(self, word: Word, value: int, since: float, until: float) -> None:
        values = self._values.setdefault(word, [_Value(0, -1, math.inf)])
        values[-1] = values[-1]._replace(until=until)
        values.append(_Value(value, since, math.inf))

    def _may(self, vcpu: int, page: int, kind: int, pfn: int, at: int) -> bool:
        """Whether a vCPU may reach ``pfn`` at the moment ``at``."""
        flushes = self._flushes.get(vcpu, [])
        since = max((one.since for one in flushes if one.until < at and one.page in (None, page)), default=-1)
        return any(
            self._tables.frames.get(gfn, pfn) == pfn for gfn in self._reached(vcpu, page, since, at, kind)
        )

    def _reached(self, vcpu: int, page: int, since: float, until: float, kind: int) -> set[int]:
        """The gfns that a page may be translated to, with entries that were read between two moments."""
        found: set[int] = set()
        root = self._root(vcpu, until)
        reading = [] if root is None else [(root, 4, since)]
        while reading:
            table, level, now = reading.pop()
            word = self._tables.frames.get(table, -1), page >> 9 * (level - 1) & 511
            for value in self._values.get(word, []):
                entry = entry_of(value.value, level, self._tables.nested)
                if entry is None or not entry.rights & kind or value.since > until or value.until <= now:
                    continue
                if entry.leaf:
                    found.add(entry.gfn + (page & (1 << 9 * (level - 1)) - 1))
                else:
                    reading.append((entry.gfn, level - 1, max(now, value.since)))
        return found

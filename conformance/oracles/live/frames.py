# SPDX-License-Identifier: GPL-2.0-only
"""The pages of the host process, by its page tables, and the check that SPTEs map their frames."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from conformance.interface.observation import RootView, SlotView
from conformance.oracles.live.memory import ADDRESS

__all__ = ["HostPage", "HostPages", "Leaf", "address_of", "leaves_of", "page_at", "wrong_frames"]

_BASE = 0x100000000000
"""The address of page 0 of the host process; see c/process.c."""
_SIZE = 1 << 36
_PAGE_SHIFT = 12
_PRESENT, _HUGE = 1, 1 << 7
_SPTE_PRESENT = 1 << 11
_LEVELS = 4

Leaf = tuple[int, int, int]
"""A present leaf: its address space, the first gfn that it maps, the SPTE."""


class Physical(Protocol):
    """Physical memory; see memory.Memory."""

    def physical(self, address: int, size: int = 4096) -> bytes:
        """Bytes from an address on."""


class HostPage(NamedTuple):
    """A page that is present: its frame, and the level of the entry that maps it."""

    frame: int
    level: int


class HostPages:
    """The process's page tables as they are now; ``root`` is the physical address of the first one."""

    def __init__(self, memory: Physical, root: int) -> None:
        self._memory = memory
        self._root = root
        self._tables: dict[int, tuple[int, ...]] = {}

    def page(self, number: int) -> HostPage | None:
        """A page by its number; None if it is not present."""
        address, place = _BASE + (number << _PAGE_SHIFT), self._root
        for level in range(_LEVELS, 0, -1):
            shift = _PAGE_SHIFT + 9 * (level - 1)
            entry = self._table(place)[address >> shift & 511]
            if not entry & _PRESENT:
                return None
            place = entry & ADDRESS
            if level == 1 or entry & _HUGE:
                within = (1 << shift - _PAGE_SHIFT) - 1
                return HostPage(place >> _PAGE_SHIFT & ~within | number & within, level)
        raise AssertionError("the last level has returned")

    def frames(self) -> set[int]:
        """The frames of all pages."""
        return set(self._frames(self._root, _LEVELS, 0))

    def _frames(self, place: int, level: int, start: int) -> Iterator[int]:
        """The frames that a table maps; ``start`` is the first address that it translates."""
        shift = _PAGE_SHIFT + 9 * (level - 1)
        for n, entry in enumerate(self._table(place)):
            address = start + (n << shift)
            if not entry & _PRESENT or not _BASE - (1 << shift) < address < _BASE + _SIZE:
                continue
            if level == 1 or entry & _HUGE:
                within = (1 << shift - _PAGE_SHIFT) - 1
                first = (entry & ADDRESS) >> _PAGE_SHIFT & ~within
                yield from range(first, first + within + 1)
            else:
                yield from self._frames(entry & ADDRESS, level - 1, address)

    def _table(self, place: int) -> tuple[int, ...]:
        if place not in self._tables:
            self._tables[place] = struct.unpack("<512Q", self._memory.physical(place))
        return self._tables[place]


def address_of(page: int) -> int:
    """The address of a page of the process."""
    return _BASE + (page << _PAGE_SHIFT)


def page_at(address: int) -> int:
    """The number of the process's page at an address."""
    return address - _BASE >> _PAGE_SHIFT


def wrong_frames(
    pages: HostPages, leaves: Iterable[Leaf], slots: Sequence[tuple[SlotView, int]]
) -> list[str]:
    """A sentence for each leaf whose frame is not that of its page."""
    found = []
    for gfn, page, frame in (backed for leaf in leaves for backed in _backed(leaf, slots)):
        there = pages.page(page)
        if there is None or there.frame != frame:
            has = "no frame" if there is None else f"frame {there.frame:#x}"
            found.append(f"gfn {gfn:#x} is mapped to frame {frame:#x}, its page {page:#x} has {has}")
    return found


def leaves_of(roots: Iterable[RootView]) -> Iterator[Leaf]:
    """The leaves of valid roots."""
    for root in roots:
        for entry in () if root.invalid else root.entries():
            if not entry.child and entry.spte & _SPTE_PRESENT:
                yield root.as_id, entry.gfn, entry.spte


def _backed(leaf: Leaf, slots: Sequence[tuple[SlotView, int]]) -> Iterator[tuple[int, int, int]]:
    """gfn, page of the process and frame of a leaf, if a memslot has it."""
    as_id, gfn, spte = leaf
    for slot, address in slots:
        if slot.as_id == as_id and slot.gfn <= gfn < slot.gfn + slot.npages:
            yield gfn, page_at(address) + gfn - slot.gfn, (spte & ADDRESS) >> _PAGE_SHIFT

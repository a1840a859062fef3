# SPDX-License-Identifier: GPL-2.0-only
"""Checks that SPTEs map the frames that the host process has at these addresses (/proc/self/pagemap)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Protocol

from conformance.interface.observation import RootView, SlotView

__all__ = ["FrameCheck", "Leaf", "leaves_of"]

_BASE = 0x100000000000
"""The address of page 0 of the host process; see c/process.c."""
_PAGE_SHIFT = 12
_ADDRESS = 0x000FFFFFFFFFF000
_PRESENT = 1 << 11

Leaf = tuple[int, int, int]
"""A present leaf: its address space, the first gfn that it maps, the SPTE."""


class Asking(Protocol):
    """A machine that answers requests; see booted.Booted."""

    def ask(self, request: str) -> list[str]:
        """The lines of the answer."""


class FrameCheck:
    """Compares the frames of leaf SPTEs with those of the process."""

    def __init__(self, booted: Asking) -> None:
        self._booted = booted

    def wrong(self, leaves: Iterable[Leaf], slots: Sequence[tuple[SlotView, int]]) -> list[str]:
        """A sentence for each leaf whose frame is not that of its page."""
        backed = [found for leaf in leaves for found in _backed(leaf, slots)]
        frames = self._frames(sorted({page for _, page, _ in backed}))
        found = []
        for gfn, page, pfn in backed:
            if frames.get(page) != pfn:
                there = f"frame {frames[page]:#x}" if page in frames else "no frame"
                found.append(f"gfn {gfn:#x} is mapped to frame {pfn:#x}, its page {page:#x} has {there}")
        return found

    def _frames(self, pages: Sequence[int]) -> dict[int, int]:
        """The frames of pages that are present, asked for in ranges."""
        found = {}
        for _, run in groupby(enumerate(pages), lambda pair: pair[1] - pair[0]):
            first, *rest = [page for _, page in run]
            for line in self._booted.ask(f"frames page={first} npages={1 + len(rest)}"):
                word, page, frame = line.split()
                if word == "frame":
                    found[int(page)] = int(frame)
        return found


def leaves_of(roots: Iterable[RootView]) -> Iterator[Leaf]:
    """The leaves of valid roots."""
    for root in roots:
        for entry in () if root.invalid else root.entries():
            if not entry.child and entry.spte & _PRESENT:
                yield root.as_id, entry.gfn, entry.spte


def _backed(leaf: Leaf, slots: Sequence[tuple[SlotView, int]]) -> Iterator[tuple[int, int, int]]:
    """gfn, page of the process and frame of a leaf, if a memslot has it."""
    as_id, gfn, spte = leaf
    for slot, address in slots:
        if slot.as_id == as_id and slot.gfn <= gfn < slot.gfn + slot.npages:
            yield gfn, (address - _BASE >> _PAGE_SHIFT) + gfn - slot.gfn, (spte & _ADDRESS) >> _PAGE_SHIFT

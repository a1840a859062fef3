# SPDX-License-Identifier: GPL-2.0-only
"""Checks that SPTEs map the frames that the host process has at these addresses (/proc/self/pagemap)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Protocol

from conformance.interface.observation import RootView, SlotView

__all__ = ["FrameCheck"]

_BASE = 0x100000000000
"""The address of page 0 of the host process; see c/process.c."""
_PAGE_SHIFT = 12
_ADDRESS = 0x000FFFFFFFFFF000
_PRESENT = 1 << 11


class Asking(Protocol):
    """A machine that answers requests; see booted.Booted."""

    def ask(self, request: str) -> list[str]:
        """The lines of the answer."""


class FrameCheck:
    """Compares the frames of leaf SPTEs with those of the process."""

    def __init__(self, booted: Asking) -> None:
        self._booted = booted

    def wrong(self, roots: Iterable[RootView], slots: Sequence[tuple[SlotView, int]]) -> list[str]:
        """A sentence for each leaf whose frame is not that of its page; only valid roots are looked at."""
        leaves = [leaf for root in roots if not root.invalid for leaf in _leaves(root, slots)]
        frames = self._frames(sorted({page for _, page, _ in leaves}))
        found = []
        for gfn, page, pfn in leaves:
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


def _leaves(root: RootView, slots: Sequence[tuple[SlotView, int]]) -> Iterator[tuple[int, int, int]]:
    """gfn, page of the process and frame of each leaf of a root."""
    for entry in root.entries():
        if entry.child or not entry.spte & _PRESENT:
            continue
        for slot, address in slots:
            if slot.as_id == root.as_id and slot.gfn <= entry.gfn < slot.gfn + slot.npages:
                page = (address - _BASE >> _PAGE_SHIFT) + entry.gfn - slot.gfn
                yield entry.gfn, page, (entry.spte & _ADDRESS) >> _PAGE_SHIFT

# SPDX-License-Identifier: GPL-2.0-only
"""What the races share: a small memslot, mapped or not."""

from __future__ import annotations

from conformance.races.race import RaceBuilder
from conformance.scenarios.stories.setting import FETCH, HUGE, LOG, READ, WRITE, X2M

__all__ = [
    "FETCH", "GFN", "HUGE", "KERNELS", "LOG", "PAGE", "READ", "WRITE", "X2M",
    "memory",
]  # fmt: skip

KERNELS = ("6.1", "6.12", "7.2", "7.3")
"""The series that reverts are written for where their source has the same text."""
FIRST, NPAGES = 0x100, 16
GFN, PAGE = 0x102, 2
"""The gfn that races, and the host page behind it."""


def memory(at: RaceBuilder, *, flags: int = 0, neighbour: bool = True) -> None:
    """Set up a memslot; with ``neighbour``, map another of its pages, so that all page tables exist."""
    at.first.mmap(page=0, npages=NPAGES)
    at.first.set_memory_region(slot=0, gfn=FIRST, npages=NPAGES, page=0, flags=flags)
    if neighbour:
        at.first.access(gfn=FIRST, kind=WRITE)

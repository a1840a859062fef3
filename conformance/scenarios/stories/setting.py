# SPDX-License-Identifier: GPL-2.0-only
"""Names and helpers shared by stories: levels, sizes, and a memslot over new memory."""

from __future__ import annotations

from conformance.interface.access import FETCH, READ, WRITE
from conformance.interface.steps import LOG, READONLY
from conformance.scenarios.story import StoryBuilder

__all__ = ["FETCH", "GIGANTIC", "HUGE", "LOG", "READ", "READONLY", "WRITE", "X1G", "X2M", "memory"]

HUGE, GIGANTIC = 2, 3
"""Levels: pages of 2M and of 1G."""
X2M, X1G = 0x200, 0x40000
"""Gfns that a page of 2M, of 1G maps; also used as gfns with that alignment."""


def memory(
    vm: StoryBuilder,
    *,
    gfn: int,
    npages: int,
    page: int = 0,
    level: int = 1,
    writable: int = 1,
    slot: int = 0,
    as_id: int = 0,
    flags: int = 0,
) -> StoryBuilder:
    """The host maps an area, and a memslot makes it guest memory."""
    vm.mmap(page=page, npages=npages, writable=writable, level=level)
    vm.set_memory_region(slot=slot, as_id=as_id, gfn=gfn, npages=npages, page=page, flags=flags)
    return vm

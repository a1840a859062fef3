# SPDX-License-Identifier: GPL-2.0-only
"""What the races of shadow paging share: a guest on two vCPUs that maps an address, and remaps it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conformance.races.race import RaceBuilder
from conformance.races.stories.setting import READ, WRITE
from conformance.scenarios.stories.guest_tables import (
    ALIAS,
    FIRST_TABLE,
    PAGE,
    READY,
    VA,
    Entry,
    GuestTables,
    content,
)
from conformance.scenarios.stories.setting import memory

__all__ = ["NEW", "NPAGES", "OLD", "OTHER_TABLE", "rewrites", "shadowed"]

OLD, NEW = 0x10, 0x20
"""The pages that an address is mapped to, and then to."""
NPAGES = 0x300
OTHER_TABLE = 0x240
"""A gfn that is no table at first."""


def shadowed(
    at: RaceBuilder, *, data: Sequence[int] = (OLD, NEW), flags: int = 0
) -> tuple[GuestTables, Entry]:
    """A guest on two vCPUs that maps VA to OLD, and can write its tables; the entry of VA."""
    first: Any = at.first
    memory(first, gfn=0, npages=NPAGES, flags=flags)
    for gfn in data:
        first.store(gfn=gfn, value=content(gfn))
    tables = GuestTables(first)
    for number in range(6):
        tables.map(ALIAS + number * PAGE, FIRST_TABLE + number)
    entry = tables.map(VA, OLD, READY)
    for vcpu in range(2):
        tables.run(vcpu)
    return tables, entry


def rewrites(at: RaceBuilder, vcpu: int, tables: GuestTables, entry: Entry) -> None:
    """A vCPU maps VA to NEW, flushes the address, and reads it."""
    thread = at.thread(f"vcpu{vcpu}")
    thread.execute(vcpu=vcpu, address=tables.at(entry), kind=WRITE, value=tables.leaf(NEW, READY))
    thread.invlpg(vcpu=vcpu, address=VA).execute(vcpu=vcpu, address=VA, kind=READ)

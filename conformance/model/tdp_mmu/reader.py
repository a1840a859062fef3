# SPDX-License-Identifier: GPL-2.0-only
"""A lockless reader: it walks the tables inside an RCU read-side critical section, one entry per step.

The table that it walks may be unlinked concurrently. The table is freed only after the reader has left the
critical section, and the reader then finds frozen SPTEs in it.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

from conformance.model.layout import SPTE_ENT_PER_PAGE
from conformance.model.semantics import Semantics
from conformance.model.tdp_mmu.tdp_iter import tdp_iter
from conformance.model.vm.mmu_pages import ROOT_LEVEL, KvmMmuPage, TableMemory

__all__ = ["Reader"]


@dataclass
class LiveTables:
    """The VM's tables as tdp_iter() walks them; a table is named by its serial number."""

    memory: TableMemory
    root: int
    root_level: int = ROOT_LEVEL

    @property
    def k(self) -> Semantics:
        """The semantics of the kernel that made the tables."""
        return self.memory.k

    def read(self, table: int, index: int) -> int:
        """The SPTE at ``index`` of ``table``, which may be retired but is not freed."""
        return self.memory.by_serial[table].read(index)

    def child(self, spte: int, level: int) -> int | None:
        """The table that an SPTE at ``level`` points to, None if it points to none."""
        child = self.memory.child(spte, level)
        return child.serial if child is not None else None


@dataclass
class Reader:
    """A walk from ``root`` towards ``gfn``; ``position`` is the result of the last step."""

    memory: TableMemory
    root: KvmMmuPage
    gfn: int
    steps: Generator[tuple[int, int, int], bool, None] = field(init=False)
    position: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.steps = tdp_iter(LiveTables(self.memory, self.root.serial), 1, self.gfn)
        self.next()

    def next(self) -> list[int]:
        """Advance as tdp_iter_next(); return [valid, level, gfn, SPTE], the SPTE without a table's address.

        After the last entry, valid is 0 and the position stays at the root's last entry.
        """
        found = next(self.steps, None)
        if found is None:
            gfn, level = self.root.gfn_at(SPTE_ENT_PER_PAGE - 1), ROOT_LEVEL
            spte = self.root.read(SPTE_ENT_PER_PAGE - 1)
        else:
            gfn, level, spte = found
        if self.memory.child(spte, level) is not None:
            spte = self.memory.without_address(spte)
        self.position = [int(found is not None), level, gfn, spte]
        return self.position

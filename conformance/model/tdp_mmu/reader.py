# SPDX-License-Identifier: GPL-2.0-only
"""A reader without a lock: it walks the tables inside an RCU read-side critical section.

It may stand in a table that is taken out meanwhile. The table's memory stays until it leaves; what it
finds there is frozen.
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
    """The machine's tables in the form that tdp_iter() walks: tables are named by serial numbers."""

    memory: TableMemory
    root: int
    root_level: int = ROOT_LEVEL

    @property
    def k(self) -> Semantics:
        """The kernel whose tables they are."""
        return self.memory.k

    def read(self, table: int, index: int) -> int:
        """The SPTE at ``index`` of a table that may be retired, but is not gone."""
        return self.memory.by_serial[table].read(index)

    def child(self, spte: int, level: int) -> int | None:
        """The table that an SPTE at ``level`` points to."""
        child = self.memory.child(spte, level)
        return child.serial if child is not None else None


@dataclass
class Reader:
    """The walk: where it stands, or that it has come to the end of the tree."""

    memory: TableMemory
    root: KvmMmuPage
    gfn: int
    steps: Generator[tuple[int, int, int], bool, None] = field(init=False)
    position: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.steps = tdp_iter(LiveTables(self.memory, self.root.serial), 1, self.gfn)
        self.next()

    def next(self) -> list[int]:
        """One step of tdp_iter_next(): [1, level, gfn, SPTE (without the address of a table)].

        Behind the last entry of the root [0, ...]: it stays there, and is valid no more.
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

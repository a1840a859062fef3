# SPDX-License-Identifier: GPL-2.0-only
"""The TDP MMU's walk over its tables (struct tdp_iter): pre-order, in ascending order of gfns.

``tdp_iter()`` is the walk as the kernel has it: it visits every entry, of any tables that implement ``Tree``.
``TdpIter`` is the walk that the TDP MMU's operations use on a VM's tables. It omits entries that hold the
initial value and that no other thread can fill, since no operation changes these.
Both follow pointers, so unlike the functions on single SPTEs they run over ints only.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from conformance.model.changes import RESTART_AFTER_YIELD
from conformance.model.layout import PAGE_SHIFT, SPTE_BASE_ADDR_MASK, SPTE_ENT_PER_PAGE
from conformance.model.semantics import Semantics
from conformance.model.spte.make_spte import make_nonleaf_spte
from conformance.model.spte.predicates import is_last_spte, is_shadow_present_pte
from conformance.model.vm.mmu_pages import KvmMmuPage, TableMemory

__all__ = ["Entry", "Tables", "TdpIter", "Tree", "tdp_iter"]


class Tree(Protocol):
    """What tdp_iter() needs of page tables. A table is named by an int, such as its address."""

    @property
    def k(self) -> Semantics:
        """The semantics of the kernel that made the tables."""

    @property
    def root(self) -> int:
        """The table at the top."""

    @property
    def root_level(self) -> int:
        """The level of the table at the top."""

    def read(self, table: int, index: int) -> int:
        """The SPTE at ``index`` of ``table``."""

    def child(self, spte: int, level: int) -> int | None:
        """The table that the SPTE at ``level`` points to, None if it points to none."""


@dataclass
class Tables:
    """Page tables by physical address, sparse: an entry that is absent is not present.

    ``root`` has level ``root_level``. Tables are allocated page after page, from address 4096.
    """

    k: Semantics
    root_level: int
    tables: dict[int, dict[int, int]] = field(default_factory=dict)
    root: int = field(init=False)

    def __post_init__(self) -> None:
        self.root = self._new_table()

    def _new_table(self) -> int:
        address = (len(self.tables) + 1) << PAGE_SHIFT
        self.tables[address] = {}
        return address

    def read(self, table: int, index: int) -> int:
        """The SPTE at ``index`` of the table at address ``table``."""
        return self.tables[table].get(index, self.k.layout.nonpresent_value)

    def child(self, spte: int, level: int) -> int | None:
        """The address of the table that the SPTE at ``level`` points to, None if it points to none."""
        if not is_shadow_present_pte(self.k, spte) or is_last_spte(self.k, spte, level):
            return None
        return spte & SPTE_BASE_ADDR_MASK

    def place(self, gfn: int, level: int, spte: int) -> None:
        """Write ``spte`` where it maps ``gfn`` at ``level``; create the tables above it.

        An SPTE that points to a table is ignored, since that table does not exist.
        """
        if self.child(spte, level) is not None:
            return
        table = self.root
        for above in range(self.root_level, level, -1):
            index = _index(gfn, above)
            child = self.child(self.read(table, index), above)
            if child is None:
                child = self._new_table()
                self.tables[table][index] = int(make_nonleaf_spte(self.k, child, False))
            table = child
        self.tables[table][_index(gfn, level)] = spte


def _index(gfn: int, level: int) -> int:
    return gfn >> (9 * (level - 1)) & (SPTE_ENT_PER_PAGE - 1)


def _round_gfn(gfn: int, level: int) -> int:
    return gfn >> (9 * (level - 1)) << (9 * (level - 1))


def tdp_iter(tables: Tree, min_level: int, start: int) -> Generator[tuple[int, int, int], bool, None]:
    """Each SPTE on the path to ``start``, and all after it, as (gfn, level, SPTE), down to ``min_level``.

    Send True to yield the CPU between two SPTEs. The walk then restarts at the root and walks to the gfn that
    it had reached; since commit 3a0f64de479c in v5.16 that step does not advance as well.
    """
    k = tables.k
    goal, gfn, level = start, _round_gfn(start, tables.root_level), tables.root_level
    path = {level: tables.root}
    while True:
        yielded = yield gfn, level, tables.read(path[level], _index(gfn, level))
        if yielded and k.has(RESTART_AFTER_YIELD):
            level = tables.root_level
            gfn = _round_gfn(goal, level)
            continue
        child = tables.child(tables.read(path[level], _index(gfn, level)), level)
        if level > min_level and child is not None:
            level -= 1
            path[level] = child
            gfn = _round_gfn(goal, level)
            continue
        while _index(gfn, level) == SPTE_ENT_PER_PAGE - 1:
            if level == tables.root_level:
                return
            level += 1
            gfn = _round_gfn(gfn, level)
        gfn += 1 << (9 * (level - 1))
        goal = gfn


@dataclass(slots=True)
class Entry:
    """An entry of a table, and the SPTE that was last read from it (as in struct tdp_iter)."""

    table: KvmMmuPage
    index: int
    old_spte: int

    @property
    def level(self) -> int:
        """The level of the entry; at level 1 a leaf maps 4 KiB."""
        return self.table.level

    @property
    def gfn(self) -> int:
        """The first gfn that the entry covers."""
        return self.table.gfn_at(self.index)


class TdpIter:
    """A walk over the entries for gfns in [``start``, ``end``): pre-order, ascending, down to ``min_level``.

    An entry is read again before the walk descends from it, so the caller may replace a leaf by a table or a
    table by a leaf. A caller that yields sets ``yielded_gfn``, where the walk continues, and ``restarted`` if
    the tables may have changed meanwhile: the walk then goes down from the root again (tdp_iter_restart()).
    """

    def __init__(
        self, memory: TableMemory, root: KvmMmuPage, start: int, end: int, min_level: int = 1
    ) -> None:
        self.memory, self.root, self.end, self.min_level = memory, root, end, min_level
        self.yielded_gfn = start
        """Where the walk began or last yielded; it does not yield again before it is past that gfn."""
        self.restarted = False

    def __iter__(self) -> Iterator[Entry]:
        path = [self._entries_of(self.root)]
        while path:
            table, indexes = path[-1]
            index = next(indexes, None)
            if index is None:
                path.pop()
                continue
            yield Entry(table, index, table.read(index))
            if self.restarted:
                self.restarted = False
                path = [self._entries_of(self.root)]
            elif table.level > self.min_level:
                child = self.memory.child(table.read(index), table.level)
                if child is not None:
                    path.append(self._entries_of(child))

    def _entries_of(self, table: KvmMmuPage) -> tuple[KvmMmuPage, Iterator[int]]:
        """The table with the indexes of its entries in the range."""
        shift = 9 * (table.level - 1)
        first = max(self.yielded_gfn - table.gfn, 0) >> shift
        last = min((self.end - 1 - table.gfn) >> shift, SPTE_ENT_PER_PAGE - 1)
        return table, iter(table.indexes(first, last))

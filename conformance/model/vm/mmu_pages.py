# SPDX-License-Identifier: GPL-2.0-only
"""The TDP MMU's page tables: what a table knows about itself, and when its memory may be used again.

A table that is taken out of the tree may still be read by others that walk without a lock. So it is
*retired*: its entries are frozen, so that a walk that is still in it retries, and its memory is
freed only after an RCU grace period, when no walk can be reading it any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from conformance.interface.memory_access import Access
from conformance.model.changes import FREED_AFTER_GRACE_PERIOD
from conformance.model.layout import PAGE_SHIFT, PT_PAGE_SIZE_MASK, SPTE_BASE_ADDR_MASK, SPTE_ENT_PER_PAGE
from conformance.model.semantics import Semantics
from conformance.model.spte.make_spte import make_nonleaf_spte
from conformance.model.spte.predicates import is_shadow_present_pte
from conformance.model.vm.cells import Shared
from conformance.model.vm.locks import ReadSections
from conformance.model.vm.places import SPTES, TABLES, VM, place, word_of
from conformance.model.vm.scheduler import current
from conformance.model.words import clear

__all__ = ["ROOT_LEVEL", "FreedEntries", "KvmMmuPage", "TableMemory", "UseAfterFree"]

ROOT_LEVEL = 4

CALLBACKS = place(VM, word=word_of("RCU callbacks"))

_FEW = 16
"""Up to this number of entries it is quicker to sort them than to look at each place of a table."""


@dataclass(eq=False)
class KvmMmuPage:
    """A page table of the TDP MMU (struct kvm_mmu_page), or a root if it has no ``parent``.

    The role of a table is its level and the address space; everything else is the same in all
    tables of a VM. ``entries`` holds only what differs from the initial, non-present value.
    """

    serial: int
    level: int
    gfn: int
    as_id: int
    initial: int
    parent: KvmMmuPage | None = None
    entries: dict[int, int] = field(default_factory=dict)

    invalid: Shared[bool] = Shared(False)
    """Of a root: no vCPU may use it any more; those that do must let go."""
    root_count: int = 0
    """Of a root: how many hold it (tdp_mmu_root_count): the TDP MMU itself until it is zapped, vCPUs."""
    scheduled_to_zap: bool = False
    """Of a root: invalidated, and the TDP MMU has not given up its own reference yet."""
    nx_huge_page_disallowed: Shared[bool] = Shared(False)
    """It exists because a huge page must not be executed."""
    listing: list[int] | None = field(default=None, repr=False)
    """The table and all below as the observation lists it, until something there changes."""
    shown: Any = field(default=None, repr=False)
    """What the last observation has shown of it, kept by the observation until an entry changes."""
    watched: frozenset[int] = frozenset()
    """The entries that several threads may use: an access to any other matters to one thread only."""

    def __post_init__(self) -> None:
        self.where = place(TABLES, self.serial)
        self.sptes = place(SPTES, self.serial)

    @property
    def address(self) -> int:
        """The physical address of the table; only that it is a table's own matters."""
        return self.serial << PAGE_SHIFT

    def read(self, index: int) -> int:
        """The SPTE at ``index``: READ_ONCE()."""
        if index in self.watched:
            current.scheduler.access(Access.READ, self.sptes | index)
        return self.entries.get(index, self.initial)

    def write(self, index: int, spte: int) -> None:
        """Store an SPTE: one plain store, without any of the bookkeeping that a change needs."""
        if index in self.watched:
            current.scheduler.access(Access.WRITE, self.sptes | index)
        self._store(index, spte)

    def xchg(self, index: int, spte: int) -> int:
        """Store an SPTE; gives what it has replaced."""
        if index in self.watched:
            current.scheduler.access(Access.RMW, self.sptes | index)
        old = self.entries.get(index, self.initial)
        self._store(index, spte)
        return old

    def cmpxchg(self, index: int, old: int, new: int) -> int:
        """Store ``new`` if the SPTE is still ``old``; gives what was there."""
        if index in self.watched:
            current.scheduler.access(Access.RMW, self.sptes | index)
        found = self.entries.get(index, self.initial)
        if found == old:
            self._store(index, new)
        return found

    def fetch_and(self, index: int, mask: int) -> int:
        """Keep only the bits of ``mask``; gives what was there."""
        if index in self.watched:
            current.scheduler.access(Access.RMW, self.sptes | index)
        old = self.entries.get(index, self.initial)
        self._store(index, old & mask)
        return old

    def wait_while(self, index: int, spte: int) -> None:
        """Wait until the entry is something else."""
        current.scheduler.wait(Access.WAIT, self.sptes | index, lambda: self._peek(index) != spte)

    def stall_while(self, index: int, spte: int, retired: list[KvmMmuPage]) -> None:
        """Note that a fault is retried for as long as the entry is ``spte`` and its table is not retired."""
        current.scheduler.stall(self.sptes | index, lambda: self in retired or self._peek(index) != spte)

    def _peek(self, index: int) -> int:
        return self.entries.get(index, self.initial)

    def fill(self, sptes: dict[int, int]) -> None:
        """Set entries of a table that is not linked yet, or no longer, and that no access can race with."""
        self.entries = sptes | self.entries
        self.shown = None

    def indexes(self, first: int = 0, last: int = SPTE_ENT_PER_PAGE - 1) -> Iterable[int]:
        """The entries from ``first`` to ``last`` that can hold anything but the initial value, ascending.

        Those are the ones that hold something now, and those that several threads may use.
        """
        entries, watched = self.entries, self.watched
        if watched:
            return sorted([index for index in entries.keys() | watched if first <= index <= last])
        if len(entries) > _FEW:
            return filter(entries.__contains__, range(first, last + 1))
        return sorted([index for index in entries if first <= index <= last])

    def _store(self, index: int, spte: int) -> None:
        self.shown = None
        if spte == self.initial:
            self.entries.pop(index, None)
        else:
            self.entries[index] = spte
        table: KvmMmuPage | None = self
        while table is not None and table.listing is not None:
            table.listing = None
            table = table.parent

    def index_of(self, gfn: int) -> int:
        """Which entry covers ``gfn``."""
        return gfn >> 9 * (self.level - 1) & SPTE_ENT_PER_PAGE - 1

    def gfn_at(self, index: int) -> int:
        """The first gfn that the entry at ``index`` covers."""
        return self.gfn + (index << 9 * (self.level - 1))

    def entries_for(self, pages: Iterable[int]) -> frozenset[int]:
        """The entries on the way to these gfns."""
        shift = 9 * (self.level - 1)
        indexes = (page - self.gfn >> shift for page in pages)
        return frozenset(index for index in indexes if 0 <= index < SPTE_ENT_PER_PAGE)


class UseAfterFree(Exception):
    """A table was accessed after its memory had been freed."""


class FreedEntries(dict[int, int]):
    """The entries of a table whose memory was freed: any access is a UseAfterFree."""

    def __init__(self, table: KvmMmuPage) -> None:
        super().__init__()
        self.table = table

    def _used(self, *_: object) -> NoReturn:
        table = self.table
        raise UseAfterFree(f"a freed table is used: of level {table.level}, for gfn {table.gfn:#x} on")

    get = pop = keys = __getitem__ = __setitem__ = __contains__ = _used


@dataclass
class TableMemory:
    """All tables that exist, and those whose memory waits for a grace period."""

    k: Semantics
    by_serial: dict[int, KvmMmuPage] = field(default_factory=dict)
    """By number, with those that were freed: an access to them is a bug that must be noticed."""
    retired: list[KvmMmuPage] = field(default_factory=list)
    rcu: ReadSections = field(default_factory=lambda: ReadSections("RCU"))
    """Who walks the tables without mmu_lock."""
    last_serial: int = 0

    def new_root(self, as_id: int) -> KvmMmuPage:
        """An empty table for the top."""
        return self._new(ROOT_LEVEL, 0, as_id, None)

    def new_child(self, parent: KvmMmuPage, index: int) -> KvmMmuPage:
        """An empty table for what the entry at ``index`` of ``parent`` covers; it is not linked yet."""
        return self._new(parent.level - 1, parent.gfn_at(index), parent.as_id, parent)

    def _new(self, level: int, gfn: int, as_id: int, parent: KvmMmuPage | None) -> KvmMmuPage:
        initial = self.k.layout.nonpresent_value
        serial = current.scheduler.new_serial(self)
        table = KvmMmuPage(serial, level, gfn, as_id, initial, parent)
        self.add(table)
        return table

    def add(self, table: KvmMmuPage) -> None:
        """Keep a new table, with a serial number of its own."""
        table.watched = current.scheduler.watched(table)
        self.by_serial[table.serial] = table

    def drop(self, table: KvmMmuPage) -> None:
        """Give back a table that was never linked (tdp_mmu_free_sp())."""
        del self.by_serial[table.serial]

    def pointer_to(self, table: KvmMmuPage, ad_disabled: bool) -> int:
        """The SPTE that links ``table`` into the tree."""
        return int(make_nonleaf_spte(self.k, table.address, ad_disabled))

    def child(self, spte: int, level: int) -> KvmMmuPage | None:
        """The table that the SPTE at ``level`` points to; None for a leaf and what is not present."""
        mask = self.k.layout.spte_mmu_present_mask
        present = spte & mask if mask else is_shadow_present_pte(self.k, spte)
        if not present or level == 1 or spte & PT_PAGE_SIZE_MASK:
            return None
        return self.by_serial[(spte & SPTE_BASE_ADDR_MASK) >> PAGE_SHIFT]

    def retire(self, table: KvmMmuPage) -> None:
        """Give the table's memory back after a grace period (call_rcu())."""
        if not self.k.has(FREED_AFTER_GRACE_PERIOD):
            self.free(table)
            return
        current.scheduler.change_callbacks(self.rcu, CALLBACKS)
        self.retired.append(table)

    def free_retired(self) -> int:
        """Wait for a grace period and free what was retired before it; gives the number of tables."""
        current.scheduler.change_callbacks(self.rcu, CALLBACKS)
        callbacks, self.retired = self.retired, []
        self.rcu.synchronize()
        for table in callbacks:
            self.free(table)
        return len(callbacks)

    def free(self, table: KvmMmuPage) -> None:
        """Give its memory back. It keeps its number, so that a late access is noticed."""
        table.entries = FreedEntries(table)

    def without_address(self, spte: int) -> int:
        """An SPTE that points to a table, without the one thing that depends on where it lies."""
        return int(clear(spte, SPTE_BASE_ADDR_MASK))

    def listed(self, table: KvmMmuPage) -> list[int]:
        """The tree under ``table`` as flat quadruples (level, gfn, SPTE, serial of the child or 0).

        Pre-order, ascending, without what is still as it was in the beginning.
        """
        if table.listing is None:
            cells: list[int] = []
            for index in sorted(table.entries):
                spte = table.entries[index]
                child = self.child(spte, table.level)
                if child is None:
                    cells += (table.level, table.gfn_at(index), spte, 0)
                else:
                    cells += (table.level, table.gfn_at(index), self.without_address(spte), child.serial)
                    cells += self.listed(child)
            table.listing = cells
        return table.listing

# SPDX-License-Identifier: GPL-2.0-only
"""Changing an SPTE of the TDP MMU, and everything that follows from the change.

Every change of an SPTE goes through this module. What follows depends on the old and the new value only: the
statistics of leaves, marking host pages dirty or accessed, and removing a table that is no longer reachable.
"""

from __future__ import annotations

from conformance.model.changes import REMOVED_BY_XCHG, TDP_CMPXCHG, TDP_XCHG
from conformance.model.layout import SPTE_ENT_PER_PAGE
from conformance.model.spte.predicates import (
    is_frozen_spte,
    is_last_spte,
    is_mmio_spte,
    is_shadow_present_pte,
    spte_to_pfn,
)
from conformance.model.spte.tdp_write import kvm_tdp_mmu_spte_need_atomic_write
from conformance.model.spte.writability import check_spte_writable_invariants
from conformance.model.tdp_mmu.tdp_iter import Entry
from conformance.model.vm.host_marks import report_lost_bits
from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.vm import Vm
from conformance.model.words import clear

__all__ = [
    "__tdp_mmu_set_spte_atomic",
    "clear_entry_bits",
    "handle_changed_spte",
    "maps_page",
    "tdp_mmu_set_spte",
    "tdp_mmu_set_spte_atomic",
    "untrack_possible_nx_huge_page",
    "write_entry",
]


def maps_page(vm: Vm, entry: Entry) -> bool:
    """Whether the SPTE that was read from the entry is a leaf: it maps a page."""
    spte = entry.old_spte
    return bool(is_shadow_present_pte(vm.k, spte) and is_last_spte(vm.k, spte, entry.table.level))


def tdp_mmu_set_spte(vm: Vm, entry: Entry, new_spte: int) -> None:
    """Install ``new_spte`` with mmu_lock held for write, and handle the change.

    On return ``entry.old_spte`` is the value that was replaced.
    """
    frozen = is_frozen_spte(vm.k, entry.old_spte) | is_frozen_spte(vm.k, new_spte)
    vm.k.warn_on("tdp_mmu_set_spte", frozen)
    entry.old_spte = write_entry(vm, entry, new_spte)
    handle_changed_spte(vm, entry, new_spte, shared=False)


def tdp_mmu_set_spte_atomic(vm: Vm, entry: Entry, new_spte: int) -> bool:
    """Install ``new_spte`` with mmu_lock held for read, and handle the change; return True on success.

    Return False (-EBUSY) if another thread changed the entry first; ``entry.old_spte`` is then the current
    value.
    """
    installed = __tdp_mmu_set_spte_atomic(vm, entry, new_spte)
    if installed:
        handle_changed_spte(vm, entry, new_spte, shared=True)
    return installed


def __tdp_mmu_set_spte_atomic(vm: Vm, entry: Entry, new_spte: int) -> bool:
    """Install ``new_spte`` by compare-and-exchange; return True on success, as tdp_mmu_set_spte_atomic().

    The caller handles the change.
    """
    vm.k.warn_on("tdp_mmu_set_spte_atomic", is_frozen_spte(vm.k, entry.old_spte))
    if not vm.k.has(TDP_CMPXCHG):
        entry.table.write(entry.index, new_spte)
        return True
    found = entry.table.cmpxchg(entry.index, entry.old_spte, new_spte)
    installed = found == entry.old_spte
    entry.old_spte = found
    return installed


def write_entry(vm: Vm, entry: Entry, new_spte: int) -> int:
    """Write ``new_spte`` as kvm_tdp_mmu_write_spte() does; return the value that was replaced.

    An SPTE that may change outside mmu_lock is replaced by XCHG. After a plain store the return value is
    ``entry.old_spte``, even if the entry held another value by then.
    """
    if _need_atomic_write(vm, entry):
        return entry.table.xchg(entry.index, new_spte)
    entry.table.write(entry.index, new_spte)
    return entry.old_spte


def clear_entry_bits(vm: Vm, entry: Entry, mask: int) -> int:
    """Clear the bits of ``mask`` as tdp_mmu_clear_spte_bits() does; return the value before.

    The change is not passed to handle_changed_spte(), so ``mask`` may hold only Accessed, and Dirty or W for
    the dirty log.
    """
    if _need_atomic_write(vm, entry):
        return entry.table.fetch_and(entry.index, ~mask)
    entry.table.write(entry.index, int(clear(entry.old_spte, mask)))
    return entry.old_spte


def _need_atomic_write(vm: Vm, entry: Entry) -> bool:
    """Whether a plain store could lose bits that the processor or a fast page fault sets concurrently."""
    return vm.k.has(TDP_XCHG) and bool(kvm_tdp_mmu_spte_need_atomic_write(vm.k, entry.old_spte, entry.level))


def handle_changed_spte(vm: Vm, entry: Entry, new_spte: int, shared: bool) -> None:
    """Update statistics, host pages and tables after an entry changed from ``old_spte`` to ``new_spte``.

    A present leaf must not become a present leaf for another pfn (BUG): it must be zapped and the TLBs
    flushed in between. If neither value is present, one must be an MMIO SPTE or the new one frozen (WARN).
    ``shared``: mmu_lock is held for read.
    """
    old_spte, level, k = entry.old_spte, entry.table.level, vm.k
    if old_spte == new_spte:
        return
    function = "handle_changed_spte"
    was_present, is_present = is_shadow_present_pte(k, old_spte), is_shadow_present_pte(k, new_spte)
    was_leaf = was_present and is_last_spte(k, old_spte, level)
    is_leaf = is_present and is_last_spte(k, new_spte, level)
    if is_leaf:
        if was_leaf:
            k.bug_on(function, spte_to_pfn(k, old_spte) != spte_to_pfn(k, new_spte))
        check_spte_writable_invariants(k, new_spte)
    if not was_present and not is_present:
        expected = is_mmio_spte(k, old_spte) or is_mmio_spte(k, new_spte) or is_frozen_spte(k, new_spte)
        k.warn_on(function, not expected)
        return
    if was_leaf != is_leaf:
        vm.pages[level] += 1 if is_leaf else -1
    if was_leaf:
        kept = is_present and spte_to_pfn(k, old_spte) == spte_to_pfn(k, new_spte)
        report_lost_bits(vm, old_spte, new_spte if kept else None)
    if was_present and not was_leaf and (is_leaf or not is_present):
        child = vm.memory.child(old_spte, level)
        assert child is not None
        handle_removed_pt(vm, child, shared)


def handle_removed_pt(vm: Vm, table: KvmMmuPage, shared: bool) -> None:
    """Freeze the entries of a table that was just unlinked, handle its children, and retire it.

    A fault handler that still walks the table finds frozen SPTEs and retries. With mmu_lock held for read
    every entry is frozen, since another fault could otherwise fill an empty one. With mmu_lock held for write
    only present entries are. Until TLBs are flushed the processor may still walk the table, from its
    paging-structure caches, and set Dirty in it.
    """
    if table.nx_huge_page_disallowed:
        table.nx_huge_page_disallowed = False
        untrack_possible_nx_huge_page(vm, table)
    frozen = vm.k.layout.frozen_spte
    for index in table.indexes():
        if shared and vm.k.has(REMOVED_BY_XCHG):
            entry = Entry(table, index, table.xchg(index, frozen))
            while is_frozen_spte(vm.k, entry.old_spte):
                # The thread that froze the entry is going to write another value.
                table.wait_while(index, frozen)
                entry.old_spte = table.xchg(index, frozen)
        else:
            entry = Entry(table, index, table.read(index))
            if not is_shadow_present_pte(vm.k, entry.old_spte):
                continue
            if shared:
                table.write(index, frozen)
            else:
                entry.old_spte = write_entry(vm, entry, frozen)
        handle_changed_spte(vm, entry, frozen, shared)
    if shared:
        table.fill(dict.fromkeys(range(SPTE_ENT_PER_PAGE), frozen))
    vm.memory.retire(table)


def untrack_possible_nx_huge_page(vm: Vm, table: KvmMmuPage) -> None:
    """Remove the table from the list of tables to be replaced by huge pages, if it is listed."""
    vm.change_nx_huge_pages()
    if table in vm.possible_nx_huge_pages:
        vm.possible_nx_huge_pages.remove(table)
        vm.nx_lpage_splits -= 1

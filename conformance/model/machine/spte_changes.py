# SPDX-License-Identifier: GPL-2.0-only
"""Changing an SPTE of the TDP MMU, and everything that follows from it.

Every change goes through here. What follows is told from the old and the new value alone: statistics
of leaves, and, if a table is no longer reachable, taking it apart.
"""

from __future__ import annotations

from conformance.model.machine.tables import ENTRIES, KvmMmuPage
from conformance.model.machine.vm import Vm
from conformance.model.shape import (
    is_frozen_spte,
    is_last_spte,
    is_mmio_spte,
    is_shadow_present_pte,
    spte_to_pfn,
)
from conformance.model.words import clear
from conformance.model.writability import check_spte_writable_invariants

__all__ = ["is_leaf", "tdp_mmu_clear_spte_bits", "tdp_mmu_set_spte", "untrack_possible_nx_huge_page"]


def is_leaf(vm: Vm, spte: int, level: int) -> bool:
    """Whether the SPTE maps a page."""
    return bool(is_shadow_present_pte(vm.k, spte) and is_last_spte(vm.k, spte, level))


def tdp_mmu_set_spte(vm: Vm, table: KvmMmuPage, index: int, new_spte: int, shared: bool) -> None:
    """Replace the SPTE at ``index`` of ``table`` by ``new_spte``.

    ``shared``: mmu_lock is held for read, so that others change SPTEs meanwhile and the kernel must
    compare and exchange (tdp_mmu_set_spte_atomic()).
    """
    old_spte = table.read(index)
    vm.k.warn_on("tdp_mmu_set_spte", is_frozen_spte(vm.k, old_spte))
    table.write(index, new_spte)
    handle_changed_spte(vm, table, index, old_spte, new_spte, shared)


def tdp_mmu_clear_spte_bits(table: KvmMmuPage, index: int, mask: int) -> None:
    """Clear bits whose loss has no consequences: Accessed, or Dirty or W for the dirty log."""
    table.write(index, int(clear(table.read(index), mask)))


def handle_changed_spte(
    vm: Vm, table: KvmMmuPage, index: int, old_spte: int, new_spte: int, shared: bool
) -> None:
    """Keep the books about an entry that has changed.

    A present leaf must never become one for another page: the host must have had it zapped, and flushed,
    in between. Between two values that are not present only MMIO SPTEs and freezing make sense.
    """
    if old_spte == new_spte:
        return
    k, level = vm.k, table.level
    function = "handle_changed_spte"
    was_present, is_present = is_shadow_present_pte(k, old_spte), is_shadow_present_pte(k, new_spte)
    was_leaf = was_present and is_last_spte(k, old_spte, level)
    is_leaf_now = is_present and is_last_spte(k, new_spte, level)
    if is_leaf_now:
        if was_leaf:
            k.bug_on(function, spte_to_pfn(k, old_spte) != spte_to_pfn(k, new_spte))
        check_spte_writable_invariants(k, new_spte)
    if not was_present and not is_present:
        explained = is_mmio_spte(k, old_spte) or is_mmio_spte(k, new_spte) or is_frozen_spte(k, new_spte)
        k.warn_on(function, not explained)
        return
    if was_leaf != is_leaf_now:
        vm.pages[level] += 1 if is_leaf_now else -1
    if was_present and not was_leaf and (is_leaf_now or not is_present):
        child = vm.memory.child(old_spte, level)
        assert child is not None
        handle_removed_pt(vm, child, shared)


def handle_removed_pt(vm: Vm, table: KvmMmuPage, shared: bool) -> None:
    """Take apart a table that was just unlinked, with all tables below, and retire it.

    Its entries are frozen, so that a fault that still walks here gives up and tries again. Under
    mmu_lock for read every entry must be, since another fault could fill an empty one; with mmu_lock held
    for write only those that are present matter.
    """
    if table.nx_huge_page_disallowed:
        table.nx_huge_page_disallowed = False
        untrack_possible_nx_huge_page(vm, table)
    frozen = vm.k.layout.frozen_spte
    before = table.entries
    if shared:
        table.entries = dict.fromkeys(range(ENTRIES), frozen)
    else:
        present = vm.k.layout.spte_mmu_present_mask
        table.entries = {i: frozen if spte & present else spte for i, spte in before.items()}
    table.listing = None
    for index, spte in before.items():
        handle_changed_spte(vm, table, index, spte, table.entries[index], shared)
    vm.memory.retire(table)


def untrack_possible_nx_huge_page(vm: Vm, table: KvmMmuPage) -> None:
    """The table no longer stands in the way of a huge page."""
    if table in vm.possible_nx_huge_pages:
        vm.possible_nx_huge_pages.remove(table)
        vm.nx_lpage_splits -= 1

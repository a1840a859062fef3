# SPDX-License-Identifier: GPL-2.0-only
"""Changing an SPTE of the TDP MMU, and everything that follows from it.

Every change goes through here. What follows depends on the old and the new value only: statistics
of leaves, and, if a table is no longer reachable, taking it apart.
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
from conformance.model.vm.host_marks import tell_host_of_lost_bits
from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.vm import Vm
from conformance.model.words import clear

__all__ = [
    "__tdp_mmu_set_spte_atomic",
    "clear_entry_bits",
    "handle_changed_spte",
    "is_leaf",
    "tdp_mmu_set_spte",
    "tdp_mmu_set_spte_atomic",
    "untrack_possible_nx_huge_page",
    "write_entry",
]


def is_leaf(vm: Vm, spte: int, level: int) -> bool:
    """Whether the SPTE maps a page."""
    return bool(is_shadow_present_pte(vm.k, spte) and is_last_spte(vm.k, spte, level))


def tdp_mmu_set_spte(vm: Vm, table: KvmMmuPage, index: int, old_spte: int, new_spte: int) -> int:
    """Replace ``old_spte``, as it was read, with mmu_lock held for write; gives what was really replaced."""
    frozen = is_frozen_spte(vm.k, old_spte) | is_frozen_spte(vm.k, new_spte)
    vm.k.warn_on("tdp_mmu_set_spte", frozen)
    old_spte = write_entry(vm, table, index, old_spte, new_spte)
    handle_changed_spte(vm, table, index, old_spte, new_spte, shared=False)
    return old_spte


def tdp_mmu_set_spte_atomic(
    vm: Vm, table: KvmMmuPage, index: int, old_spte: int, new_spte: int
) -> int | None:
    """Replace ``old_spte`` with mmu_lock held for read, as others may too: None if that went well.

    If another thread changed it first (-EBUSY), the current value.
    """
    found = __tdp_mmu_set_spte_atomic(vm, table, index, old_spte, new_spte)
    if found is None:
        handle_changed_spte(vm, table, index, old_spte, new_spte, shared=True)
    return found


def __tdp_mmu_set_spte_atomic(
    vm: Vm, table: KvmMmuPage, index: int, old_spte: int, new_spte: int
) -> int | None:
    """The same without any consequences: __tdp_mmu_set_spte_atomic()."""
    vm.k.warn_on("tdp_mmu_set_spte_atomic", is_frozen_spte(vm.k, old_spte))
    if not vm.k.has(TDP_CMPXCHG):
        table.write(index, new_spte)
        return None
    found = table.cmpxchg(index, old_spte, new_spte)
    return None if found == old_spte else found


def write_entry(vm: Vm, table: KvmMmuPage, index: int, old_spte: int, new_spte: int) -> int:
    """Write ``new_spte`` as kvm_tdp_mmu_write_spte() does; returns the value that was replaced.

    A volatile ``old_spte`` is replaced by XCHG. A plain store returns ``old_spte``, whatever the entry held.
    """
    if _need_atomic_write(vm, old_spte, table.level):
        return table.xchg(index, new_spte)
    table.write(index, new_spte)
    return old_spte


def clear_entry_bits(vm: Vm, table: KvmMmuPage, index: int, old_spte: int, mask: int) -> int:
    """Clear bits as tdp_mmu_clear_spte_bits() does; returns the value before.

    Only for bits without further bookkeeping: Accessed, and Dirty or W for the dirty log.
    """
    if _need_atomic_write(vm, old_spte, table.level):
        return table.fetch_and(index, ~mask)
    table.write(index, int(clear(old_spte, mask)))
    return old_spte


def _need_atomic_write(vm: Vm, old_spte: int, level: int) -> bool:
    """Whether a plain store could lose bits that the processor, or a fast page fault, sets meanwhile."""
    return vm.k.has(TDP_XCHG) and bool(kvm_tdp_mmu_spte_need_atomic_write(vm.k, old_spte, level))


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
    if was_leaf:
        tell_host_of_lost_bits(vm, old_spte, new_spte if is_present else None)
    if was_present and not was_leaf and (is_leaf_now or not is_present):
        child = vm.memory.child(old_spte, level)
        assert child is not None
        handle_removed_pt(vm, child, shared)


def handle_removed_pt(vm: Vm, table: KvmMmuPage, shared: bool) -> None:
    """Take apart a table that was just unlinked, with all tables below, and retire it.

    Its entries are frozen, so that a fault that still walks here gives up and tries again. Under
    mmu_lock for read every entry must be, since another fault could fill an empty one; with mmu_lock held
    for write only those that are present matter. The processor may still use them, and set Dirty there,
    through upper levels that it remembers.
    """
    if table.nx_huge_page_disallowed:
        table.nx_huge_page_disallowed = False
        untrack_possible_nx_huge_page(vm, table)
    frozen = vm.k.layout.frozen_spte
    for index in table.indexes():
        if shared and vm.k.has(REMOVED_BY_XCHG):
            old_spte = table.xchg(index, frozen)
            while is_frozen_spte(vm.k, old_spte):
                # The operation that has frozen it before will make it something else.
                table.wait_while(index, frozen)
                old_spte = table.xchg(index, frozen)
        else:
            old_spte = table.read(index)
            if not is_shadow_present_pte(vm.k, old_spte):
                continue
            if shared:
                table.write(index, frozen)
            else:
                old_spte = write_entry(vm, table, index, old_spte, frozen)
        handle_changed_spte(vm, table, index, old_spte, frozen, shared)
    if shared:
        table.fill(dict.fromkeys(range(SPTE_ENT_PER_PAGE), frozen))
    vm.memory.retire(table)


def untrack_possible_nx_huge_page(vm: Vm, table: KvmMmuPage) -> None:
    """The table no longer stands in the way of a huge page."""
    vm.change_nx_huge_pages()
    if table in vm.possible_nx_huge_pages:
        vm.possible_nx_huge_pages.remove(table)
        vm.nx_lpage_splits -= 1

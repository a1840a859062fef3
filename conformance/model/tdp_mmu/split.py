# SPDX-License-Identifier: GPL-2.0-only
"""Splitting huge pages: a huge leaf is replaced by a table that maps the same pfns in smaller pages."""

from __future__ import annotations

from conformance.model.layout import PAGE_SHIFT, SPTE_ENT_PER_PAGE
from conformance.model.spte.make_spte import make_huge_page_split_spte
from conformance.model.tdp_mmu.changed_spte import maps_page, tdp_mmu_set_spte, tdp_mmu_set_spte_atomic
from conformance.model.tdp_mmu.root_list import each_root
from conformance.model.tdp_mmu.tdp_iter import Entry, TdpIter
from conformance.model.tdp_mmu.zap import tdp_mmu_iter_cond_resched
from conformance.model.vm.host_pages import pages_per
from conformance.model.vm.memslots import KvmMemorySlot
from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.vm import Vm, kvm_ad_enabled

__all__ = ["kvm_tdp_mmu_try_split_huge_pages", "tdp_mmu_split_huge_page"]


def tdp_mmu_split_huge_page(vm: Vm, entry: Entry, child: KvmMmuPage, shared: bool) -> bool:
    """Map the huge leaf's pages in ``child``, and replace the leaf by it; return True on success.

    No flush is needed: a TLB entry for the huge page translates to the same pfns. The new leaves inherit
    rights, Accessed and Dirty; an operation that clears them later flushes by itself. If another thread
    changed the leaf first, ``child`` is not linked.
    """
    first = int(
        make_huge_page_split_spte(
            vm.k,
            entry.old_spte,
            level=child.level,
            access=vm.k.layout.acc_all,
            index=0,
            nx_huge_pages=vm.nx_huge_pages,
        )
    )
    # The new leaves differ only in the pfn.
    step = pages_per(child.level) << PAGE_SHIFT
    child.fill({n: first + n * step for n in range(SPTE_ENT_PER_PAGE)})
    pointer = vm.memory.pointer_to(child, not kvm_ad_enabled(vm.k))
    if not shared:
        tdp_mmu_set_spte(vm, entry, pointer)
    elif not tdp_mmu_set_spte_atomic(vm, entry, pointer):
        return False
    vm.pages[child.level] += SPTE_ENT_PER_PAGE
    return True


def kvm_tdp_mmu_try_split_huge_pages(
    vm: Vm, slot: KvmMemorySlot, start: int, end: int, target_level: int, shared: bool
) -> None:
    """Split all leaves above ``target_level`` that map gfns in [``start``, ``end``).

    A 1 GiB page is first split into 2 MiB pages; those in the range are then split again.
    """
    for root in each_root(vm, slot.as_id, only_valid=True):
        walk = TdpIter(vm.memory, root, start, end, target_level + 1)
        with vm.memory.rcu:
            for entry in walk:
                while maps_page(vm, entry):
                    child = vm.memory.new_child(entry.table, entry.index)
                    if tdp_mmu_split_huge_page(vm, entry, child, shared):
                        break
                    vm.memory.drop(child)
                if entry.level == target_level + 1:
                    tdp_mmu_iter_cond_resched(vm, walk, False, entry.gfn + pages_per(entry.level))

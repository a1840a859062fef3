# SPDX-License-Identifier: GPL-2.0-only
"""Splitting huge pages: a huge leaf gives way to a table that maps the same frames in smaller pages."""

from __future__ import annotations

from conformance.model.construct import make_huge_page_split_spte
from conformance.model.layout import PAGE_SHIFT
from conformance.model.machine.host import pages_per
from conformance.model.machine.memslots import KvmMemorySlot
from conformance.model.machine.spte_changes import is_leaf, tdp_mmu_set_spte
from conformance.model.machine.tables import ENTRIES, KvmMmuPage, walk
from conformance.model.machine.vm import Vm, kvm_ad_enabled

__all__ = ["kvm_tdp_mmu_try_split_huge_pages", "tdp_mmu_split_huge_page"]


def tdp_mmu_split_huge_page(vm: Vm, table: KvmMmuPage, index: int, child: KvmMmuPage, shared: bool) -> None:
    """Fill ``child`` with the parts of the huge leaf at ``index``, and put it in the leaf's place.

    No flush is needed: what TLBs still have of the huge page translates to the same. Rights, Accessed and
    Dirty are inherited, so whoever takes them from the parts flushes for that.
    """
    huge_spte = table.read(index)
    first = int(
        make_huge_page_split_spte(
            vm.k,
            huge_spte,
            level=child.level,
            access=vm.k.layout.acc_all,
            index=0,
            nx_huge_pages=vm.nx_huge_pages,
        )
    )
    # The parts differ in nothing but the frame.
    step = pages_per(child.level) << PAGE_SHIFT
    child.entries = {n: first + n * step for n in range(ENTRIES)}
    tdp_mmu_set_spte(vm, table, index, vm.memory.pointer_to(child, not kvm_ad_enabled(vm.k)), shared)
    vm.pages[child.level] += ENTRIES


def kvm_tdp_mmu_try_split_huge_pages(
    vm: Vm, slot: KvmMemorySlot, start: int, end: int, target_level: int, shared: bool
) -> None:
    """Split what maps frames in [``start``, ``end``) by pages larger than ``target_level``, until none is.

    A page of 1 GiB is split into pages of 2 MiB first, of which those in the range are split again.
    """
    for root in reversed(vm.roots):
        if root.as_id != slot.as_id or root.invalid:
            continue
        for table, index, _, spte in walk(vm.memory, root, start, end, target_level + 1):
            if is_leaf(vm, spte, table.level):
                child = vm.memory.new_child(table, index)
                tdp_mmu_split_huge_page(vm, table, index, child, shared)

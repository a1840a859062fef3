# SPDX-License-Identifier: GPL-2.0-only
"""KVM's end of the MMU notifiers: what the host does to its pages, carried over to all slots they back."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.model.changes import AGING_NOT_FLUSHED, INVALIDATION_BY_GFN, NO_CHANGE_PTE
from conformance.model.construct import kvm_mmu_changed_pte_notifier_make_spte
from conformance.model.layout import PG_LEVEL_4K
from conformance.model.machine.flushes import kvm_flush_remote_tlbs
from conformance.model.machine.memslots import KvmMemorySlot
from conformance.model.machine.spte_changes import is_leaf, tdp_mmu_set_spte
from conformance.model.machine.tables import walk
from conformance.model.machine.tdp_age import kvm_tdp_mmu_age_gfn_range
from conformance.model.machine.tdp_zap import kvm_tdp_mmu_unmap_gfn_range
from conformance.model.machine.vm import Vm

__all__ = ["KvmMmuNotifier"]


class KvmMmuNotifier:
    """kvm_mmu_notifier_ops for one VM. Ranges are host pages, [first, last + 1)."""

    def __init__(self, vm: Vm) -> None:
        self.vm = vm

    def _gfn_ranges(self, start: int, end: int) -> Iterator[tuple[KvmMemorySlot, int, int]]:
        """The guest frames that the range backs: in each slot of either address space that it meets."""
        for memslots in self.vm.memslots:
            for slot in memslots.in_host_range(start, end):
                yield slot, slot.gfn_of(max(start, slot.page)), slot.gfn_of(min(end, slot.end_page))

    def invalidate_range_start(self, start: int, end: int) -> None:
        """Zap what maps the range, and let nothing be mapped there until the end.

        Invalidations that meet no slot do not count.
        """
        vm = self.vm
        vm.mn_active_invalidate_count += 1
        ranges = list(self._gfn_ranges(start, end))
        if not ranges:
            return
        vm.mmu_invalidate_in_progress += 1
        if vm.mmu_invalidate_in_progress == 1:
            vm.mmu_invalidate_range = None
        if not vm.k.has(INVALIDATION_BY_GFN):
            self._add_range(start, end)
        flush = False
        for slot, first, last in ranges:
            if vm.k.has(INVALIDATION_BY_GFN):
                self._add_range(first, last)
            # Each slot is asked anew; what one owes, another one's walk does not know.
            flush |= kvm_tdp_mmu_unmap_gfn_range(vm, slot, first, last, may_block=True)
        if flush:
            kvm_flush_remote_tlbs(vm)

    def _add_range(self, start: int, end: int) -> None:
        """Invalidations at the same time are remembered as one range around them all."""
        if self.vm.mmu_invalidate_range is not None:
            first, last = self.vm.mmu_invalidate_range
            start, end = min(first, start), max(last, end)
        self.vm.mmu_invalidate_range = start, end

    def invalidate_range_end(self, start: int, end: int) -> None:
        """The host has changed its page tables: all that was looked up before is stale."""
        vm = self.vm
        if any(True for _ in self._gfn_ranges(start, end)):
            vm.mmu_invalidate_seq += 1
            vm.mmu_invalidate_in_progress -= 1
            vm.k.bug_on("kvm_mmu_invalidate_end", vm.mmu_invalidate_in_progress < 0)
        vm.mn_active_invalidate_count -= 1

    def change_pte(self, page: int, pfn: int, writable: bool) -> None:
        """The page will be mapped to ``pfn``: change the SPTEs that map it.

        There are none. The host calls this between start and end, and start has zapped them all, so it
        has been dead code for as long as it was called that way: f3b65bbaed7c in v6.10 deleted it.
        """
        vm = self.vm
        if vm.k.has(NO_CHANGE_PTE):
            return
        vm.k.warn_on("kvm_mmu_notifier_change_pte", not vm.mn_active_invalidate_count)
        if not vm.mmu_invalidate_in_progress:
            return
        flush = False
        for slot, first, last in self._gfn_ranges(page, page + 1):
            for root in reversed(vm.roots):
                if root.as_id != slot.as_id:
                    continue
                for table, index, _, spte in walk(vm.memory, root, first, last):
                    if table.level != PG_LEVEL_4K or not is_leaf(vm, spte, table.level):
                        continue
                    tdp_mmu_set_spte(vm, table, index, vm.k.layout.nonpresent_value, shared=False)
                    if not writable:
                        new_spte = int(kvm_mmu_changed_pte_notifier_make_spte(vm.k, spte, pfn))
                        tdp_mmu_set_spte(vm, table, index, new_spte, shared=False)
                    flush = True
        if flush:
            kvm_flush_remote_tlbs(vm)

    def clear_flush_young(self, start: int, end: int) -> bool:
        """Whether the guest used the range of late; ages it.

        Until v6.13 it flushed the TLBs if so, so that the next use would be seen for sure.
        """
        young = self._age(start, end, test_only=False)
        if young and not self.vm.k.has(AGING_NOT_FLUSHED):
            kvm_flush_remote_tlbs(self.vm)
        return young

    def clear_young(self, start: int, end: int) -> bool:
        """The same, without a flush: a use through an old TLB entry may go unseen."""
        return self._age(start, end, test_only=False)

    def test_young(self, page: int) -> bool:
        """Whether the guest used the page of late; changes nothing."""
        return self._age(page, page + 1, test_only=True)

    def _age(self, start: int, end: int, test_only: bool) -> bool:
        young = False
        for slot, first, last in self._gfn_ranges(start, end):
            young |= kvm_tdp_mmu_age_gfn_range(self.vm, slot, first, last, test_only)
        return young

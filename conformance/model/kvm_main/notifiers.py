# SPDX-License-Identifier: GPL-2.0-only
"""KVM's end of the MMU notifiers: what the host does to its pages, carried over to all slots they back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

from conformance.model.changes import AGING_NOT_FLUSHED, INVALIDATION_BY_GFN, LOCKLESS_AGING, NO_CHANGE_PTE
from conformance.model.layout import PG_LEVEL_4K
from conformance.model.spte.make_spte import kvm_mmu_changed_pte_notifier_make_spte
from conformance.model.tdp_mmu.age import kvm_tdp_mmu_age_gfn_range
from conformance.model.tdp_mmu.changed_spte import maps_page, tdp_mmu_set_spte
from conformance.model.tdp_mmu.root_list import each_root
from conformance.model.tdp_mmu.tdp_iter import TdpIter
from conformance.model.tdp_mmu.zap import kvm_tdp_mmu_unmap_gfn_range
from conformance.model.vm.flushes import kvm_flush_remote_tlbs
from conformance.model.vm.memslots import KVM_ADDRESS_SPACE_NUM, KvmMemorySlot
from conformance.model.vm.vm import Vm

__all__ = ["KvmMmuNotifier"]


class KvmMmuNotifier:
    """kvm_mmu_notifier_ops for one VM. Ranges are host pages, [first, last + 1)."""

    def __init__(self, vm: Vm) -> None:
        self.vm = vm

    def _gfn_ranges(self, start: int, end: int) -> Iterator[tuple[KvmMemorySlot, int, int]]:
        """The guest frames that the range backs: in each slot of either address space that it meets."""
        for as_id in range(KVM_ADDRESS_SPACE_NUM):
            for slot in self.vm.active_memslots(as_id).in_host_range(start, end):
                yield slot, slot.gfn_of(max(start, slot.page)), slot.gfn_of(min(end, slot.end_page))

    def invalidate_range_start(self, start: int, end: int) -> None:
        """Zap what maps the range, and let nothing be mapped there until the end.

        Invalidations that meet no slot do not count.
        """
        vm = self.vm
        with vm.mn_invalidate_lock.for_write:
            vm.mn_active_invalidate_count += 1
        with vm.srcu:
            ranges = list(self._gfn_ranges(start, end))
            if ranges:
                with vm.mmu_lock.for_write:
                    self._invalidate(start, end, ranges)

    def _invalidate(self, start: int, end: int, ranges: list[tuple[KvmMemorySlot, int, int]]) -> None:
        """What start does under mmu_lock, the flush included."""
        vm = self.vm
        in_progress = vm.mmu_invalidate_in_progress + 1
        vm.mmu_invalidate_in_progress = in_progress
        bounds = [(start, end)]
        if vm.k.has(INVALIDATION_BY_GFN):
            bounds = [(first, last) for _, first, last in ranges]
        if in_progress > 1:
            # Invalidations at the same time are remembered as one range around them all.
            bounds += filter(None, [vm.mmu_invalidate_range])
        vm.mmu_invalidate_range = min(first for first, _ in bounds), max(last for _, last in bounds)
        flush = False
        for slot, first, last in ranges:
            # Each slot is asked anew; what one owes, another one's walk does not know.
            flush |= kvm_tdp_mmu_unmap_gfn_range(vm, slot, first, last, may_block=True)
        if flush:
            kvm_flush_remote_tlbs(vm)

    def invalidate_range_end(self, start: int, end: int) -> None:
        """The host has changed its page tables: all that was looked up before is stale."""
        vm = self.vm
        with vm.srcu:
            if any(True for _ in self._gfn_ranges(start, end)):
                with vm.mmu_lock.for_write:
                    vm.mmu_invalidate_seq += 1
                    in_progress = vm.mmu_invalidate_in_progress - 1
                    vm.mmu_invalidate_in_progress = in_progress
                    vm.k.bug_on("kvm_mmu_invalidate_end", in_progress < 0)
        with vm.mn_invalidate_lock.for_write:
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
        with vm.srcu:
            ranges = list(self._gfn_ranges(page, page + 1))
            if ranges:
                with vm.mmu_lock.for_write:
                    self._change_pte(ranges, pfn, writable)

    def _change_pte(self, ranges: list[tuple[KvmMemorySlot, int, int]], pfn: int, writable: bool) -> None:
        """What .change_pte does under mmu_lock."""
        vm, nonpresent = self.vm, self.vm.k.layout.nonpresent_value
        flush = False
        for slot, first, last in ranges:
            for root in each_root(vm, slot.as_id, only_valid=False):
                for entry in TdpIter(vm.memory, root, first, last):
                    if entry.level != PG_LEVEL_4K or not maps_page(vm, entry):
                        continue
                    tdp_mmu_set_spte(vm, entry, nonpresent)
                    if not writable:
                        new_spte = int(kvm_mmu_changed_pte_notifier_make_spte(vm.k, entry.old_spte, pfn))
                        tdp_mmu_set_spte(vm, replace(entry, old_spte=nonpresent), new_spte)
                    flush = True
        if flush:
            kvm_flush_remote_tlbs(vm)

    def clear_flush_young(self, start: int, end: int) -> bool:
        """Whether the guest used the range of late; ages it.

        Until v6.13 it flushed the TLBs if so, so that the next use would be seen for sure.
        """
        return self._age(start, end, test_only=False, flush=not self.vm.k.has(AGING_NOT_FLUSHED))

    def clear_young(self, start: int, end: int) -> bool:
        """The same, without a flush: a use through an old TLB entry may go unseen."""
        return self._age(start, end, test_only=False)

    def test_young(self, page: int) -> bool:
        """Whether the guest used the page of late; changes nothing."""
        return self._age(page, page + 1, test_only=True)

    def _age(self, start: int, end: int, test_only: bool, flush: bool = False) -> bool:
        """Under mmu_lock for write, since v6.15 without it."""
        vm = self.vm
        young = False
        with vm.srcu:
            ranges = list(self._gfn_ranges(start, end))
            locked = vm.mmu_lock.for_write if ranges and not vm.k.has(LOCKLESS_AGING) else nullcontext()
            with locked:
                for slot, first, last in ranges:
                    young |= kvm_tdp_mmu_age_gfn_range(vm, slot, first, last, test_only)
                if young and flush:
                    kvm_flush_remote_tlbs(vm)
        return young

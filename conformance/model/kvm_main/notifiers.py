# SPDX-License-Identifier: GPL-2.0-only
"""KVM's MMU notifier: the host's calls before and after it changes a mapping, applied to all memslots."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

from conformance.model.changes import (
    AGING_NOT_FLUSHED,
    CHANGE_PTE_NOT_COUNTED,
    INVALIDATION_BY_GFN,
    LOCKLESS_AGING,
    NO_CHANGE_PTE,
    UNRELATED_INVALIDATIONS_IGNORED,
)
from conformance.model.shadow_mmu.gfn_ranges import kvm_age_gfn, kvm_set_spte_gfn, kvm_unmap_gfn_range
from conformance.model.vm.flushes import kvm_flush_remote_tlbs
from conformance.model.vm.memslots import KVM_ADDRESS_SPACE_NUM, KvmMemorySlot
from conformance.model.vm.vm import Vm

__all__ = ["KvmMmuNotifier"]


class KvmMmuNotifier:
    """kvm_mmu_notifier_ops of one VM. Ranges are host pages, [``start``, ``end``)."""

    def __init__(self, vm: Vm) -> None:
        self.vm = vm

    def _gfn_ranges(self, start: int, end: int) -> Iterator[tuple[KvmMemorySlot, int, int]]:
        """The gfns that the range backs, as (memslot, first, end), in the memslots of both address spaces."""
        for as_id in range(KVM_ADDRESS_SPACE_NUM):
            for slot in self.vm.active_memslots(as_id).in_host_range(start, end):
                yield slot, slot.gfn_of(max(start, slot.page)), slot.gfn_of(min(end, slot.end_page))

    def invalidate_range_start(self, start: int, end: int) -> None:
        """Zap the SPTEs that map the range; faults on it retry until invalidate_range_end().

        If the range backs no memslot, faults are not affected since UNRELATED_INVALIDATIONS_IGNORED.
        """
        vm = self.vm
        with vm.mn_invalidate_lock.for_write:
            vm.mn_active_invalidate_count += 1
        with vm.srcu:
            ranges = list(self._gfn_ranges(start, end))
            if ranges or not vm.k.has(UNRELATED_INVALIDATIONS_IGNORED):
                with vm.mmu_lock.for_write:
                    self._begin_invalidation(start, end, ranges)

    def _begin_invalidation(self, start: int, end: int, ranges: list[tuple[KvmMemorySlot, int, int]]) -> None:
        """The part of invalidate_range_start() under mmu_lock, including the flush."""
        vm = self.vm
        in_progress = vm.mmu_invalidate_in_progress + 1
        vm.mmu_invalidate_in_progress = in_progress
        bounds = [(start, end)]
        if vm.k.has(INVALIDATION_BY_GFN):
            bounds = [(first, last) for _, first, last in ranges]
        if in_progress > 1:
            # Concurrent invalidations are kept as one range that covers all of them.
            bounds += filter(None, [vm.mmu_invalidate_range])
        vm.mmu_invalidate_range = min(first for first, _ in bounds), max(last for _, last in bounds)
        flush = False
        for slot, first, last in ranges:
            # Each walk starts with flush False, so a later yield does not flush for an earlier memslot.
            flush |= kvm_unmap_gfn_range(vm, slot, first, last, may_block=True)
        if flush or vm.shadow.tlbs_dirty:
            kvm_flush_remote_tlbs(vm)

    def invalidate_range_end(self, start: int, end: int) -> None:
        """The host has changed its page tables: each pfn that was looked up before is stale."""
        vm = self.vm
        with vm.srcu:
            concerned = any(True for _ in self._gfn_ranges(start, end))
            if concerned or not vm.k.has(UNRELATED_INVALIDATIONS_IGNORED):
                with vm.mmu_lock.for_write:
                    vm.mmu_invalidate_seq += 1
                    in_progress = vm.mmu_invalidate_in_progress - 1
                    vm.mmu_invalidate_in_progress = in_progress
                    vm.k.bug_on("kvm_mmu_invalidate_end", in_progress < 0)
        with vm.mn_invalidate_lock.for_write:
            vm.mn_active_invalidate_count -= 1

    def change_pte(self, page: int, pfn: int, writable: bool) -> None:
        """Change the SPTEs that map ``page`` to map ``pfn``.

        The host calls this between start and end, and start has zapped all these SPTEs, so the loop finds
        none. Commit f3b65bbaed7c in v6.10 deleted this dead code.
        """
        vm = self.vm
        if vm.k.has(NO_CHANGE_PTE):
            return
        if not vm.k.has(CHANGE_PTE_NOT_COUNTED):
            with vm.srcu, vm.mmu_lock.for_write:
                vm.mmu_invalidate_seq += 1
                self._change_sptes(list(self._gfn_ranges(page, page + 1)), pfn, writable)
            return
        vm.k.warn_on("kvm_mmu_notifier_change_pte", not vm.mn_active_invalidate_count)
        if not vm.mmu_invalidate_in_progress:
            return
        with vm.srcu:
            ranges = list(self._gfn_ranges(page, page + 1))
            if ranges:
                with vm.mmu_lock.for_write:
                    self._change_sptes(ranges, pfn, writable)

    def _change_sptes(self, ranges: list[tuple[KvmMemorySlot, int, int]], pfn: int, writable: bool) -> None:
        """The part of .change_pte under mmu_lock."""
        vm, flush = self.vm, False
        for slot, first, _ in ranges:
            flush |= kvm_set_spte_gfn(vm, slot, first, pfn, writable)
        if flush:
            kvm_flush_remote_tlbs(vm)

    def clear_flush_young(self, start: int, end: int) -> bool:
        """Age the range; return whether the guest used it since it was last aged.

        Until v6.13 TLBs are flushed if it did, so that the next use sets Accessed.
        """
        return self._age(start, end, test_only=False, flush=not self.vm.k.has(AGING_NOT_FLUSHED))

    def clear_young(self, start: int, end: int) -> bool:
        """The same without a flush: a use through a cached translation may not set Accessed."""
        return self._age(start, end, test_only=False)

    def test_young(self, page: int) -> bool:
        """Return whether the guest used the page since it was last aged; change nothing."""
        return self._age(page, page + 1, test_only=True)

    def _age(self, start: int, end: int, test_only: bool, flush: bool = False) -> bool:
        """Age or test a range: under mmu_lock for write, since v6.15 without mmu_lock."""
        vm = self.vm
        young = False
        with vm.srcu:
            ranges = list(self._gfn_ranges(start, end))
            locked = vm.mmu_lock.for_write if ranges and not vm.k.has(LOCKLESS_AGING) else nullcontext()
            with locked:
                for slot, first, last in ranges:
                    young |= kvm_age_gfn(vm, slot, first, last, test_only)
                if young and flush:
                    kvm_flush_remote_tlbs(vm)
        return young

# SPDX-License-Identifier: GPL-2.0-only
"""The dirty log as userspace gets it: which pages the guest may have written, and marking them clean again.

A page is first taken from the bitmap and then made to notice the next write, so a write in between is
reported too often rather than never. TLBs are flushed before userspace sees the result.
"""

from __future__ import annotations

from collections.abc import Iterator

from conformance.model.changes import (
    LOG_COPIED_AFTER_FLUSH,
    LOG_EXCHANGED,
    LOG_TAKEN_BEFORE_PROTECTING,
    SPLIT_LAST_CLEARED,
)
from conformance.model.layout import PG_LEVEL_2M, PG_LEVEL_4K
from conformance.model.tdp_mmu.logging import (
    kvm_tdp_mmu_clear_dirty_pt_masked,
    kvm_tdp_mmu_write_protect_gfn,
)
from conformance.model.tdp_mmu.split import kvm_tdp_mmu_try_split_huge_pages
from conformance.model.vm.flushes import kvm_flush_remote_tlbs
from conformance.model.vm.host import EINVAL
from conformance.model.vm.memslots import BITS_PER_LONG, KvmMemorySlot
from conformance.model.vm.pml import kick_vcpus
from conformance.model.vm.scheduler import note
from conformance.model.vm.vm import Vm

__all__ = ["ENOENT", "kvm_clear_dirty_log", "kvm_get_dirty_log"]

ENOENT = 2


def kvm_get_dirty_log(vm: Vm, slot: int, as_id: int) -> list[int]:
    """KVM_GET_DIRTY_LOG: 0 and the bitmap's words, or only a negative errno.

    It also clears the log, unless userspace has said that it will do that itself (manual protect).
    """
    with vm.slots_lock.for_write:
        memslot = vm.memslots[as_id].slots.get(slot)
        if memslot is None or memslot.dirty_bitmap is None:
            return [-ENOENT]
        return [0, *kvm_get_dirty_log_protect(vm, memslot)]


def kvm_get_dirty_log_protect(vm: Vm, memslot: KvmMemorySlot) -> list[int]:
    """The words, each taken and its pages protected under mmu_lock; then the flush, then the copy."""
    bitmap = memslot.dirty_bitmap
    assert bitmap is not None
    kick_vcpus(vm)
    if vm.manual_dirty_log_protect:
        words = [memslot.read_dirty(n) for n in range(len(bitmap))]
        return _copy_to_user(memslot, words)
    words = [0] * len(bitmap)
    with vm.mmu_lock.for_write:
        for n in range(len(bitmap)):
            mask = memslot.read_dirty(n)
            if not mask:
                continue
            if not vm.k.has(LOG_TAKEN_BEFORE_PROTECTING):
                kvm_arch_mmu_enable_log_dirty_pt_masked(vm, memslot, n * BITS_PER_LONG, mask)
                words[n] = _take_word(vm, memslot, n, mask)
            else:
                words[n] = _take_word(vm, memslot, n, mask)
                kvm_arch_mmu_enable_log_dirty_pt_masked(vm, memslot, n * BITS_PER_LONG, words[n])
    if not vm.k.has(LOG_COPIED_AFTER_FLUSH):
        _copy_to_user(memslot, words)
        kvm_flush_remote_tlbs(vm)
        return words
    if any(words):
        kvm_flush_remote_tlbs(vm)
    return _copy_to_user(memslot, words)


def _take_word(vm: Vm, memslot: KvmMemorySlot, n: int, seen: int) -> int:
    """Clear a word of the bitmap; returns what was there."""
    if vm.k.has(LOG_EXCHANGED):
        return memslot.exchange_dirty(n)
    memslot.zero_dirty(n)
    return seen


def _copy_to_user(memslot: KvmMemorySlot, words: list[int]) -> list[int]:
    """Let userspace see the log."""
    bits = (n * BITS_PER_LONG + bit for n, word in enumerate(words) for bit in _bits(word))
    note(("logged", memslot.id, tuple(memslot.base_gfn + bit for bit in bits)))
    return words


def _bits(word: int) -> Iterator[int]:
    while word:
        yield (word & -word).bit_length() - 1
        word &= word - 1


def kvm_clear_dirty_log(vm: Vm, slot: int, as_id: int, first: int, npages: int, mask: int) -> int:
    """KVM_CLEAR_DIRTY_LOG for up to 64 pages from ``first``: those whose bit in ``mask`` is set are clean.

    Only those that were dirty are touched: any other notices writes already.
    """
    if first % BITS_PER_LONG:
        return -EINVAL
    with vm.slots_lock.for_write:
        memslot = vm.memslots[as_id].slots.get(slot)
        if memslot is None or memslot.dirty_bitmap is None:
            return -ENOENT
        rest = memslot.npages - first
        if rest < 0 or npages > rest or (npages < rest and npages % BITS_PER_LONG):
            return -EINVAL
        kick_vcpus(vm)
        if npages and mask:
            _clear_word(vm, memslot, first, mask)
    return 0


def _clear_word(vm: Vm, memslot: KvmMemorySlot, first: int, mask: int) -> None:
    """Clear bits of the word for ``first`` and have the writes to their pages noticed again."""
    word = first // BITS_PER_LONG
    with vm.mmu_lock.for_write:
        cleared = memslot.clear_dirty(word, mask)
        if cleared:
            kvm_arch_mmu_enable_log_dirty_pt_masked(vm, memslot, first, cleared)
    if cleared:
        kvm_flush_remote_tlbs(vm)
        note(("cleared", memslot.id, tuple(memslot.base_gfn + first + bit for bit in _bits(cleared))))


def kvm_arch_mmu_enable_log_dirty_pt_masked(vm: Vm, slot: KvmMemorySlot, offset: int, mask: int) -> None:
    """Have writes noticed again: pages ``offset`` + n of the slot for each bit n of ``mask``.

    If the log began all dirty, huge pages are still as they were and are dealt with now: split, and
    what is left protected for good, so that the next write makes a small page. There can be two: the
    slot need not be aligned.
    """
    gfn = slot.base_gfn + offset
    if vm.dirty_log_initially_set:
        start = gfn + (mask & -mask).bit_length() - 1
        last = gfn + mask.bit_length() - 1
        if vm.options.eager_page_split:
            end = last + 1 if vm.k.has(SPLIT_LAST_CLEARED) else last
            kvm_tdp_mmu_try_split_huge_pages(vm, slot, start, end, PG_LEVEL_4K, shared=False)
        kvm_tdp_mmu_write_protect_gfn(vm, slot, start, PG_LEVEL_2M)
        if _next_2m(start) != _next_2m(last):
            kvm_tdp_mmu_write_protect_gfn(vm, slot, last, PG_LEVEL_2M)
    kvm_tdp_mmu_clear_dirty_pt_masked(vm, slot, gfn, mask, wrprot=not vm.has_pml)


def _next_2m(gfn: int) -> int:
    """``gfn`` rounded up to a multiple of 2 MiB."""
    return (gfn + 511) // 512

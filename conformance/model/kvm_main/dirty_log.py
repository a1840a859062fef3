# SPDX-License-Identifier: GPL-2.0-only
"""KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG: which pages the guest may have written since the last call.

A page's bit is first cleared in the bitmap, and then its SPTE is write-protected (or Dirty cleared). A write
in between is therefore reported twice rather than never. TLBs are flushed before userspace sees the log.
"""

from __future__ import annotations

from collections.abc import Iterator

from conformance.model.changes import (
    HUGE_PAGES_PROTECTED_LAZILY,
    LOG_COPIED_AFTER_FLUSH,
    LOG_EXCHANGED,
    LOG_TAKEN_BEFORE_PROTECTING,
    SPLIT_LAST_CLEARED,
)
from conformance.model.layout import PG_LEVEL_2M, PG_LEVEL_4K
from conformance.model.shadow_mmu.huge_pages import kvm_mmu_try_split_huge_pages
from conformance.model.shadow_mmu.write_protect import (
    kvm_mmu_clear_dirty_pt_masked,
    kvm_mmu_slot_gfn_write_protect,
    kvm_mmu_write_protect_pt_masked,
)
from conformance.model.vm.flushes import kvm_flush_remote_tlbs
from conformance.model.vm.host import EINVAL
from conformance.model.vm.memslots import BITS_PER_LONG, KvmMemorySlot
from conformance.model.vm.pml import kick_vcpus
from conformance.model.vm.scheduler import current
from conformance.model.vm.vm import Vm

__all__ = ["ENOENT", "kvm_clear_dirty_log", "kvm_get_dirty_log"]

ENOENT = 2


def kvm_get_dirty_log(vm: Vm, slot: int, as_id: int) -> list[int]:
    """KVM_GET_DIRTY_LOG: return 0 and the words of the bitmap, or only a negative errno.

    The call also clears the log, unless userspace enabled KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2.
    """
    with vm.slots_lock.for_write:
        memslot = vm.memslots[as_id].slots.get(slot)
        if memslot is None or memslot.dirty_bitmap is None:
            return [-ENOENT]
        return [0, *kvm_get_dirty_log_protect(vm, memslot)]


def kvm_get_dirty_log_protect(vm: Vm, memslot: KvmMemorySlot) -> list[int]:
    """Return the words of the bitmap; under mmu_lock clear them and write-protect their pages.

    TLBs are flushed after that and, since LOG_COPIED_AFTER_FLUSH, before the words are copied to userspace.
    """
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
                words[n] = _clear_whole_word(vm, memslot, n, mask)
            else:
                words[n] = _clear_whole_word(vm, memslot, n, mask)
                kvm_arch_mmu_enable_log_dirty_pt_masked(vm, memslot, n * BITS_PER_LONG, words[n])
    if not vm.k.has(LOG_COPIED_AFTER_FLUSH):
        _copy_to_user(memslot, words)
        kvm_flush_remote_tlbs(vm)
        return words
    if any(words):
        kvm_flush_remote_tlbs(vm)
    return _copy_to_user(memslot, words)


def _clear_whole_word(vm: Vm, memslot: KvmMemorySlot, n: int, mask: int) -> int:
    """Clear word ``n`` of the bitmap; return its bits before. ``mask`` is the word as it was read first."""
    if vm.k.has(LOG_EXCHANGED):
        return memslot.exchange_dirty(n)
    memslot.zero_dirty(n)
    return mask


def _copy_to_user(memslot: KvmMemorySlot, words: list[int]) -> list[int]:
    """Copy the log to userspace, and note the gfns in it as an event."""
    offsets = (n * BITS_PER_LONG + bit for n, word in enumerate(words) for bit in _set_bits(word))
    current.scheduler.note(("logged", memslot.id, tuple(memslot.base_gfn + offset for offset in offsets)))
    return words


def _set_bits(word: int) -> Iterator[int]:
    """The numbers of the bits that are set, lowest first."""
    while word:
        yield (word & -word).bit_length() - 1
        word &= word - 1


def kvm_clear_dirty_log(vm: Vm, slot: int, as_id: int, first: int, npages: int, mask: int) -> int:
    """KVM_CLEAR_DIRTY_LOG for up to 64 pages: bit n of ``mask`` clears page ``first`` + n of the memslot.

    Return 0 or a negative errno. Pages that are not dirty in the bitmap are not touched, since the next write
    to them is recorded already.
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
            _clear_bits_of_word(vm, memslot, first, mask)
    return 0


def _clear_bits_of_word(vm: Vm, memslot: KvmMemorySlot, first: int, mask: int) -> None:
    """Clear the bits of ``mask`` in the word of page ``first``; write-protect the pages that were dirty."""
    word = first // BITS_PER_LONG
    with vm.mmu_lock.for_write:
        cleared = memslot.clear_dirty(word, mask)
        if cleared:
            kvm_arch_mmu_enable_log_dirty_pt_masked(vm, memslot, first, cleared)
    if cleared:
        kvm_flush_remote_tlbs(vm)
        gfns = tuple(memslot.base_gfn + first + bit for bit in _set_bits(cleared))
        current.scheduler.note(("cleared", memslot.id, gfns))


def kvm_arch_mmu_enable_log_dirty_pt_masked(vm: Vm, slot: KvmMemorySlot, offset: int, mask: int) -> None:
    """Prepare SPTEs so that the next write is recorded; bit n of ``mask`` selects page ``offset`` + n.

    If all pages were dirty when logging began, huge pages were not split then. They are split now. A huge
    leaf that remains is write-protected without MMU-writable, so that the next write maps a 4 KiB page. The
    pages of one word can lie in two 2 MiB pages, since the memslot need not be aligned.
    """
    gfn = slot.base_gfn + offset
    if vm.dirty_log_initially_set and vm.k.has(HUGE_PAGES_PROTECTED_LAZILY):
        first = gfn + (mask & -mask).bit_length() - 1
        last = gfn + mask.bit_length() - 1
        if vm.options.eager_page_split:
            end = last + 1 if vm.k.has(SPLIT_LAST_CLEARED) else last
            kvm_mmu_try_split_huge_pages(vm, slot, first, end, PG_LEVEL_4K)
        kvm_mmu_slot_gfn_write_protect(vm, slot, first, PG_LEVEL_2M)
        if _round_up_2m(first) != _round_up_2m(last):
            kvm_mmu_slot_gfn_write_protect(vm, slot, last, PG_LEVEL_2M)
    if vm.has_pml:
        kvm_mmu_clear_dirty_pt_masked(vm, slot, gfn, mask)
    else:
        kvm_mmu_write_protect_pt_masked(vm, slot, gfn, mask)


def _round_up_2m(gfn: int) -> int:
    """``gfn`` rounded up to a 2 MiB page, in units of 2 MiB."""
    return (gfn + 511) // 512

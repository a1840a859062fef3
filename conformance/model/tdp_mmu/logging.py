# SPDX-License-Identifier: GPL-2.0-only
"""Preparing SPTEs for the dirty log, so that KVM records the next write to a page.

Either W is cleared, so that the write faults, or Dirty is cleared, so that the processor logs the page when
it sets Dirty again (PML). MMU-writable stays set: a fast page fault may restore W without mmu_lock.
"""

from __future__ import annotations

from collections.abc import Iterator

from conformance.model.changes import CLEAR_SPTE_BITS
from conformance.model.layout import PG_LEVEL_4K, PT_WRITABLE_MASK
from conformance.model.tdp_mmu.changed_spte import (
    clear_entry_bits,
    maps_page,
    tdp_mmu_set_spte,
    tdp_mmu_set_spte_atomic,
)
from conformance.model.tdp_mmu.root_list import each_root
from conformance.model.tdp_mmu.tdp_iter import Entry, TdpIter
from conformance.model.tdp_mmu.zap import tdp_mmu_iter_cond_resched
from conformance.model.vm.host_marks import kvm_set_pfn_dirty
from conformance.model.vm.host_pages import pages_per
from conformance.model.vm.memslots import KvmMemorySlot
from conformance.model.vm.vm import Vm, kvm_ad_enabled
from conformance.model.words import clear

__all__ = [
    "kvm_tdp_mmu_clear_dirty_pt_masked",
    "kvm_tdp_mmu_clear_dirty_slot",
    "kvm_tdp_mmu_write_protect_gfn",
    "kvm_tdp_mmu_wrprot_slot",
]


def _leaves_in_range(
    vm: Vm, slot: KvmMemorySlot, start: int, end: int, min_level: int = PG_LEVEL_4K
) -> Iterator[Entry]:
    """The leaves at ``min_level`` and above that map gfns in [``start``, ``end``), in all valid roots.

    Invalid roots are skipped: each vCPU drops its invalid root before it enters the guest again. A walk over
    the whole slot yields if rescheduling is needed, and need not flush first, since the caller flushes at the
    end in any case.
    """
    can_yield = (start, end) == (slot.base_gfn, slot.end_gfn)
    for root in each_root(vm, slot.as_id, only_valid=True):
        walk = TdpIter(vm.memory, root, start, end, min_level)
        with vm.memory.rcu:
            for entry in walk:
                if maps_page(vm, entry):
                    yield entry
                    if can_yield and vm.need_resched:
                        tdp_mmu_iter_cond_resched(vm, walk, False, entry.gfn + pages_per(entry.level))


def _bit_to_clear(vm: Vm, wrprot: bool) -> int:
    """The bit to clear so that the next write is recorded: W, or Dirty if the processor maintains it."""
    return PT_WRITABLE_MASK if wrprot or not kvm_ad_enabled(vm.k) else vm.k.shadow_dirty_mask


def kvm_tdp_mmu_wrprot_slot(vm: Vm, slot: KvmMemorySlot, min_level: int) -> None:
    """Clear W of all leaves of the slot at ``min_level`` and above. The caller flushes TLBs."""
    for entry in _leaves_in_range(vm, slot, slot.base_gfn, slot.end_gfn, min_level):
        _clear_bit_atomic(vm, entry, PT_WRITABLE_MASK)


def kvm_tdp_mmu_clear_dirty_slot(vm: Vm, slot: KvmMemorySlot) -> None:
    """Clear Dirty (or W without A/D bits) of all leaves of the slot. The caller flushes TLBs."""
    bit = _bit_to_clear(vm, wrprot=False)
    for entry in _leaves_in_range(vm, slot, slot.base_gfn, slot.end_gfn):
        _clear_bit_atomic(vm, entry, bit)


def _clear_bit_atomic(vm: Vm, entry: Entry, bit: int) -> None:
    """Clear ``bit`` of a leaf under mmu_lock for read, repeating until it is clear or no longer a leaf."""
    while maps_page(vm, entry) and entry.old_spte & bit:
        if tdp_mmu_set_spte_atomic(vm, entry, int(clear(entry.old_spte, bit))):
            return


def kvm_tdp_mmu_clear_dirty_pt_masked(vm: Vm, slot: KvmMemorySlot, gfn: int, mask: int, wrprot: bool) -> None:
    """Clear W (``wrprot``) or Dirty of 4 KiB leaves, under mmu_lock for write.

    Bit n of ``mask``, of 64 bits, selects ``gfn`` + n. Until v6.4 the whole SPTE was written, as for any
    other change; since then only the bit is cleared.
    """
    bit = _bit_to_clear(vm, wrprot)
    first = (mask & -mask).bit_length() - 1
    for entry in _leaves_in_range(vm, slot, gfn + first, gfn + mask.bit_length()):
        selected = entry.level == PG_LEVEL_4K and mask >> entry.gfn - gfn & 1
        if selected and entry.old_spte & bit:
            if vm.k.has(CLEAR_SPTE_BITS):
                kvm_set_pfn_dirty(vm, clear_entry_bits(vm, entry, bit))
            else:
                tdp_mmu_set_spte(vm, entry, int(clear(entry.old_spte, bit)))


def kvm_tdp_mmu_write_protect_gfn(vm: Vm, slot: KvmMemorySlot, gfn: int, min_level: int) -> bool:
    """Clear W and MMU-writable of the leaf that maps ``gfn``, at ``min_level`` or above.

    Without MMU-writable no fast page fault restores W. The dirty log uses this for huge pages, which must be
    split before they are written. Return whether a leaf changed, so that the caller must flush TLBs.
    """
    protected = False
    for entry in _leaves_in_range(vm, slot, gfn, gfn + 1, min_level):
        new_spte = int(clear(entry.old_spte, PT_WRITABLE_MASK | vm.k.shadow_mmu_writable_mask))
        if new_spte != entry.old_spte:
            tdp_mmu_set_spte(vm, entry, new_spte)
            protected = True
    return protected

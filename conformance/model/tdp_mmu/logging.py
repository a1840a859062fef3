# SPDX-License-Identifier: GPL-2.0-only
"""What the dirty log asks of SPTEs: that the next write to a page is noticed.

Either the page is write-protected, so that the write faults, or Dirty is cleared and the processor
logs the page when it sets it again (PML). MMU-writable stays set, for the fault may give W back at once.
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


def _leaves(
    vm: Vm, slot: KvmMemorySlot, start: int, end: int, min_level: int = PG_LEVEL_4K
) -> Iterator[Entry]:
    """The leaves from ``min_level`` up that map frames in the range, in all valid roots of the slot.

    Invalid roots map nothing that a vCPU could still write through. A walk over a whole slot yields if
    rescheduling is needed, without a flush: one follows at the end in any case.
    """
    whole = (start, end) == (slot.base_gfn, slot.end_gfn)
    for root in each_root(vm, slot.as_id, only_valid=True):
        walk = TdpIter(vm.memory, root, start, end, min_level)
        with vm.memory.rcu:
            for entry in walk:
                if maps_page(vm, entry):
                    yield entry
                    if whole and vm.need_resched:
                        tdp_mmu_iter_cond_resched(vm, walk, False, entry.gfn + pages_per(entry.level))


def _dirty_bit(vm: Vm, wrprot: bool) -> int:
    """The bit that says that a page can be written unnoticed: W, or Dirty if the processor keeps it."""
    return PT_WRITABLE_MASK if wrprot or not kvm_ad_enabled(vm.k) else vm.k.shadow_dirty_mask


def kvm_tdp_mmu_wrprot_slot(vm: Vm, slot: KvmMemorySlot, min_level: int) -> None:
    """Take W from all leaves of the slot at ``min_level`` and above. The caller flushes."""
    for entry in _leaves(vm, slot, slot.base_gfn, slot.end_gfn, min_level):
        _clear_atomic(vm, entry, PT_WRITABLE_MASK)


def kvm_tdp_mmu_clear_dirty_slot(vm: Vm, slot: KvmMemorySlot) -> None:
    """Make all leaves of the slot clean, huge ones too. The caller flushes."""
    bit = _dirty_bit(vm, wrprot=False)
    for entry in _leaves(vm, slot, slot.base_gfn, slot.end_gfn):
        _clear_atomic(vm, entry, bit)


def _clear_atomic(vm: Vm, entry: Entry, bit: int) -> None:
    """Clear ``bit`` of a leaf under mmu_lock for read, as long as it is a leaf and has it."""
    while maps_page(vm, entry) and entry.old_spte & bit:
        if tdp_mmu_set_spte_atomic(vm, entry, int(clear(entry.old_spte, bit))):
            return


def kvm_tdp_mmu_clear_dirty_pt_masked(vm: Vm, slot: KvmMemorySlot, gfn: int, mask: int, wrprot: bool) -> None:
    """Make 4 KiB pages notice writes again: those of the 64 from ``gfn`` whose bit in ``mask`` is set.

    Until v6.4 the whole SPTE was set, as for any other change; since then the bit alone is cleared.
    """
    bit = _dirty_bit(vm, wrprot)
    first = (mask & -mask).bit_length() - 1
    for entry in _leaves(vm, slot, gfn + first, gfn + mask.bit_length()):
        if entry.level == PG_LEVEL_4K and mask >> entry.gfn - gfn & 1 and entry.old_spte & bit:
            if vm.k.has(CLEAR_SPTE_BITS):
                kvm_set_pfn_dirty(vm, clear_entry_bits(vm, entry, bit))
            else:
                tdp_mmu_set_spte(vm, entry, int(clear(entry.old_spte, bit)))


def kvm_tdp_mmu_write_protect_gfn(vm: Vm, slot: KvmMemorySlot, gfn: int, min_level: int) -> bool:
    """Take W and MMU-writable from the leaf that maps ``gfn``, if it is of ``min_level`` or larger.

    So no fast page fault gives W back: for the dirty log a huge page must be split before it is written.
    Whether something changed, which needs a flush.
    """
    protected = False
    for entry in _leaves(vm, slot, gfn, gfn + 1, min_level):
        new_spte = int(clear(entry.old_spte, PT_WRITABLE_MASK | vm.k.shadow_mmu_writable_mask))
        if new_spte != entry.old_spte:
            tdp_mmu_set_spte(vm, entry, new_spte)
            protected = True
    return protected

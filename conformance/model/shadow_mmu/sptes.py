# SPDX-License-Identifier: GPL-2.0-only
"""Changing one SPTE of a shadow page, with mmu_lock held for write.

A fast page fault and the processor may change a present leaf at the same time, so bits that they set must not
be lost: such an SPTE is exchanged, another is overwritten.
"""

from __future__ import annotations

from conformance.model.changes import FLUSH_IF_MMU_WRITABLE, LOCKLESS_RMAP_AGING, VOLATILE_IF_MMU_WRITABLE
from conformance.model.layout import PT_WRITABLE_MASK
from conformance.model.semantics import Semantics
from conformance.model.spte import spte_update
from conformance.model.spte.access import (
    is_accessed_spte,
    mark_spte_for_access_track,
    spte_ad_enabled,
    spte_ad_need_write_protect,
    spte_has_volatile_bits,
)
from conformance.model.spte.predicates import is_shadow_present_pte
from conformance.model.spte.spte_update import Update
from conformance.model.spte.writability import is_mmu_writable_spte, is_writable_pte
from conformance.model.vm.host_marks import kvm_set_pfn_dirty, report_lost_bits
from conformance.model.vm.pte_list import Sptep
from conformance.model.vm.vm import Vm
from conformance.model.words import clear

__all__ = [
    "mmu_spte_age",
    "mmu_spte_clear_no_track",
    "mmu_spte_clear_track_bits",
    "mmu_spte_set",
    "mmu_spte_update",
    "spte_clear_dirty_or_writable",
    "spte_write_protect",
]


def mmu_spte_set(vm: Vm, sptep: Sptep, new_spte: int) -> None:
    """Store an SPTE where none is present."""
    sp, at = sptep
    vm.k.warn_on("mmu_spte_set", is_shadow_present_pte(vm.k, sp.read(at)))
    sp.write(at, new_spte)


def mmu_spte_update(vm: Vm, sptep: Sptep, new_spte: int) -> bool:
    """Replace an SPTE by another for the same page; return whether TLBs must be flushed.

    An SPTE that is not present is set, for which no flush is needed.
    """
    sp, at = sptep
    old_spte = sp.read(at)
    if not is_shadow_present_pte(vm.k, old_spte):
        mmu_spte_set(vm, sptep, new_spte)
        return False
    raced = _replace(vm, sptep, old_spte, new_spte)
    return _flush(vm, spte_update.mmu_spte_update(vm.k, old_spte, raced, new_spte))


def _replace(vm: Vm, sptep: Sptep, old_spte: int, new_spte: int) -> int:
    """Replace a present SPTE; return the one that was replaced, as far as that is known."""
    sp, at = sptep
    if _volatile(vm.k, old_spte):
        return sp.xchg(at, new_spte)
    sp.write(at, new_spte)
    return old_spte


def _volatile(k: Semantics, spte: int) -> bool:
    """Whether a present SPTE must be replaced atomically, since its bits may change concurrently.

    Without VOLATILE_IF_MMU_WRITABLE it is not considered that a fast page fault may set W.
    """
    if not k.has(VOLATILE_IF_MMU_WRITABLE):
        spte = int(clear(spte, k.shadow_mmu_writable_mask))
    return bool(spte_has_volatile_bits(k, spte))


def _flush(vm: Vm, update: Update) -> bool:
    """Mark the host's pages as the change of an SPTE requires; return whether TLBs must be flushed."""
    vm.host.flags.accessed.update({int(update.pfn_accessed)} - {0})
    vm.host.flags.dirty.update({int(update.pfn_dirty)} - {0})
    return bool(update.value)


def mmu_spte_clear_track_bits(vm: Vm, sptep: Sptep) -> int:
    """Clear a leaf and mark its host page; return the SPTE that it was, which may be not present."""
    sp, at = sptep
    old_spte = sp.read(at)
    if not is_shadow_present_pte(vm.k, old_spte):
        sp.write(at, sp.initial)
        return old_spte
    old_spte = _replace(vm, sptep, old_spte, sp.initial)
    vm.pages[sp.level] -= 1
    report_lost_bits(vm, old_spte, None)
    return old_spte


def mmu_spte_clear_no_track(sptep: Sptep) -> None:
    """Clear an SPTE that points to a table, or one for MMIO."""
    sp, at = sptep
    sp.write(at, sp.initial)


def spte_write_protect(vm: Vm, sptep: Sptep, pt_protect: bool) -> bool:
    """Clear W; return whether TLBs must be flushed.

    With ``pt_protect``, for a table of the guest, MMU-writable is cleared too, so that no fast page fault
    sets W again. Without, for the dirty log, one may. If MMU-writable was set, TLBs must be flushed even if W
    was read as clear: W may have been set, and the translation cached, after the read.
    """
    spte = sptep.sp.read(sptep.at)
    if not is_writable_pte(spte) and not (pt_protect and is_mmu_writable_spte(vm.k, spte)):
        return False
    taken = PT_WRITABLE_MASK | (vm.k.shadow_mmu_writable_mask if pt_protect else 0)
    flush = mmu_spte_update(vm, sptep, int(clear(spte, taken)))
    return flush if vm.k.has(FLUSH_IF_MMU_WRITABLE) else bool(is_writable_pte(spte))


def spte_clear_dirty_or_writable(vm: Vm, sptep: Sptep) -> bool:
    """Clear Dirty, or W where the processor does not log by Dirty; return whether the bit was set."""
    sp, at = sptep
    spte = sp.read(at)
    if not spte_ad_need_write_protect(vm.k, spte):
        return mmu_spte_update(vm, sptep, int(clear(spte, vm.k.shadow_dirty_mask)))
    old_spte = sp.fetch_and(at, ~PT_WRITABLE_MASK)
    return _flush(vm, spte_update.spte_wrprot_for_clear_dirty(vm.k, old_spte))


def mmu_spte_age(vm: Vm, sptep: Sptep, test_only: bool) -> bool:
    """Return whether a leaf was used since it was last aged; unless ``test_only``, age it.

    Since LOCKLESS_RMAP_AGING mmu_lock is not held. A leaf that another thread changes is in use or is zapped,
    so that a failed compare-and-exchange is not repeated.
    """
    sp, at = sptep
    spte = sp.read(at)
    if not is_accessed_spte(vm.k, spte):
        return False
    if test_only:
        return True
    new_spte = int(mark_spte_for_access_track(vm.k, spte))
    if spte_ad_enabled(vm.k, spte):
        sp.fetch_and(at, ~vm.k.shadow_accessed_mask)
        return True
    if vm.k.has(LOCKLESS_RMAP_AGING):
        sp.cmpxchg(at, spte, new_spte)
        return True
    if is_writable_pte(spte):
        kvm_set_pfn_dirty(vm, spte)
    raced = _replace(vm, sptep, spte, new_spte)
    spte_update.mmu_spte_update(vm.k, spte, raced, new_spte)
    return True

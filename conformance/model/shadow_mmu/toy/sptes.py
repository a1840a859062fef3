# SPDX-License-Identifier: GPL-2.0-only
"""Changing SPTEs of the shadow page under mmu_lock, concurrently with fast page faults and the processor."""

from __future__ import annotations

from conformance.model.changes import FLUSH_IF_MMU_WRITABLE, VOLATILE_IF_MMU_WRITABLE
from conformance.model.layout import PT_WRITABLE_MASK
from conformance.model.shadow_mmu.toy.page import Guest
from conformance.model.spte.access import is_accessed_spte, is_dirty_spte, spte_has_volatile_bits
from conformance.model.spte.predicates import is_shadow_present_pte, spte_to_pfn
from conformance.model.spte.writability import is_mmu_writable_spte, is_writable_pte
from conformance.model.words import any_set, clear

__all__ = ["mmu_spte_clear_track_bits", "rmap_write_protect"]


def volatile(guest: Guest, spte: int) -> bool:
    """Whether a present SPTE must be replaced atomically, since its bits may change concurrently.

    Before VOLATILE_IF_MMU_WRITABLE only Accessed and Dirty counted, and not W, which a fast page fault sets.
    """
    if guest.k.has(VOLATILE_IF_MMU_WRITABLE):
        return bool(spte_has_volatile_bits(guest.k, spte))
    accessed, dirty = any_set(spte, guest.k.shadow_accessed_mask), any_set(spte, guest.k.shadow_dirty_mask)
    return bool(not accessed or (is_writable_pte(spte) and not dirty))


def mmu_spte_update(guest: Guest, page: int, new_spte: int) -> int:
    """Replace a present SPTE by one for the same pfn; return the value that was replaced."""
    old_spte = guest.sp.read(page)
    if volatile(guest, old_spte):
        return guest.sp.xchg(page, new_spte)
    guest.sp.write(page, new_spte)
    return old_spte


def mmu_spte_clear_track_bits(guest: Guest, page: int) -> None:
    """Zap an SPTE, and mark its pfn accessed and dirty in the host as the SPTE was."""
    k = guest.k
    old_spte = guest.sp.read(page)
    if not is_shadow_present_pte(k, old_spte):
        return
    if volatile(guest, old_spte):
        old_spte = guest.sp.xchg(page, guest.sp.initial)
    else:
        guest.sp.write(page, guest.sp.initial)
    pfn = int(spte_to_pfn(k, old_spte))
    if is_accessed_spte(k, old_spte):
        guest.flags.accessed.add(pfn)
    if is_dirty_spte(k, old_spte):
        guest.flags.dirty.add(pfn)


def rmap_write_protect(guest: Guest, gfn: int, pt_protect: bool) -> bool:
    """Clear W of all SPTEs for ``gfn``; return whether TLBs must be flushed. See spte_write_protect()."""
    flush = False
    for page in guest.rmap(gfn):
        flush |= spte_write_protect(guest, page, pt_protect)
    return flush


def spte_write_protect(guest: Guest, page: int, pt_protect: bool) -> bool:
    """Clear W of an SPTE; return whether TLBs must be flushed.

    With ``pt_protect`` MMU-writable is cleared too, so that no fast page fault sets W again. If MMU-writable
    was set, TLBs must be flushed even if W was read as clear: W may have been set, and the translation
    cached, after the read.
    """
    k = guest.k
    spte = guest.sp.read(page)
    if not is_writable_pte(spte) and not (pt_protect and is_mmu_writable_spte(k, spte)):
        return False
    new_spte = int(clear(spte, PT_WRITABLE_MASK | (k.shadow_mmu_writable_mask if pt_protect else 0)))
    old_spte = mmu_spte_update(guest, page, new_spte)
    if not k.has(FLUSH_IF_MMU_WRITABLE):
        return bool(is_writable_pte(spte))
    return bool(is_mmu_writable_spte(k, old_spte))

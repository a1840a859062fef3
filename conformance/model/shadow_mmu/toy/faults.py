# SPDX-License-Identifier: GPL-2.0-only
"""One access of the guest under shadow paging: the processor, the fast page fault, and the slow path."""

from __future__ import annotations

from conformance.interface.access import WRITE, End
from conformance.interface.memory_access import Access
from conformance.model.changes import FAST_FAULT_DIRECT_ONLY
from conformance.model.layout import (
    PAGE_SHIFT,
    PT_ACCESSED_MASK,
    PT_DIRTY_MASK,
    PT_PRESENT_MASK,
    PT_USER_MASK,
    PT_WRITABLE_MASK,
)
from conformance.model.shadow_mmu.toy.page import Guest, Translation
from conformance.model.spte.predicates import is_shadow_present_pte, spte_to_pfn
from conformance.model.spte.writability import is_mmu_writable_spte, is_writable_pte
from conformance.model.vm.cells import peek, place_of
from conformance.model.vm.places import BITMAPS, place
from conformance.model.vm.scheduler import current
from conformance.model.vm.vm import IN_GUEST_MODE, OUTSIDE_GUEST_MODE, KvmVcpu, Request

__all__ = ["run_access"]

FAST, SLOW, TRAPPED = 13, 14, 11
"""Codes of exits: the fast path fixed the fault, the slow path mapped or retries, a write is emulated."""

DONE, GAVE_UP = int(End.DONE), int(End.GAVE_UP)
MAX_EXITS = 6
"""After so many exits the access is given up."""


def run_access(guest: Guest, vcpu: KvmVcpu, page: int, kind: int) -> list[int]:
    """Run one access; return the codes of its exits and how it ended.

    A write to a page table of the guest is emulated; its code is the last.
    """
    exits: list[int] = []
    while len(exits) < MAX_EXITS:
        vcpu_enter_guest(guest, vcpu)
        completed = guest_access(guest, vcpu, page, kind)
        vcpu.mode = OUTSIDE_GUEST_MODE
        if completed:
            return [*exits, DONE]
        if kind == WRITE and fast_page_fault(guest, page):
            exits.append(FAST)
        else:
            exits.append(paging64_page_fault(guest, page, kind == WRITE))
            if exits[-1] == TRAPPED:
                return exits
            current.scheduler.retry(False)
    return [*exits, GAVE_UP]


def vcpu_enter_guest(guest: Guest, vcpu: KvmVcpu) -> None:
    """Serve a request to flush and enter the guest; repeat if another request arrived before the entry."""
    while True:
        if Request.TLB_FLUSH in vcpu.pending_requests():
            vcpu.clear_request(Request.TLB_FLUSH)
            guest.tlbs[vcpu.id] = {}
        vcpu.mode = IN_GUEST_MODE
        vcpu.stays += 1
        if vcpu.mode == IN_GUEST_MODE and not vcpu.pending_requests():
            return
        vcpu.mode = OUTSIDE_GUEST_MODE


def guest_access(guest: Guest, vcpu: KvmVcpu, page: int, kind: int) -> bool:
    """Perform one access; return True if it completes. Set Accessed and Dirty, and cache the translation."""
    tlb = guest.tlbs.setdefault(vcpu.id, {})
    cached = tlb.get(page)
    while cached is None or (kind == WRITE and not (cached.writable and cached.dirty)):
        spte = guest.sp.read(page)
        if not spte & PT_PRESENT_MASK or (kind == WRITE and not spte & PT_WRITABLE_MASK):
            tlb.pop(page, None)
            return False
        new_spte = spte | PT_ACCESSED_MASK | (PT_DIRTY_MASK if kind == WRITE else 0)
        if new_spte != spte and guest.sp.cmpxchg(page, spte, new_spte) != spte:
            continue
        gfn = guest.gptes.get(page, page)
        pfn = int(spte_to_pfn(guest.k, spte))
        cached = Translation(gfn, pfn, bool(is_writable_pte(spte)), bool(new_spte & PT_DIRTY_MASK))
        tlb[page] = cached
    current.scheduler.note(("access", vcpu.id, cached.gfn, kind, cached.pfn))
    return True


def fast_page_fault(guest: Guest, page: int) -> bool:
    """Set W without mmu_lock, and mark the gfn dirty that the guest's page table held at the start.

    Only in a direct page is that certainly the gfn of the SPTE. In an indirect page the pfn may have been
    reused for another gfn in between, so that the SPTE has the same value again and the exchange succeeds.
    """
    if not guest.direct and guest.k.has(FAST_FAULT_DIRECT_ONLY):
        return False
    gfn = guest.gpte(page)
    spte = guest.sp.read(page)
    if not is_shadow_present_pte(guest.k, spte) or not is_mmu_writable_spte(guest.k, spte):
        return False
    if guest.sp.cmpxchg(page, spte, spte | PT_WRITABLE_MASK) != spte:
        return False
    if not is_writable_pte(spte):
        mark_page_dirty(guest, gfn)
    return True


def paging64_page_fault(guest: Guest, page: int, write: bool) -> int:
    """The slow path: look up gfn and pfn, then install the SPTE under mmu_lock; return SLOW or TRAPPED."""
    seq = guest.invalidate_seq
    gfn = guest.gpte(page)
    pfn = guest.map_gfn(gfn)
    with guest.mmu_lock.for_write:
        if guest.invalidate_in_progress:
            name = "invalidate_in_progress"
            current.scheduler.stall(place_of(guest, name), lambda: not peek(guest, name))
            return SLOW
        if seq != guest.invalidate_seq or guest.gpte(page) != gfn:
            return SLOW
        if write and gfn in guest.write_tracked:
            return TRAPPED
        set_spte(guest, page, gfn, pfn)
    return SLOW


def set_spte(guest: Guest, page: int, gfn: int, pfn: int) -> None:
    """Install the SPTE for ``page``, writable unless its gfn is write-tracked, and mark the gfn dirty.

    The processor sets Dirty later, when the guest writes.
    """
    k = guest.k
    spte = k.layout.spte_mmu_present_mask | PT_PRESENT_MASK | PT_USER_MASK | PT_ACCESSED_MASK
    spte |= pfn << PAGE_SHIFT | k.shadow_host_writable_mask
    if gfn not in guest.write_tracked:
        spte |= PT_WRITABLE_MASK | k.shadow_mmu_writable_mask
        mark_page_dirty(guest, gfn)
    guest.sp.write(page, spte)
    guest.gfn_of_spte[page] = gfn


def mark_page_dirty(guest: Guest, gfn: int) -> None:
    """Set the bit of ``gfn`` in the dirty bitmap, if writes are logged."""
    if guest.logged:
        current.scheduler.access(Access.RMW, place(BITMAPS))
        guest.dirty_bitmap |= 1 << gfn

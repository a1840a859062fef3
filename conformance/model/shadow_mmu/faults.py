# SPDX-License-Identifier: GPL-2.0-only
"""An instruction of the guest under shadow paging: the processor, the fast page fault, and the slow one."""

from __future__ import annotations

from conformance.interface.access import WRITE, End
from conformance.model.changes import FAST_FAULT_DIRECT_ONLY
from conformance.model.layout import (
    PAGE_SHIFT,
    PT_ACCESSED_MASK,
    PT_DIRTY_MASK,
    PT_PRESENT_MASK,
    PT_USER_MASK,
    PT_WRITABLE_MASK,
)
from conformance.model.shadow_mmu.page import Guest, Translation
from conformance.model.spte.predicates import is_shadow_present_pte, spte_to_pfn
from conformance.model.spte.writability import is_mmu_writable_spte, is_writable_pte
from conformance.model.vm.cells import peek, place_of
from conformance.model.vm.places import BITMAPS, RMW, place
from conformance.model.vm.scheduler import access, current, note
from conformance.model.vm.vm import IN_GUEST_MODE, OUTSIDE_GUEST_MODE, KvmVcpu, Request

__all__ = ["run_access"]

FAST, SLOW, TRAPPED = 13, 14, 11
WENT_THROUGH, GAVE_UP = int(End.DONE), int(End.GAVE_UP)
MAX_EXITS = 6


def run_access(guest: Guest, vcpu: KvmVcpu, page: int, kind: int) -> list[int]:
    """The exits of one access, and how it ended; a write to a page table is trapped, and emulated."""
    exits: list[int] = []
    while len(exits) < MAX_EXITS:
        vcpu_enter_guest(guest, vcpu)
        done = guest_access(guest, vcpu, page, kind)
        vcpu.mode = OUTSIDE_GUEST_MODE
        if done:
            return [*exits, WENT_THROUGH]
        if kind == WRITE and fast_page_fault(guest, page):
            exits.append(FAST)
        else:
            exits.append(paging64_page_fault(guest, page, kind == WRITE))
            if exits[-1] == TRAPPED:
                return exits
            current.scheduler.retry(False)
    return [*exits, GAVE_UP]


def vcpu_enter_guest(guest: Guest, vcpu: KvmVcpu) -> None:
    """Serve the request for a flush and enter the guest, unless there is another by then."""
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
    """Whether the processor lets the access through; it remembers the translation, and sets A and D."""
    tlb = guest.tlbs.setdefault(vcpu.id, {})
    known = tlb.get(page)
    while known is None or (kind == WRITE and not (known.writable and known.dirty)):
        spte = guest.sp.read(page)
        if not spte & PT_PRESENT_MASK or (kind == WRITE and not spte & PT_WRITABLE_MASK):
            tlb.pop(page, None)
            return False
        wanted = spte | PT_ACCESSED_MASK | (PT_DIRTY_MASK if kind == WRITE else 0)
        if wanted != spte and guest.sp.cmpxchg(page, spte, wanted) != spte:
            continue
        gfn = guest.gptes.get(page, page)
        pfn = int(spte_to_pfn(guest.k, spte))
        known = Translation(gfn, pfn, bool(is_writable_pte(spte)), bool(wanted & PT_DIRTY_MASK))
        tlb[page] = known
    note(("access", vcpu.id, known.gfn, kind, known.pfn))
    return True


def fast_page_fault(guest: Guest, page: int) -> bool:
    """Give W back without mmu_lock, and mark the gfn dirty that the guest's table had when the fault began.

    That is the gfn of the SPTE only if the two cannot part: the page is direct. Else the frame may have
    been given to another gfn, and the SPTE have come to be the same again (seed 4, case 1).
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
    """Look the gfn up in the guest's table and its frame in the host's, and make the SPTE under mmu_lock."""
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
    """Map a page of the guest, for writing too unless its gfn is a page table.

    As then: the processor sets Dirty, and until the log takes it the page counts as dirty.
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
    """Log that the guest may have written ``gfn``."""
    if guest.logged:
        access(RMW, place(BITMAPS))
        guest.dirty_bitmap |= 1 << gfn

# SPDX-License-Identifier: GPL-2.0-only
"""The steps of shadow paging's races, by name. All arguments and outcomes are ints."""

from __future__ import annotations

from conformance.interface.memory_access import Access
from conformance.model.shadow_mmu.toy.faults import run_access, set_spte
from conformance.model.shadow_mmu.toy.page import Guest
from conformance.model.shadow_mmu.toy.sptes import mmu_spte_clear_track_bits, rmap_write_protect
from conformance.model.vm.places import BITMAPS, HOST_PTES, place
from conformance.model.vm.scheduler import current

__all__ = ["STEPS"]


def access(guest: Guest, vcpu: int, page: int, kind: int) -> list[int]:
    """Run one access that reads (1) or writes (2) ``page``."""
    return run_access(guest, guest.vcpus[vcpu], page, kind)


def set_gpte(guest: Guest, page: int, gfn: int) -> list[int]:
    """The guest maps ``page`` to another gfn. KVM traps the write and replaces the SPTE."""
    pfn = guest.map_gfn(gfn)
    with guest.mmu_lock.for_write:
        mmu_spte_clear_track_bits(guest, page)
        guest.gfn_of_spte.pop(page, None)
        guest.write_gpte(page, gfn)
        if guest.gfn_to_pfn(gfn) == pfn and not guest.invalidate_in_progress:
            set_spte(guest, page, gfn, pfn)
        guest.kvm_flush_remote_tlbs()
    return [0]


def swap_out(guest: Guest, gfn: int) -> list[int]:
    """The host reclaims the pfn of ``gfn``, and may allocate it for another gfn."""
    with guest.mmu_lock.for_write:
        guest.invalidate_in_progress += 1
        for page in guest.rmap(gfn):
            mmu_spte_clear_track_bits(guest, page)
        guest.kvm_flush_remote_tlbs()
    current.scheduler.access(Access.WRITE, place(HOST_PTES, word=gfn))
    pfn = guest.host.pop(gfn, None)
    if pfn is not None:
        current.scheduler.note(("released", pfn))
        guest.free.append(pfn)
    with guest.mmu_lock.for_write:
        guest.invalidate_seq += 1
        guest.invalidate_in_progress -= 1
    return [0]


def shadow_gfn(guest: Guest, gfn: int) -> list[int]:
    """``gfn`` becomes a page table of the guest: KVM write-protects it."""
    with guest.mmu_lock.for_write:
        guest.write_tracked.add(gfn)
        if rmap_write_protect(guest, gfn, pt_protect=True):
            guest.kvm_flush_remote_tlbs()
    pfn = guest.host.get(gfn)
    if pfn is not None:
        current.scheduler.note(("protected", pfn))
    return [0]


def log(guest: Guest, on: int) -> list[int]:
    """Enable or disable dirty logging; the bitmap is cleared."""
    guest.logged, guest.dirty_bitmap = bool(on), 0
    return [0]


def get_dirty_log(guest: Guest) -> list[int]:
    """KVM_GET_DIRTY_LOG: clear the bitmap, write-protect its pages, flush TLBs, and return the bitmap."""
    with guest.mmu_lock.for_write:
        current.scheduler.access(Access.RMW, place(BITMAPS))
        taken, guest.dirty_bitmap = guest.dirty_bitmap, 0
        gfns = tuple(gfn for gfn in range(taken.bit_length()) if taken >> gfn & 1)
        for gfn in gfns:
            rmap_write_protect(guest, gfn, pt_protect=False)
    if taken:
        guest.kvm_flush_remote_tlbs()
    current.scheduler.note(("logged", 0, gfns))
    return [0, taken]


STEPS = {step.__name__: step for step in (access, set_gpte, swap_out, shadow_gfn, log, get_dirty_log)}

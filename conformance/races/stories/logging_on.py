# SPDX-License-Identifier: GPL-2.0-only
"""Logging is enabled or ends, while vCPUs write and the host reclaims a page.

The TDP MMU does both with mmu_lock held for read: an SPTE may change between its being read and its being
exchanged, and then the exchange is tried again. MMUs with rmaps hold mmu_lock for write.
"""

from __future__ import annotations

from conformance.races.race import RaceBuilder, race
from conformance.races.stories.setting import GFN, HUGE, LOG, PAGE, READ, WRITE, X2M, memory
from conformance.scenarios.modes import DIRECT_MODES, PML_MODES

SOURCE = "x86.c: kvm_mmu_slot_apply_flags(); tdp_mmu.c: tdp_mmu_set_spte_atomic()"
RMAPS = "x86.c: kvm_mmu_slot_apply_flags(); mmu.c: kvm_mmu_slot_remove_write_access()"


def aged_page_is_used(at: RaceBuilder, *, kind: int) -> None:
    """A page was written and aged; a vCPU uses it while logging begins, and writes it after that."""
    memory(at)
    at.first.access(gfn=GFN, kind=WRITE).clear_flush_young(page=PAGE).enter()
    at.thread("vcpu0").access(gfn=GFN, kind=kind)
    at.thread("user").set_memory_region(slot=0, gfn=0x100, npages=16, page=0, flags=LOG)
    at.last.access(gfn=GFN, kind=WRITE).get_dirty_log(slot=0)


@race(source=SOURCE, modes=DIRECT_MODES)
def logging_on_against_writes(at: RaceBuilder) -> None:
    """A page is write-protected while the processor sets Accessed, or a fast page fault restores W.

    If the SPTE changes meanwhile, it must still lose W before the ioctl returns.
    """
    aged_page_is_used(at, kind=WRITE)


@race(source=SOURCE, modes=PML_MODES, pml=1)
def logging_on_against_writes_with_pml(at: RaceBuilder) -> None:
    """The same with the processor's dirty log, and a read: it sets Accessed while the page loses Dirty.

    The write that follows must set Dirty again, since the processor logs just that.
    """
    aged_page_is_used(at, kind=READ)


@race(source="tdp_mmu.c: tdp_mmu_split_huge_pages_root()")
def logging_on_against_writes_to_a_huge_page(at: RaceBuilder) -> None:
    """A huge page is split for the log, and its pieces write-protected, while a vCPU writes one of them.

    The table of the pieces is linked only if the huge page is still what they were made from.
    """
    at.first.mmap(page=0, npages=X2M, level=HUGE)
    at.first.set_memory_region(slot=0, gfn=X2M, npages=X2M, page=0)
    at.first.access(gfn=X2M, kind=WRITE).clear_flush_young(page=0).enter()
    at.thread("vcpu0").access(gfn=X2M + 1, kind=WRITE)
    at.thread("user").set_memory_region(slot=0, gfn=X2M, npages=X2M, page=0, flags=LOG)
    at.last.access(gfn=X2M + 1, kind=WRITE).get_dirty_log(slot=0).grace_period().destroy()


def mapped_page_is_released(at: RaceBuilder) -> None:
    """The host reclaims a page that is mapped, while its memslot begins to be logged."""
    memory(at)
    at.first.access(gfn=GFN, kind=WRITE).enter()
    at.thread("user").set_memory_region(slot=0, gfn=0x100, npages=16, page=0, flags=LOG)
    at.thread("host").madvise_dontneed(page=PAGE)
    at.last.access(gfn=GFN, kind=READ).get_dirty_log(slot=0).grace_period().destroy()


@race(source=RMAPS, modes=DIRECT_MODES)
def logging_on_against_release(at: RaceBuilder) -> None:
    """A page is write-protected while the host reclaims it: one changes the SPTE, the other zaps it.

    What is written back after the zap would map a frame that the guest no longer has.
    """
    mapped_page_is_released(at)


@race(source="mmu.c: kvm_mmu_slot_leaf_clear_dirty()", modes=PML_MODES, pml=1)
def logging_on_against_release_with_pml(at: RaceBuilder) -> None:
    """The same with the processor's dirty log.

    The SPTE loses Dirty, not W.
    """
    mapped_page_is_released(at)


@race(source="mmu.c: kvm_mmu_zap_collapsible_sptes()", modes=DIRECT_MODES)
def logging_off_against_release(at: RaceBuilder) -> None:
    """Logging ends, so that the pieces of a huge page are zapped, and the host reclaims one of them.

    Both zap the same SPTE, of whose rmap only one may take it.
    """
    at.first.mmap(page=0, npages=X2M, level=HUGE)
    at.first.set_memory_region(slot=0, gfn=X2M, npages=X2M, page=0, flags=LOG).touch(page=0, write=1)
    at.first.access(gfn=X2M, kind=WRITE).access(gfn=X2M + 1, kind=WRITE)
    at.thread("user").set_memory_region(slot=0, gfn=X2M, npages=X2M, page=0)
    at.thread("host").madvise_dontneed(page=1)
    at.last.access(gfn=X2M + 1, kind=READ).grace_period().destroy()

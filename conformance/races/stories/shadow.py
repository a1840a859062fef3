# SPDX-License-Identifier: GPL-2.0-only
"""Races of shadow paging: the three cases of the fast page fault's notes on locking (seed 4)."""

from __future__ import annotations

from conformance.model.changes import (
    FAST_FAULT_DIRECT_ONLY,
    FLUSH_IF_MMU_WRITABLE,
    NO_PFN_DIRTY,
    VOLATILE_IF_MMU_WRITABLE,
)
from conformance.races.invariants import (
    DIRTY_FRAMES_ARE_TOLD,
    PROTECTED_IS_NOT_WRITTEN,
    WRITES_ARE_LOGGED,
)
from conformance.races.race import SHADOW, RaceBuilder, missing, race
from conformance.races.stories.setting import READ, WRITE

PAGE, OTHER = 1, 2
COMING = "shadow paging on the kernel is coming"


@race(
    source="seed 4, case 1: the mapping from gfn to pfn",
    historic=[missing(FAST_FAULT_DIRECT_ONLY, WRITES_ARE_LOGGED, coming=COMING)],
    modes=[SHADOW],
    direct=False,
)
def frame_comes_back_under_another_gfn(at: RaceBuilder) -> None:
    """A frame is swapped out and comes back for another gfn, while a fast page fault holds its old SPTE.

    The SPTE is the same bit by bit, so the compare-and-exchange succeeds, but the write is logged under the
    gfn that it was. So only SPTEs that stand for one gfn for ever are fixed without mmu_lock.
    """
    at.first.log(on=1).access(vcpu=0, page=PAGE, kind=READ).get_dirty_log()
    at.thread("vcpu0").access(vcpu=0, page=PAGE, kind=WRITE)
    at.thread("host").swap_out(gfn=PAGE).set_gpte(page=PAGE, gfn=OTHER).get_dirty_log()
    at.last.get_dirty_log()


@race(
    source="seed 4, case 2: flush tlbs due to shadow page table write-protected",
    historic=[missing(FLUSH_IF_MMU_WRITABLE, PROTECTED_IS_NOT_WRITTEN, coming=COMING)],
    modes=[SHADOW],
    vcpus=2,
)
def write_protection_skips_the_flush(at: RaceBuilder) -> None:
    """A page of the guest becomes a page table, and is write-protected: W was clear already.

    But a fast page fault may have set it in between, and a TLB have cached it. So what counts is whether
    the SPTE was MMU-writable.
    """
    at.first.log(on=1).access(vcpu=0, page=PAGE, kind=WRITE).get_dirty_log()
    at.thread("vcpu0").access(vcpu=0, page=PAGE, kind=WRITE).access(vcpu=0, page=PAGE, kind=WRITE)
    at.thread("vcpu1").shadow_gfn(gfn=PAGE)


@race(
    source="seed 4, case 3: dirty bit tracking",
    historic=[missing(VOLATILE_IF_MMU_WRITABLE, DIRTY_FRAMES_ARE_TOLD, coming=COMING, until=NO_PFN_DIRTY)],
    modes=[SHADOW],
)
def dirty_lost_in_a_clear(at: RaceBuilder) -> None:
    """An SPTE is cleared that was read-only and accessed, so that a plain store would seem to lose nothing.

    Unless a fast page fault sets W, and the processor Dirty, between the look and the store.
    """
    at.first.log(on=1).access(vcpu=0, page=PAGE, kind=READ).get_dirty_log()
    at.thread("vcpu0").access(vcpu=0, page=PAGE, kind=WRITE)
    at.thread("host").swap_out(gfn=PAGE)
    at.last.swap_out(gfn=PAGE)

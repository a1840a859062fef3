# SPDX-License-Identifier: GPL-2.0-only
"""Races in shadow paging: the three cases of the locking notes on fast page faults (seed 4)."""

from __future__ import annotations

from conformance.model.changes import (
    FAST_FAULT_DIRECT_ONLY,
    FLUSH_IF_MMU_WRITABLE,
    NO_PFN_DIRTY,
    VOLATILE_IF_MMU_WRITABLE,
)
from conformance.races.invariants import (
    DIRTY_FRAMES_ARE_REPORTED,
    PROTECTED_IS_NOT_WRITTEN,
    WRITES_ARE_LOGGED,
)
from conformance.races.race import SHADOW, RaceBuilder, missing, race
from conformance.races.stories.setting import READ, WRITE

PAGE, OTHER = 1, 2
TOY = "one shadow page of the model is no kernel"


@race(
    source="seed 4, case 1: the mapping from gfn to pfn",
    historic=[missing(FAST_FAULT_DIRECT_ONLY, WRITES_ARE_LOGGED, model_only=TOY)],
    modes=[SHADOW],
    toy=True,
    direct=False,
)
def frame_comes_back_under_another_gfn(at: RaceBuilder) -> None:
    """A frame is swapped out and mapped at another gfn, while a fast page fault holds its old SPTE.

    The new SPTE equals the old one, so the cmpxchg succeeds, but the write is logged for the old gfn. For
    that reason only SPTEs of direct MMUs, whose gfn is fixed, are fixed without mmu_lock.
    """
    at.first.log(on=1).access(vcpu=0, page=PAGE, kind=READ).get_dirty_log()
    at.thread("vcpu0").access(vcpu=0, page=PAGE, kind=WRITE)
    at.thread("host").swap_out(gfn=PAGE).set_gpte(page=PAGE, gfn=OTHER).get_dirty_log()
    at.last.get_dirty_log()


@race(
    source="seed 4, case 2: flush tlbs due to shadow page table write-protected",
    historic=[missing(FLUSH_IF_MMU_WRITABLE, PROTECTED_IS_NOT_WRITTEN, model_only=TOY)],
    modes=[SHADOW],
    toy=True,
    vcpus=2,
)
def write_protection_skips_the_flush(at: RaceBuilder) -> None:
    """A guest page becomes a page table and is write-protected, when W was already clear.

    A fast page fault may have set W in between, and a TLB may have cached it. For that reason the TLBs must
    be flushed if the SPTE was MMU-writable, not only if W was set.
    """
    at.first.log(on=1).access(vcpu=0, page=PAGE, kind=WRITE).get_dirty_log()
    at.thread("vcpu0").access(vcpu=0, page=PAGE, kind=WRITE).access(vcpu=0, page=PAGE, kind=WRITE)
    at.thread("vcpu1").shadow_gfn(gfn=PAGE)


@race(
    source="seed 4, case 3: dirty bit tracking",
    historic=[
        missing(VOLATILE_IF_MMU_WRITABLE, DIRTY_FRAMES_ARE_REPORTED, model_only=TOY, until=NO_PFN_DIRTY)
    ],
    modes=[SHADOW],
    toy=True,
)
def dirty_lost_in_a_clear(at: RaceBuilder) -> None:
    """An SPTE that was read-only and accessed is cleared; a plain store seems to lose nothing.

    It loses Dirty if a fast page fault sets W, and the processor Dirty, between the read and the store.
    """
    at.first.log(on=1).access(vcpu=0, page=PAGE, kind=READ).get_dirty_log()
    at.thread("vcpu0").access(vcpu=0, page=PAGE, kind=WRITE)
    at.thread("host").swap_out(gfn=PAGE)
    at.last.swap_out(gfn=PAGE)

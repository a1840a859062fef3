# SPDX-License-Identifier: GPL-2.0-only
"""Overwriting volatile SPTEs: meanwhile the processor sets Dirty, or a fast page fault sets W.

From the commit message of seed 5: a bit set between the read and a plain write is lost.
"""

from __future__ import annotations

from conformance.kernels.substitutions import ITER_H, TDP_C, Substitution
from conformance.model.changes import NO_PFN_DIRTY, NX_RECOVERY_SKIPS_LOGGED, REMOVED_BY_XCHG, TDP_XCHG
from conformance.races.invariants import DIRTY_FRAMES_ARE_REPORTED
from conformance.races.race import RaceBuilder, missing, race
from conformance.races.stories.setting import (
    FETCH,
    GFN,
    HUGE,
    LOG,
    PAGE,
    READ,
    WRITE,
    X2M,
    memory,
)

XCHG = "spte_has_volatile_bits(old_spte))\n\t\treturn kvm_tdp_mmu_write_spte_atomic(sptep, new_spte);"
PLAIN_WRITE = Substitution(ITER_H, XCHG, XCHG.replace("(old_spte))", "(old_spte) && 0)"))
SEED_5 = "seed 5: Use atomic XCHG to write TDP MMU SPTEs with volatile bits"


def clean_page(at: RaceBuilder) -> None:
    """Set up a page that was written and reported; the next write sets Dirty, or W by a fast page fault."""
    memory(at, flags=LOG)
    at.first.access(gfn=GFN, kind=WRITE).get_dirty_log(slot=0).enter()


@race(
    source=SEED_5,
    historic=[missing(TDP_XCHG, DIRTY_FRAMES_ARE_REPORTED, PLAIN_WRITE, until=NO_PFN_DIRTY)],
    modes=["ept-ad"],
    pml=1,
)
def dirty_lost_in_a_zap(at: RaceBuilder) -> None:
    """The processor sets Dirty in an SPTE that is being zapped.

    The zap has read the SPTE while it was clean, and overwrites it. Unless it checks the value that it
    replaced, the frame is never marked dirty, and the host may drop it.
    """
    clean_page(at)
    at.thread("vcpu0").access(gfn=GFN, kind=WRITE)
    at.thread("host").madvise_dontneed(page=PAGE)
    at.last.get_dirty_log(slot=0)


@race(
    source="seed 4, case 3",
    historic=[missing(TDP_XCHG, DIRTY_FRAMES_ARE_REPORTED, PLAIN_WRITE, until=NO_PFN_DIRTY)],
    modes=["ept-noad"],
)
def writable_lost_in_a_zap(at: RaceBuilder) -> None:
    """A fast page fault sets W in an SPTE that is being zapped.

    Without Dirty bits, W says that a page may have been written. W was clear when the zap read the SPTE.
    """
    clean_page(at)
    at.thread("vcpu0").access(gfn=GFN, kind=WRITE)
    at.thread("host").madvise_dontneed(page=PAGE)
    at.last.get_dirty_log(slot=0)


@race(
    source=SEED_5,
    historic=[missing(TDP_XCHG, DIRTY_FRAMES_ARE_REPORTED, PLAIN_WRITE, until=NO_PFN_DIRTY)],
    modes=["ept-ad"],
    pml=1,
)
def dirty_lost_in_aging(at: RaceBuilder) -> None:
    """The processor sets Dirty in an SPTE whose Accessed bit is being cleared.

    A present SPTE replaces a present one. The page is reclaimed only later, when its SPTE says clean.
    """
    clean_page(at)
    at.thread("vcpu0").access(gfn=GFN, kind=WRITE)
    at.thread("host").clear_young(page=PAGE)
    at.last.get_dirty_log(slot=0).madvise_dontneed(page=PAGE)


@race(
    source=SEED_5,
    historic=[missing(TDP_XCHG, DIRTY_FRAMES_ARE_REPORTED, PLAIN_WRITE, until=NO_PFN_DIRTY)],
    until=NX_RECOVERY_SKIPS_LOGGED,
    modes=["ept-ad"],
    pml=1,
    nx_huge_pages=1,
)
def dirty_lost_in_a_table_removed_exclusively(at: RaceBuilder) -> None:
    """The processor sets Dirty below a page table that is being removed with mmu_lock held for write.

    No other thread may change SPTEs then. The processor may: its paging-structure caches hold the table.
    """
    at.first.mmap(page=0, npages=X2M, level=HUGE)
    at.first.set_memory_region(slot=0, gfn=X2M, npages=X2M, page=0)
    at.first.access(gfn=X2M, kind=FETCH).access(gfn=X2M + PAGE, kind=WRITE)
    at.first.set_memory_region(slot=0, gfn=X2M, npages=X2M, page=0, flags=LOG)
    at.first.enter().access(gfn=X2M + PAGE, kind=READ)
    at.thread("vcpu0").access(gfn=X2M + PAGE, kind=WRITE)
    at.thread("worker").recover_nx_huge_pages()
    at.last.set_memory_region(slot=0, gfn=X2M, npages=0, page=0)


@race(
    source=SEED_5,
    historic=[
        missing(
            REMOVED_BY_XCHG,
            DIRTY_FRAMES_ARE_REPORTED,
            Substitution(
                TDP_C,
                "old_spte = kvm_tdp_mmu_write_spte_atomic(sptep, REMOVED_SPTE);",
                "old_spte = kvm_tdp_mmu_read_spte(sptep);\n\t\t\t\tif (!is_removed_spte(old_spte))\n"
                "\t\t\t\t\t__kvm_tdp_mmu_write_spte(sptep, REMOVED_SPTE);",
            ),
            until=NO_PFN_DIRTY,
        )
    ],
    modes=["ept-ad"],
    pml=1,
)
def dirty_lost_in_a_table_removed_shared(at: RaceBuilder) -> None:
    """The same with mmu_lock held for read: logging ends, and huge pages replace page tables.

    Each entry of a removed table must be read and frozen in one atomic exchange.
    """
    at.first.mmap(page=0, npages=X2M, level=HUGE)
    at.first.set_memory_region(slot=0, gfn=X2M, npages=X2M, page=0, flags=LOG).touch(page=0, write=1)
    at.first.access(gfn=X2M, kind=WRITE).get_dirty_log(slot=0).access(gfn=X2M, kind=READ)
    at.thread("vcpu0").access(gfn=X2M, kind=WRITE)
    at.thread("user").set_memory_region(slot=0, gfn=X2M, npages=X2M, page=0)
    at.last.set_memory_region(slot=0, gfn=X2M, npages=0, page=0)

# SPDX-License-Identifier: GPL-2.0-only
"""Aging by rmaps: Accessed is cleared in place, by an atomic operation on one bit."""

from __future__ import annotations

from conformance.races.race import RaceBuilder, race
from conformance.races.stories.setting import GFN, PAGE, WRITE
from conformance.races.stories.volatile import clean_page


@race(source="mmu_spte_age() in mmu.c", modes=["legacy-ept-ad"], pml=1)
def dirty_lost_in_rmap_aging(at: RaceBuilder) -> None:
    """The processor sets Dirty in an SPTE whose Accessed bit is being cleared, with rmaps.

    Only that bit may change. If all of the SPTE were read and written back, Dirty would be lost, and the page
    would be reclaimed as clean.
    """
    clean_page(at)
    at.thread("vcpu0").access(gfn=GFN, kind=WRITE)
    at.thread("host").clear_young(page=PAGE)
    at.last.get_dirty_log(slot=0).madvise_dontneed(page=PAGE)

# SPDX-License-Identifier: GPL-2.0-only
"""SPTEs that KVM finds by rmap: those of the legacy direct MMU and of shadow paging (seed 4)."""

from __future__ import annotations

from conformance.kernels.substitutions import SPTE_C, Substitution
from conformance.model.changes import NO_PFN_DIRTY, VOLATILE_IF_MMU_WRITABLE
from conformance.races.invariants import DIRTY_FRAMES_ARE_REPORTED
from conformance.races.race import RaceBuilder, missing, race
from conformance.races.stories.setting import GFN, LOG, PAGE, WRITE, memory
from conformance.scenarios.modes import LEGACY_MODES

MMU_WRITABLE = "if (!is_writable_pte(spte) && is_mmu_writable_spte(spte))\n\t\treturn true;\n"


@race(
    source="seed 4, case 3: dirty bit tracking",
    historic=[
        missing(
            VOLATILE_IF_MMU_WRITABLE,
            DIRTY_FRAMES_ARE_REPORTED,
            Substitution(SPTE_C, MMU_WRITABLE, ""),
            # With Dirty bits, an SPTE that was ever writable says that it is dirty.
            modes=["legacy-ept-noad"],
            until=NO_PFN_DIRTY,
        )
    ],
    modes=LEGACY_MODES,
    on=["kvm"],
)
def dirty_lost_in_an_rmap_zap(at: RaceBuilder) -> None:
    """An SPTE that was accessed, and is read-only for the dirty log, is zapped: a plain store loses nothing.

    It does if a fast page fault sets W between the read and the store, without mmu_lock.
    """
    memory(at, flags=LOG)
    at.first.access(gfn=GFN, kind=WRITE).get_dirty_log(slot=0).enter()
    at.thread("vcpu0").access(gfn=GFN, kind=WRITE)
    at.thread("host").madvise_dontneed(page=PAGE)
    at.last.get_dirty_log(slot=0)

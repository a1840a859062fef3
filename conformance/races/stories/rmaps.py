# SPDX-License-Identifier: GPL-2.0-only
"""SPTEs that KVM finds by rmap: those of the legacy direct MMU and of shadow paging (seed 4)."""

from __future__ import annotations

from conformance.kernels.substitutions import MMU_C, SPTE_C, Substitution
from conformance.model.changes import (
    NO_PFN_DIRTY,
    RETRY_IF_ROOT_INVALID,
    VOLATILE_IF_MMU_WRITABLE,
    WALK_HOLDS_OFF_FREEING,
)
from conformance.races.invariants import DIRTY_FRAMES_ARE_REPORTED, NO_COMPLAINT, NO_CRASH
from conformance.races.race import RaceBuilder, missing, race
from conformance.races.stories.setting import GFN, KERNELS, LOG, PAGE, WRITE, memory
from conformance.scenarios.modes import LEGACY_MODES

MMU_WRITABLE = "if (!is_writable_pte(spte) && is_mmu_writable_spte(spte))\n\t\treturn true;\n"


@race(
    source="seed 4, case 3: dirty bit tracking",
    historic=[
        missing(
            VOLATILE_IF_MMU_WRITABLE,
            DIRTY_FRAMES_ARE_REPORTED,
            *(Substitution(SPTE_C, MMU_WRITABLE, "", kernel) for kernel in ("6.1", "6.12")),
            # With Dirty bits, an SPTE that was ever writable says that it is dirty.
            modes=["legacy-ept-noad"],
            until=NO_PFN_DIRTY,
        )
    ],
    modes=LEGACY_MODES,
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


@race(
    source="mmu.c: walk_shadow_page_lockless_begin(), kvm_mmu_commit_zap_page()",
    historic=[
        missing(
            WALK_HOLDS_OFF_FREEING,
            NO_CRASH,
            *(
                Substitution(MMU_C, "smp_store_mb(vcpu->mode, READING_SHADOW_PAGE_TABLES);", "", kernel)
                for kernel in KERNELS
            ),
            on=["kvm"],
        ),
        missing(WALK_HOLDS_OFF_FREEING, NO_COMPLAINT, on=["model"]),
    ],
    modes=LEGACY_MODES,
)
def walk_against_zapping(at: RaceBuilder) -> None:
    """A fast page fault walks the page tables without mmu_lock, and the memslot is deleted: all are freed.

    Each vCPU that may be walking must be through before any is.
    """
    memory(at, flags=LOG)
    at.first.access(gfn=GFN, kind=WRITE).get_dirty_log(slot=0).enter()
    at.thread("vcpu0").access(gfn=GFN, kind=WRITE)
    at.thread("user").set_memory_region(slot=0, gfn=0x100, npages=0, page=0)
    at.last.enter().destroy()


OBSOLETE = "if (sp && is_obsolete_sp(vcpu->kvm, sp))"
OBSOLETE_USED = [
    Substitution(MMU_C, OBSOLETE, OBSOLETE.replace("sp", "0 && sp", 1), kernel) for kernel in KERNELS
]


@race(
    source=str(RETRY_IF_ROOT_INVALID),
    historic=[missing(RETRY_IF_ROOT_INVALID, NO_COMPLAINT, *OBSOLETE_USED)],
    modes=LEGACY_MODES,
)
def fault_against_an_obsolete_root(at: RaceBuilder) -> None:
    """Another memslot is deleted, so the root of a vCPU becomes obsolete while the vCPU faults.

    A page that the fault creates below the root would be obsolete, too, and invalid.
    """
    at.first.mmap(page=0x40, npages=16).set_memory_region(slot=1, gfn=0x10000, npages=16, page=0x40)
    memory(at)
    at.thread("vcpu0").access(gfn=0x10002, kind=WRITE)
    at.thread("user").set_memory_region(slot=0, gfn=0x100, npages=0, page=0)
    at.last.enter().destroy()

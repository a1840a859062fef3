# SPDX-License-Identifier: GPL-2.0-only
"""KVM_GET_DIRTY_LOG against guest writes: each write is in this log or in the next."""

from __future__ import annotations

from conformance.kernels.substitutions import KVM_MAIN_C, MMU_C, Substitution
from conformance.model.changes import (
    AGED_ATOMICALLY,
    LOG_COPIED_AFTER_FLUSH,
    LOG_EXCHANGED,
    LOG_TAKEN_BEFORE_PROTECTING,
    MARKED_AFTER_CMPXCHG,
    NO_PFN_DIRTY,
    TDP_XCHG,
)
from conformance.races.invariants import DIRTY_FRAMES_ARE_REPORTED, WRITES_ARE_LOGGED
from conformance.races.race import RaceBuilder, missing, race
from conformance.races.stories.setting import GFN, LOG, PAGE, WRITE, memory
from conformance.races.stories.volatile import PLAIN_WRITE

TAKEN = "mask = xchg(&dirty_bitmap[i], 0);\n\t\t\tdirty_bitmap_buffer[i] = mask;\n"
READ_AND_CLEARED = "READ_ONCE(dirty_bitmap[i]);\n\t\t\tWRITE_ONCE(dirty_bitmap[i], 0);"
PROTECTED = (
    "\n\t\t\toffset = i * BITS_PER_LONG;\n"
    "\t\t\tkvm_arch_mmu_enable_log_dirty_pt_masked(kvm, memslot,\n\t\t\t\t\t\t\t\toffset, mask);\n"
)
TAKEN_LATE = "\t\t\tdirty_bitmap_buffer[i] = xchg(&dirty_bitmap[i], 0);\n"
FLUSHED = "if (flush)\n\t\tkvm_arch_flush_remote_tlbs_memslot(kvm, memslot);\n\n\tif (copy_to_user(log"
FIXED = "if (!try_cmpxchg64(sptep, &old_spte, new_spte))\n\t\treturn false;\n\n"
MARKED = (
    "\tif (is_writable_pte(new_spte) && !is_writable_pte(old_spte))\n"
    "\t\tmark_page_dirty_in_slot(vcpu->kvm, fault->slot, fault->gfn);\n"
)
AGING = "in 6.1 aging relies on the exchange that every volatile SPTE is written by"
API = "Documentation/virt/kvm/api.rst: KVM_GET_DIRTY_LOG; locking.rst"


@race(
    source=API,
    historic=[
        missing(
            LOG_EXCHANGED,
            WRITES_ARE_LOGGED,
            Substitution(KVM_MAIN_C, TAKEN, TAKEN.replace("xchg(&dirty_bitmap[i], 0);", READ_AND_CLEARED)),
        ),
        missing(
            LOG_TAKEN_BEFORE_PROTECTING,
            WRITES_ARE_LOGGED,
            Substitution(
                KVM_MAIN_C, TAKEN + PROTECTED, f"mask = READ_ONCE(dirty_bitmap[i]);\n{PROTECTED}{TAKEN_LATE}"
            ),
        ),
        missing(
            LOG_COPIED_AFTER_FLUSH,
            WRITES_ARE_LOGGED,
            Substitution(KVM_MAIN_C, FLUSHED, FLUSHED.replace("if (flush)", "if (0)")),
        ),
        missing(
            MARKED_AFTER_CMPXCHG,
            WRITES_ARE_LOGGED,
            Substitution(MMU_C, FIXED + MARKED, MARKED + "\n\t" + FIXED),
        ),
    ],
)
def get_dirty_log_against_writes(at: RaceBuilder) -> None:
    """The log is taken while a vCPU writes a page that an earlier log reported, so it is write-protected.

    The fast page fault of the write sets W without mmu_lock, then the bit in the bitmap. Taking the log
    clears the bit, then W, then flushes. In every interleaving the write must be in this log or the next.
    """
    memory(at, flags=LOG)
    at.first.access(gfn=GFN, kind=WRITE).get_dirty_log(slot=0).enter().access(gfn=GFN + 1, kind=WRITE)
    at.thread("vcpu0").access(gfn=GFN, kind=WRITE).access(gfn=GFN, kind=WRITE)
    at.thread("user").get_dirty_log(slot=0)
    at.last.get_dirty_log(slot=0)


@race(source=API, manual_protect=1)
def clear_dirty_log_against_writes(at: RaceBuilder) -> None:
    """The same with KVM_CLEAR_DIRTY_LOG: getting the log and clearing it are two ioctls.

    Between the two the page stays writable, and its bit stays set in the bitmap.
    """
    memory(at, flags=LOG)
    at.first.access(gfn=GFN, kind=WRITE)
    at.thread("vcpu0").access(gfn=GFN, kind=WRITE).access(gfn=GFN, kind=WRITE)
    at.thread("user").get_dirty_log(slot=0).clear_dirty_log(slot=0, first=0, npages=16, mask=0xFFFF)
    at.last.get_dirty_log(slot=0)


@race(
    source="seed 5; Documentation/virt/kvm/locking.rst: access tracking",
    historic=[
        missing(TDP_XCHG, DIRTY_FRAMES_ARE_REPORTED, PLAIN_WRITE, until=NO_PFN_DIRTY),
        missing(AGED_ATOMICALLY, DIRTY_FRAMES_ARE_REPORTED, model_only=AGING, until=NO_PFN_DIRTY),
    ],
    modes=["ept-noad"],
)
def aging_against_fast_faults(at: RaceBuilder) -> None:
    """Without A/D bits aging makes an SPTE access-tracked; a fast page fault restores it, with W.

    Both change the same SPTE, one of them without mmu_lock, while writes are logged. W is the only record
    that the page may have been written.
    """
    memory(at, flags=LOG)
    at.first.access(gfn=GFN, kind=WRITE).get_dirty_log(slot=0).enter()
    at.thread("vcpu0").access(gfn=GFN, kind=WRITE)
    at.thread("host").clear_young(page=PAGE)
    at.last.get_dirty_log(slot=0).set_memory_region(slot=0, gfn=0x100, npages=0, page=0)

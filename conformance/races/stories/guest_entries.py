# SPDX-License-Identifier: GPL-2.0-only
"""An entry of the guest's tables changes while KVM uses it in a fault, or emulates the write."""

from __future__ import annotations

from typing import Any

from conformance.interface.access import Instruction
from conformance.kernels.substitutions import PAGING_TMPL_H, X86_C, Substitution
from conformance.model.changes import (
    FAST_FAULT_DIRECT_ONLY,
    GPTE_RECHECKED,
    RETRY_IF_ROOT_INVALID,
    WRITTEN_BEFORE_ZAPPED,
)
from conformance.races.invariants import (
    NO_COMPLAINT,
    RIGHTS_ARE_THE_GUESTS,
    TRANSLATIONS_ARE_CURRENT,
    WRITES_ARE_LOGGED,
)
from conformance.races.race import RaceBuilder, missing, race
from conformance.races.stories.rmaps import OBSOLETE_USED
from conformance.races.stories.setting import KERNELS, LOG, READ, WRITE
from conformance.races.stories.shadowed_guest import NEW, NPAGES, OLD, OTHER_TABLE, rewrites, shadowed
from conformance.scenarios.stories.guest_tables import CR0, CR4, EFER, PAGE, READY, SHADOW, VA, Entry
from conformance.scenarios.stories.setting import memory

CHANGED = "if (FNAME(gpte_changed)(vcpu, gw, it.level - 1))"
NOT_PAGING = 0x10001
"""CR0 with PE and WP."""
SLOT_1 = 0x1000
"""The first gfn of another memslot."""


@race(
    source=str(GPTE_RECHECKED),
    historic=[
        missing(
            GPTE_RECHECKED,
            TRANSLATIONS_ARE_CURRENT,
            *(
                Substitution(PAGING_TMPL_H, CHANGED, f"{CHANGED[:-1]} && sp != ERR_PTR(-EEXIST))", kernel)
                for kernel in KERNELS
            ),
        )
    ],
    modes=SHADOW,
    vcpus=2,
)
def entry_changed_after_the_walk(at: RaceBuilder) -> None:
    """A fault has walked the guest's tables without mmu_lock, and another vCPU changes the entry meanwhile.

    That vCPU also flushes the address, so the fault must not map what it has read before.
    """
    tables, entry = shadowed(at)
    # Beyond what a fault prefetches.
    neighbour = VA + 8 * PAGE
    tables.map(neighbour, OLD, READY)
    for vcpu in range(2):
        at.first.execute(vcpu=vcpu, address=neighbour, kind=READ)
    at.thread("vcpu0").execute(vcpu=0, address=VA, kind=READ)
    rewrites(at, 1, tables, entry)
    at.last.enter(vcpu=0).enter(vcpu=1)


FAULTS_FAST = "r = fast_page_fault(vcpu, fault);\n\tif (r != RET_PF_INVALID)\n\t\treturn r;\n\n\t"
TOPUP = "r = mmu_topup_memory_caches(vcpu, true);"


@race(
    source="seed 4, case 1: the mapping from gfn to pfn",
    historic=[
        missing(
            FAST_FAULT_DIRECT_ONLY,
            WRITES_ARE_LOGGED,
            *(Substitution(PAGING_TMPL_H, TOPUP, FAULTS_FAST + TOPUP, kernel) for kernel in KERNELS),
        )
    ],
    modes=SHADOW,
    vcpus=2,
)
def frame_moves_to_another_gfn(at: RaceBuilder) -> None:
    """A frame moves to another gfn, and an address with it, while a fault holds the SPTE of that address.

    The new SPTE equals the old one, so a compare-and-exchange without mmu_lock succeeds, but the write is
    logged for the old gfn. For that reason only SPTEs of direct MMUs, whose gfn is fixed, are fixed so.
    """
    tables, entry = shadowed(at, data=[OLD], flags=LOG)
    at.first.execute(vcpu=0, address=VA, kind=READ).get_dirty_log(slot=0).enter(vcpu=0).enter(vcpu=1)
    at.thread("vcpu0").execute(vcpu=0, address=VA, kind=WRITE, value=1)
    other = at.thread("vcpu1").mremap(page=OLD, to=NEW)
    other.store(gfn=entry.gfn, index=entry.at, value=tables.leaf(NEW, READY))
    other.execute(vcpu=1, address=VA, kind=READ).get_dirty_log(slot=0)
    at.last.enter(vcpu=0).enter(vcpu=1).get_dirty_log(slot=0)


WRITES = "ret = kvm_vcpu_write_guest(vcpu, gpa, val, bytes);\n\tif (ret < 0)\n\t\treturn 0;\n\t"
ZAPS = "kvm_page_track_write(vcpu, gpa, val, bytes);\n"


@race(
    source="mmu.c: kvm_mmu_pte_write() or kvm_mmu_track_write(), account_shadowed()",
    historic=[
        missing(
            WRITTEN_BEFORE_ZAPPED,
            RIGHTS_ARE_THE_GUESTS,
            *(
                Substitution(X86_C, f"{WRITES}{ZAPS}", f"{ZAPS}\t{WRITES.rstrip()}\n", kernel)
                for kernel in KERNELS
            ),
        )
    ],
    modes=SHADOW,
    vcpus=2,
)
def emulated_write_against_accounting(at: RaceBuilder) -> None:
    """The emulator writes a table whose only shadow page is zapped and made again meanwhile.

    Without shadow pages KVM has nothing to zap, and does not take mmu_lock. A fault that shadows the table
    either reads what was written, or has counted its page before.
    """
    tables, _ = shadowed(at)
    other = tables.another(OTHER_TABLE)
    other.map(VA, NEW, READY)
    entry = tables.entry(VA, 4)
    at.first.enter(vcpu=1)
    for vcpu in range(2):
        at.first.set_sregs(vcpu=vcpu, cr0=NOT_PAGING, cr4=CR4, efer=EFER, cr3=tables.cr3)
    value = other.read(other.entry(VA, 4))
    at.thread("vcpu0").execute(vcpu=0, address=tables.physical(entry), kind=WRITE, value=value)
    unprotects = tables.physical(Entry(entry.gfn, 8))
    thread = at.thread("vcpu1")
    thread.execute(vcpu=1, address=unprotects, kind=WRITE, value=0, instruction=Instruction.XADD)
    thread.set_sregs(vcpu=1, cr0=CR0, cr4=CR4, efer=EFER, cr3=tables.cr3)
    thread.execute(vcpu=1, address=VA, kind=READ)
    at.last.enter(vcpu=0).enter(vcpu=1)


@race(
    source=str(RETRY_IF_ROOT_INVALID),
    historic=[missing(RETRY_IF_ROOT_INVALID, NO_COMPLAINT, *OBSOLETE_USED)],
    modes=SHADOW,
    vcpus=2,
)
def shadow_fault_against_deletion(at: RaceBuilder) -> None:
    """The memslot of a page is deleted during a fault on it, and with it all shadow pages, the root included.

    What the fault would link below the root would be obsolete, too. After the ioctl the page is out of reach.
    """
    first: Any = at.first
    memory(first, gfn=SLOT_1, npages=16, page=NPAGES, slot=1)
    tables, entry = shadowed(at, data=[SLOT_1])
    tables.set(entry, tables.leaf(SLOT_1, READY))
    at.first.enter(vcpu=0).enter(vcpu=1)
    at.thread("vcpu0").execute(vcpu=0, address=VA, kind=READ)
    at.thread("user").set_memory_region(slot=1, gfn=SLOT_1, npages=0, page=0)
    at.last.enter(vcpu=0).enter(vcpu=1)

# SPDX-License-Identifier: GPL-2.0-only
"""Guests whose page tables KVM shadows: a table is written, synchronized, walked and linked at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conformance.kernels.substitutions import MMU_C, PAGING_TMPL_H, Substitution
from conformance.model.changes import (
    FAST_FAULT_DIRECT_ONLY,
    GPTE_RECHECKED,
    UNSYNC_UNDER_SPINLOCK,
)
from conformance.races.invariants import NO_COMPLAINT, TRANSLATIONS_ARE_CURRENT, WRITES_ARE_LOGGED
from conformance.races.race import RaceBuilder, missing, race
from conformance.races.stories.setting import LOG, READ, WRITE
from conformance.scenarios.stories.guest_tables import (
    ALIAS,
    EPT,
    FIRST_TABLE,
    PAGE,
    READY,
    SHADOW,
    VA,
    Entry,
    GuestTables,
    content,
)
from conformance.scenarios.stories.setting import memory

OLD, NEW = 0x10, 0x20
"""The pages that an address is mapped to, and then to."""
GPA = 0x5000
"""An address of L2."""
DATA, FAR = VA + 0x10 * PAGE, 0x40000000
"""Where a table is mapped as data, and an address that it translates."""
NO_SPINLOCK = [
    Substitution(MMU_C, f"{call}(&kvm->arch.mmu_unsync_pages_lock);", ";", kernel, "mmu_try_to_unsync_pages")
    for kernel in ("6.1", "7.3")
    for call in ("spin_lock", "spin_unlock")
]
CHANGED = "if (FNAME(gpte_changed)(vcpu, gw, it.level - 1))"


def shadowed(
    at: RaceBuilder, *, data: Sequence[int] = (OLD, NEW), flags: int = 0
) -> tuple[GuestTables, Entry]:
    """A guest on two vCPUs that maps VA to OLD, and can write its tables; the entry of VA."""
    first: Any = at.first
    memory(first, gfn=0, npages=0x300, flags=flags)
    for gfn in data:
        first.store(gfn=gfn, value=content(gfn))
    tables = GuestTables(first)
    for number in range(6):
        tables.map(ALIAS + number * PAGE, FIRST_TABLE + number)
    entry = tables.map(VA, OLD, READY)
    for vcpu in range(2):
        tables.run(vcpu)
    return tables, entry


def rewrites(at: RaceBuilder, vcpu: int, tables: GuestTables, entry: Entry) -> None:
    """A vCPU maps VA to NEW, flushes the address, and reads it."""
    thread = at.thread(f"vcpu{vcpu}")
    thread.execute(vcpu=vcpu, address=tables.at(entry), kind=WRITE, value=tables.leaf(NEW, READY))
    thread.invlpg(vcpu=vcpu, address=VA).execute(vcpu=vcpu, address=VA, kind=READ)


@race(source="mmu.c: mmu_try_to_unsync_pages(), is_unsync_root()", modes=SHADOW, on=["kvm"], vcpus=2)
def unsync_against_cr3(at: RaceBuilder) -> None:
    """A vCPU writes a table, which becomes unsync, while another vCPU loads CR3, which synchronizes it.

    Whether a root has unsync pages is looked up without mmu_lock: a page must be marked before its table can
    be written. Synchronizing protects the table again, and TLBs must know.
    """
    tables, entry = shadowed(at)
    at.first.execute(vcpu=0, address=VA, kind=READ).execute(vcpu=1, address=VA, kind=READ)
    rewrites(at, 0, tables, entry)
    at.thread("vcpu1").set_cr3(vcpu=1, value=tables.cr3).execute(vcpu=1, address=VA, kind=READ)
    at.last.enter(vcpu=0).enter(vcpu=1)


@race(
    source=str(GPTE_RECHECKED),
    historic=[
        missing(
            GPTE_RECHECKED,
            TRANSLATIONS_ARE_CURRENT,
            *(
                Substitution(PAGING_TMPL_H, CHANGED, f"{CHANGED[:-1]} && sp != ERR_PTR(-EEXIST))", kernel)
                for kernel in ("6.1", "7.3")
            ),
        )
    ],
    modes=SHADOW,
    on=["kvm"],
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
TOPUP = "r = mmu_topup_memory_caches(vcpu, true);\n\tif (r)\n\t\treturn r;\n\n\tis_self"


@race(
    source="seed 4, case 1: the mapping from gfn to pfn",
    historic=[
        missing(
            FAST_FAULT_DIRECT_ONLY,
            WRITES_ARE_LOGGED,
            Substitution(PAGING_TMPL_H, TOPUP, FAULTS_FAST + TOPUP),
        )
    ],
    modes=SHADOW,
    on=["kvm"],
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


@race(
    source="seed 4, case 2: flush tlbs due to shadow page table write-protected",
    modes=SHADOW,
    on=["kvm"],
    vcpus=2,
)
def table_protected_without_a_flush(at: RaceBuilder) -> None:
    """A page becomes a page table and is write-protected, when the dirty log has cleared W already.

    The flush for the log comes later, without mmu_lock. A TLB may still have W, so the SPTE's being
    MMU-writable asks for a flush, not W.
    """
    tables, _ = shadowed(at, flags=LOG)
    table = 0x240
    at.first.store(gfn=table, value=tables.leaf(OLD, READY))
    tables.map(DATA, table, READY)
    tables.share(FAR, table)
    at.first.execute(vcpu=0, address=DATA + 8, kind=WRITE, value=1)
    at.first.execute(vcpu=1, address=VA, kind=READ)
    at.thread("user").get_dirty_log(slot=0)
    thread = at.thread("vcpu1").execute(vcpu=1, address=FAR, kind=READ)
    thread.invlpg(vcpu=1, address=FAR).execute(vcpu=1, address=FAR, kind=READ)
    value = tables.leaf(NEW, READY)
    at.thread("vcpu0").execute(vcpu=0, address=DATA, kind=WRITE, value=value)
    at.last.enter(vcpu=0).enter(vcpu=1).get_dirty_log(slot=0)


@race(
    source=str(UNSYNC_UNDER_SPINLOCK),
    historic=[missing(UNSYNC_UNDER_SPINLOCK, NO_COMPLAINT, *NO_SPINLOCK)],
    modes=["ept-noad"],
    on=["kvm"],
    vcpus=2,
)
def two_tables_unsync_at_once(at: RaceBuilder) -> None:
    """Two vCPUs of L1 write two tables of L2, which become unsync under mmu_lock for read.

    Both are children of one page, which counts its unsync children.
    """
    first: Any = at.first
    memory(first, gfn=0, npages=0x300)
    for gfn in (OLD, OLD + 1, NEW, NEW + 1):
        first.store(gfn=gfn, value=content(gfn))
    tables = GuestTables(first, EPT)
    entries = [tables.map(GPA + (number << 21), OLD + number) for number in range(2)]
    enter = {"vcpu": 0, "address": tables.eptp(ad=0), "ad": 0, "exec_only": 1}
    at.first.enter_l2(**enter)
    for number in range(2):
        at.first.execute(vcpu=0, address=GPA + (number << 21), kind=READ)
    at.first.leave_l2(vcpu=0)
    for vcpu, entry in enumerate(entries):
        # In the 2M of the tables; reading one of them would do as well as writing it.
        at.first.execute(vcpu=vcpu, address=0x2FF << 12, kind=READ)
        value = tables.leaf(NEW + vcpu)
        at.thread(f"vcpu{vcpu}").execute(vcpu=vcpu, address=tables.physical(entry), kind=WRITE, value=value)
    at.last.invept(vcpu=0).enter_l2(**enter)
    for number in range(2):
        at.last.execute(vcpu=0, address=GPA + (number << 21), kind=READ)
    at.last.enter(vcpu=1)

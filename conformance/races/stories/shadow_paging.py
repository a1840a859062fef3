# SPDX-License-Identifier: GPL-2.0-only
"""Tables that become unsync, or are synchronized and write-protected again, while other vCPUs write them."""

from __future__ import annotations

from typing import Any

from conformance.kernels.substitutions import MMU_C, SPTE_H, Substitution
from conformance.model.changes import FLUSH_IF_MMU_WRITABLE, FLUSHED_BEFORE_SYNC, UNSYNC_UNDER_SPINLOCK
from conformance.races.invariants import NO_COMPLAINT, RIGHTS_ARE_THE_GUESTS, TRANSLATIONS_ARE_CURRENT
from conformance.races.race import RaceBuilder, missing, race
from conformance.races.stories.setting import KERNELS, LOG, READ, WRITE
from conformance.races.stories.shadowed_guest import NEW, NPAGES, OLD, OTHER_TABLE, rewrites, shadowed
from conformance.scenarios.stories.guest_tables import (
    EPT,
    PAGE,
    READY,
    SHADOW,
    VA,
    Entry,
    GuestTables,
    content,
)
from conformance.scenarios.stories.setting import memory

GPA = 0x5000
"""An address of L2."""
DATA, FAR = VA + 0x10 * PAGE, 0x40000000
"""Where a table is mapped as data, and an address that it translates."""
NO_SPINLOCK = [
    Substitution(MMU_C, f"{call}(&kvm->arch.mmu_unsync_pages_lock);", ";", kernel, "mmu_try_to_unsync_pages")
    for kernel in KERNELS
    for call in ("spin_lock", "spin_unlock")
]
PROTECTED = (
    "if (protected) {\n\t\t\tkvm_mmu_remote_flush_or_zap(vcpu->kvm, &invalid_list, true);\n"
    "\t\t\tflush = false;\n\t\t}"
)
FLUSHED_LATE = [
    Substitution(MMU_C, PROTECTED, "if (protected)\n\t\t\tflush = true;", kernel) for kernel in KERNELS
]
W_CLEARED = "is_mmu_writable_spte(old_spte) &&\n\t      !is_writable_pte(new_spte)"
REVOKED = "return is_mmu_writable_spte(old_spte) && !is_mmu_writable_spte(new_spte);"
FLUSH_IF_WRITABLE = [
    *(
        Substitution(MMU_C, W_CLEARED, W_CLEARED.replace("mmu_writable_spte", "writable_pte"), kernel)
        for kernel in ("6.1", "6.12")
    ),
    *(
        Substitution(SPTE_H, REVOKED, REVOKED.replace("mmu_writable_spte", "writable_pte"), kernel)
        for kernel in ("7.2", "7.3")
    ),
]


@race(
    source="mmu.c: mmu_try_to_unsync_pages(), is_unsync_root(), mmu_sync_children()",
    historic=[missing(FLUSHED_BEFORE_SYNC, TRANSLATIONS_ARE_CURRENT, *FLUSHED_LATE)],
    modes=SHADOW,
    vcpus=2,
)
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
    source="seed 4, case 2: flush tlbs due to shadow page table write-protected",
    historic=[missing(FLUSH_IF_MMU_WRITABLE, RIGHTS_ARE_THE_GUESTS, *FLUSH_IF_WRITABLE)],
    modes=SHADOW,
    vcpus=2,
)
def table_protected_without_a_flush(at: RaceBuilder) -> None:
    """A page becomes a page table and is write-protected, when the dirty log has cleared W already.

    The flush for the log comes later, without mmu_lock. A TLB may still have W, so the SPTE's being
    MMU-writable asks for a flush, not W.
    """
    tables, _ = shadowed(at, flags=LOG)
    table = OTHER_TABLE
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
    source="x86.c: kvm_mmu_slot_apply_flags(); mmu.c: mmu_sync_children()",
    historic=[missing(FLUSH_IF_MMU_WRITABLE, TRANSLATIONS_ARE_CURRENT, *FLUSH_IF_WRITABLE)],
    modes=SHADOW,
    vcpus=2,
)
def logging_on_against_unsync(at: RaceBuilder) -> None:
    """Writes begin to be logged while a vCPU writes an unsync table, which another vCPU synchronizes.

    Enabling the log clears W, and flushes after it has dropped mmu_lock. Synchronizing finds W clear, and
    must flush all the same. Every write after the ioctl must be in the log.
    """
    tables, entry = shadowed(at)
    at.first.execute(vcpu=0, address=VA, kind=READ).execute(vcpu=1, address=VA, kind=READ)
    # The table becomes unsync, and vcpu0's TLB has it writable.
    at.first.execute(vcpu=0, address=tables.at(Entry(entry.gfn, entry.at + 8)), kind=WRITE, value=0)
    at.thread("user").set_memory_region(slot=0, gfn=0, npages=NPAGES, page=0, flags=LOG)
    at.thread("vcpu1").set_cr3(vcpu=1, value=tables.cr3).enter(vcpu=1)
    rewrites(at, 0, tables, entry)
    at.last.enter(vcpu=0).enter(vcpu=1).get_dirty_log(slot=0)


@race(
    source=str(UNSYNC_UNDER_SPINLOCK),
    historic=[missing(UNSYNC_UNDER_SPINLOCK, NO_COMPLAINT, *NO_SPINLOCK)],
    modes=["ept-noad"],
    vcpus=2,
)
def two_tables_unsync_at_once(at: RaceBuilder) -> None:
    """Two vCPUs of L1 write two tables of L2, which become unsync under mmu_lock for read.

    Both are children of one page, which counts its unsync children.
    """
    first: Any = at.first
    memory(first, gfn=0, npages=NPAGES)
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

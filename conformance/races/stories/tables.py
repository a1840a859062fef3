# SPDX-License-Identifier: GPL-2.0-only
"""Two vCPUs that change the same SPTE: one cmpxchg succeeds, the other must fail."""

from __future__ import annotations

from conformance.kernels.substitutions import TDP_C, Substitution
from conformance.model.changes import FREED_AFTER_GRACE_PERIOD, TDP_CMPXCHG
from conformance.races.invariants import NO_COMPLAINT, NOTHING_LEAKS
from conformance.races.race import RaceBuilder, missing, race
from conformance.races.stories.setting import FETCH, GFN, HUGE, LOG, READ, WRITE, X2M, memory

CMPXCHG = (
    "if (!try_cmpxchg64(sptep, &iter->old_spte, new_spte))\n\t\treturn -EBUSY;\n\n\t__handle_changed_spte"
)
PLAIN_SET = Substitution(TDP_C, CMPXCHG, "WRITE_ONCE(*sptep, new_spte);\n\n\t__handle_changed_spte")


@race(source=str(TDP_CMPXCHG), historic=[missing(TDP_CMPXCHG, NOTHING_LEAKS, PLAIN_SET)], vcpus=2)
def two_vcpus_install_one_table(at: RaceBuilder) -> None:
    """Two vCPUs fault on neighbouring pages, and both allocate the missing page table.

    The second to link its table must free it, and use the first one's.
    """
    memory(at, neighbour=False)
    at.first.enter(vcpu=0).enter(vcpu=1)
    at.thread("vcpu0").access(vcpu=0, gfn=GFN, kind=WRITE)
    at.thread("vcpu1").access(vcpu=1, gfn=GFN + 1, kind=WRITE)
    at.last.grace_period().destroy()


@race(source=str(TDP_CMPXCHG), vcpus=2)
def two_vcpus_fault_on_one_gfn(at: RaceBuilder) -> None:
    """Two vCPUs write the same page for the first time.

    One installs the SPTE; the other's fault is spurious or is retried.
    """
    memory(at)
    at.first.enter(vcpu=1)
    at.thread("vcpu0").access(vcpu=0, gfn=GFN, kind=WRITE)
    at.thread("vcpu1").access(vcpu=1, gfn=GFN, kind=WRITE)
    at.last.grace_period().destroy()


@race(
    source=str(TDP_CMPXCHG),
    historic=[missing(TDP_CMPXCHG, NO_COMPLAINT, PLAIN_SET)],
    modes=["ept-ad", "ept-noad"],
    vcpus=2,
    eager_page_split=0,
)
def two_vcpus_split_one_huge_page(at: RaceBuilder) -> None:
    """Two vCPUs write different 4K pages of a huge page whose writes are logged.

    Each splits the huge page (before v6.2, zaps it) to map its own 4K page.
    """
    at.first.mmap(page=0, npages=X2M, level=HUGE)
    at.first.set_memory_region(slot=0, gfn=X2M, npages=X2M, page=0)
    at.first.access(vcpu=0, gfn=X2M, kind=WRITE).enter(vcpu=1)
    at.first.set_memory_region(slot=0, gfn=X2M, npages=X2M, page=0, flags=LOG)
    at.thread("vcpu0").access(vcpu=0, gfn=X2M + 1, kind=WRITE)
    at.thread("vcpu1").access(vcpu=1, gfn=X2M + 2, kind=WRITE)
    at.last.get_dirty_log(slot=0).grace_period().destroy()


@race(source="tdp_mmu.c: tdp_mmu_link_sp(), account_huge_nx_page()", vcpus=2, nx_huge_pages=1)
def two_vcpus_list_tables_to_recover(at: RaceBuilder) -> None:
    """Two vCPUs execute in different huge pages, and each adds its table to those to be recovered.

    They hold mmu_lock for read: a spinlock guards the list and its length.
    """
    at.first.mmap(page=0, npages=3 * X2M, level=HUGE)
    at.first.set_memory_region(slot=0, gfn=X2M, npages=3 * X2M, page=0)
    at.first.access(vcpu=0, gfn=X2M, kind=FETCH).enter(vcpu=1)
    for vcpu in range(2):
        at.thread(f"vcpu{vcpu}").access(vcpu=vcpu, gfn=(2 + vcpu) * X2M, kind=FETCH)
    for _ in range(3):
        at.last.recover_nx_huge_pages()
    at.last.enter().grace_period().destroy()


CALL_RCU = "call_rcu(&sp->rcu_head, tdp_mmu_free_sp_rcu_callback);"
FREED_AT_ONCE = Substitution(TDP_C, CALL_RCU, "tdp_mmu_free_sp_rcu_callback(&sp->rcu_head);")


@race(
    source="Documentation/virt/kvm/locking.rst; tdp_mmu.c: tables are freed by RCU callbacks",
    historic=[missing(FREED_AFTER_GRACE_PERIOD, NO_COMPLAINT, FREED_AT_ONCE)],
    modes=["ept-noad"],
    vcpus=2,
    nx_huge_pages=1,
)
def walk_against_freeing(at: RaceBuilder) -> None:
    """A vCPU faults on an aged page, and the page table that it walks without mmu_lock is removed.

    A grace period elapses meanwhile. The walk must still read a page table: its memory is freed only after
    every RCU read-side critical section that could see it has ended.
    """
    at.first.mmap(page=0, npages=X2M, level=HUGE)
    at.first.set_memory_region(slot=0, gfn=X2M, npages=X2M, page=0)
    at.first.access(vcpu=1, gfn=X2M, kind=FETCH).access(vcpu=1, gfn=X2M + 1, kind=WRITE)
    at.first.clear_young(page=1).enter(vcpu=0)
    at.thread("vcpu0").access(vcpu=0, gfn=X2M + 1, kind=READ)
    at.thread("worker").recover_nx_huge_pages()
    at.thread("rcu").grace_period()
    at.last.enter().grace_period().destroy()

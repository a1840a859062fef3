# SPDX-License-Identifier: GPL-2.0-only
"""Huge pages under dirty logging: split eagerly, or when the guest writes."""

from __future__ import annotations

from conformance.kernels.substitutions import MMU_C, TDP_C, Substitution
from conformance.model.changes import FAULT_STATISTICS, PAGE_STATISTICS
from conformance.scenarios.modes import TDP_MODES
from conformance.scenarios.stories.dirty_logging import log
from conformance.scenarios.stories.functions import SPLIT
from conformance.scenarios.stories.setting import GIGANTIC, HUGE, WRITE, X1G, X2M, memory
from conformance.scenarios.story import Mutant, StoryBuilder, story


@story(
    modes=TDP_MODES,
    source='commit a3fe5dbda0a4 ("KVM: x86/mmu: Split huge pages mapped by the TDP MMU ...") in v5.18',
    about=SPLIT,
    mutants=[
        Mutant(
            "all pieces of a split huge page map its beginning",
            Substitution(
                TDP_C,
                "make_huge_page_split_spte(kvm, huge_spte, sp->role, i);",
                "make_huge_page_split_spte(kvm, huge_spte, sp->role, 0);",
            ),
        ),
        Mutant(
            "the pieces of a split huge page are not counted",
            Substitution(TDP_C, "kvm_update_page_stats(kvm, level - 1, SPTE_ENT_PER_PAGE);", ""),
        ),
        Mutant(
            "all pieces of a split huge page map its beginning",
            Substitution(
                TDP_C,
                "make_small_spte(kvm, huge_spte, sp->role, i);",
                "make_small_spte(kvm, huge_spte, sp->role, 0);",
                "7.3",
            ),
            "npt",
        ),
    ],
)
def eager_split(vm: StoryBuilder) -> None:
    """With eager page splitting, logging splits huge pages at once and write-protects the pieces.

    Every piece maps its own part of the huge page, so that the guest's next write need not fault one in.
    """
    memory(vm, gfn=X2M, npages=X2M, level=HUGE)
    vm.access(gfn=X2M, kind=WRITE).claim("2M", lambda now: now.mapped(X2M).level == HUGE)
    log(vm, gfn=X2M, npages=X2M)
    vm.claim("512 pieces", lambda now: [leaf.level for leaf in now.leaves()] == [1] * 512)
    vm.claim("none writable", lambda now: not any(leaf.writable for leaf in now.leaves()))
    vm.claim("all MMU-writable", lambda now: all(leaf.mmu_writable for leaf in now.leaves()))
    vm.claim("each at its place", lambda now: len({leaf.pfn - leaf.gfn for leaf in now.leaves()}) == 1)
    vm.claim(
        "they are counted",
        lambda now: (now.state.pages_2m, now.state.pages_4k) == (0, 512),
        since=PAGE_STATISTICS,
    )
    vm.access(gfn=X2M + 0x1FF, kind=WRITE).claim(
        "fixed fast", lambda now: now.grown.pf_fast == 1, since=FAULT_STATISTICS
    )
    vm.claim("recorded", lambda now: now.dirty() == {0x1FF})


@story(
    source="Documentation/admin-guide/kernel-parameters.txt: kvm.eager_page_split",
    about=("wrprot_gfn_range", "kvm_tdp_mmu_map"),
    eager_page_split=0,
    mutants=[
        Mutant(
            "a huge page is made writable while its memslot is logged",
            Substitution(
                MMU_C,
                "if (sp->role.level > PG_LEVEL_4K &&\n"
                "\t\t\t    kvm_slot_dirty_track_enabled(fault->slot))\n\t\t\t\tbreak;",
                "",
            ),
        ),
    ],
)
def no_eager_split(vm: StoryBuilder) -> None:
    """Without eager page splitting a huge page is write-protected whole, and split by the guest's writes.

    A write fault maps 4K in a new table. The other pages of the huge one fault in again, or since commit
    c4b33d28ea51 in v6.2 are split off with it.
    """
    memory(vm, gfn=X2M, npages=X2M, level=HUGE)
    vm.access(gfn=X2M, kind=WRITE)
    log(vm, gfn=X2M, npages=X2M)
    vm.claim("still 2M", lambda now: now.mapped(X2M).level == HUGE)
    vm.claim("not writable", lambda now: not now.mapped(X2M).writable)
    vm.access(gfn=X2M + 3, kind=WRITE)
    vm.claim("4K now", lambda now: now.mapped(X2M + 3).level == 1 and now.mapped(X2M + 3).writable)
    vm.claim("recorded alone", lambda now: now.dirty() == {3})
    vm.claim("nothing huge is left", lambda now: {leaf.level for leaf in now.leaves()} == {1})


@story(
    modes=TDP_MODES,
    source='commit a3fe5dbda0a4 ("KVM: x86/mmu: Split huge pages mapped by the TDP MMU ...") in v5.18',
    about=SPLIT,
)
def gigantic_page_while_logging(vm: StoryBuilder) -> None:
    """A 1G page under a memslot of a few pages more than 2M is mapped in 2M and 4K, and split when logged.

    Splitting goes down level by level and ends at 4K everywhere.
    """
    vm.mmap(page=0, npages=X1G, level=GIGANTIC)
    vm.set_memory_region(gfn=0, npages=X2M + 4, page=0)
    vm.access(gfn=1, kind=WRITE).claim("2M", lambda now: now.mapped(1).level == HUGE)
    vm.access(gfn=X2M + 1, kind=WRITE).claim("4K", lambda now: now.mapped(X2M + 1).level == 1)
    log(vm, gfn=0, npages=X2M + 4).claim("4K all", lambda now: {leaf.level for leaf in now.leaves()} == {1})
    vm.claim("as many as before", lambda now: len(now.leaves()) == 513)

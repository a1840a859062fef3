# SPDX-License-Identifier: GPL-2.0-only
"""The level of a mapping: the host's page, the memslot's edges, and what changes it later."""

from __future__ import annotations

from conformance.interface.access import End, Exit
from conformance.kernels.substitutions import MMU_C, TDP_C, Substitution
from conformance.model.changes import PAGE_STATISTICS
from conformance.scenarios.modes import TDP_MODES
from conformance.scenarios.stories.functions import HUGE_EDGES, HUGE_LEVEL
from conformance.scenarios.stories.setting import GIGANTIC, HUGE, READ, WRITE, X1G, X2M, memory
from conformance.scenarios.story import Mutant, StoryBuilder, story

ADJUST = "arch/x86/kvm/mmu/mmu.c: kvm_mmu_hugepage_adjust(), host_pfn_mapping_level()"
EDGES = "arch/x86/kvm/x86.c: kvm_alloc_memslot_metadata() and disallow_lpage"


@story(
    source=ADJUST,
    about=HUGE_LEVEL,
    mutants=[
        Mutant(
            "a huge mapping does not begin where the huge page does",
            Substitution(
                MMU_C,
                "fault->goal_level = fault->req_level;\n"
                "\tmask = KVM_PAGES_PER_HPAGE(fault->goal_level) - 1;\n"
                "\tVM_BUG_ON((fault->gfn & mask) != (fault->pfn & mask));\n\tfault->pfn &= ~mask;",
                "fault->goal_level = fault->req_level;",
            ),
        ),
    ],
)
def mapped_in_2m(vm: StoryBuilder) -> None:
    """A transparent huge page is mapped as one SPTE of 2M.

    An access anywhere in it maps all of it, and no table of level 1 is made.
    """
    memory(vm, gfn=X2M, npages=X2M, level=HUGE)
    vm.access(gfn=X2M + 0x123, kind=WRITE)
    vm.claim("the mapping is 2M", lambda now: now.mapped(X2M).level == HUGE)
    vm.claim("aligned", lambda now: now.mapped(X2M + 0x123).gfn == X2M and now.mapped(X2M).pfn % X2M == 0)
    vm.claim("there is no table below", lambda now: not now.has_table(1, X2M))
    vm.claim("one 2M page is counted", lambda now: now.state.pages_2m == 1, since=PAGE_STATISTICS)
    vm.access(gfn=X2M + 0x1FF, kind=READ).claim("all of it is mapped", lambda now: now.outcome == [End.DONE])


@story(source=ADJUST, about=HUGE_LEVEL)
def mapped_in_1g(vm: StoryBuilder) -> None:
    """A hugetlb page of 1G is mapped as one SPTE of 1G.

    It takes tables of levels 4 and 3 only.
    """
    memory(vm, gfn=X1G, npages=X1G, level=GIGANTIC)
    vm.access(gfn=X1G + 0x12345, kind=WRITE).claim("1G", lambda now: now.mapped(X1G).level == GIGANTIC)
    vm.claim("one 1G page is counted", lambda now: now.state.pages_1g == 1, since=PAGE_STATISTICS)
    vm.claim("no table below", lambda now: not now.has_table(2, X1G))


@story(source=ADJUST, about=HUGE_LEVEL)
def small_pages_stay_small(vm: StoryBuilder) -> None:
    """Memory in small pages of the host is mapped small, however well aligned.

    KVM follows the host's page tables, not the alignment of the memslot.
    """
    memory(vm, gfn=X2M, npages=X2M)
    vm.access(gfn=X2M, kind=WRITE).claim("4K", lambda now: now.mapped(X2M).level == 1)
    vm.access(gfn=X2M + 1, kind=WRITE).claim("each by itself", lambda now: len(now.leaves()) == 2)


@story(
    source=EDGES,
    about=HUGE_EDGES,
    mutants=[
        Mutant(
            "huge pages across the edge of a memslot",
            Substitution(
                MMU_C,
                "\t\tif (!linfo->disallow_lpage)\n\t\t\tbreak;\n\t}\n\n\tif (max_level == PG_LEVEL_4K)",
                "\t\tbreak;\n\t}\n\n\tif (max_level == PG_LEVEL_4K)",
            ),
        ),
    ],
)
def huge_page_across_the_edge_of_a_memslot(vm: StoryBuilder) -> None:
    """At the edges of a memslot that are not aligned to 2M huge pages are mapped in 4K.

    A huge mapping there would let the guest see memory that is not in its memslot.
    """
    vm.mmap(page=0, npages=3 * X2M, level=HUGE)
    vm.set_memory_region(gfn=0x100, npages=X2M + 0x200, page=0x100)
    vm.access(gfn=0x180, kind=WRITE).claim(
        "4K before the first boundary", lambda now: now.mapped(0x180).level == 1
    )
    vm.access(gfn=0x200, kind=WRITE).claim("2M within", lambda now: now.mapped(0x200).level == HUGE)
    vm.access(gfn=0x480, kind=WRITE).claim("4K after the last", lambda now: now.mapped(0x480).level == 1)


@story(source=EDGES, about=HUGE_EDGES)
def memslot_unlike_aligned(vm: StoryBuilder) -> None:
    """If gfn and host address differ modulo 2M, no huge page can be mapped.

    One SPTE of 2M cannot map two halves of two host pages.
    """
    vm.mmap(page=0, npages=4 * X2M, level=HUGE)
    vm.set_memory_region(gfn=X2M, npages=2 * X2M, page=0x80)
    vm.access(gfn=X2M, kind=WRITE).claim("4K", lambda now: now.mapped(X2M).level == 1)
    vm.access(gfn=2 * X2M, kind=WRITE).claim("4K here, too", lambda now: now.mapped(2 * X2M).level == 1)


@story(source=EDGES, about=HUGE_EDGES)
def gigantic_page_in_a_smaller_memslot(vm: StoryBuilder) -> None:
    """A memslot over part of a 1G page is mapped in 2M, and in 4K at its edge.

    The level is the largest that host, memslot and alignment all allow.
    """
    vm.mmap(page=0, npages=X1G, level=GIGANTIC)
    vm.set_memory_region(gfn=0, npages=4 * X2M + 8, page=0)
    vm.access(gfn=X2M + 1, kind=WRITE).claim(
        "2M of the 1G page", lambda now: now.mapped(X2M + 1).level == HUGE
    )
    vm.access(gfn=4 * X2M + 1, kind=WRITE).claim(
        "4K at the edge", lambda now: now.mapped(4 * X2M + 1).level == 1
    )


@story(
    modes=TDP_MODES,
    source="mm/khugepaged.c: collapse_huge_page(), and KVM's tables in the place of a huge page",
    about=("tdp_mmu_map_handle_target_level", "handle_removed_pt", "kvm_tdp_mmu_map"),
    mutants=[
        Mutant(
            "a missing flush when a huge page replaces a table",
            Substitution(
                TDP_C,
                "else if (is_shadow_present_pte(iter->old_spte) &&\n"
                "\t\t !is_last_spte(iter->old_spte, iter->level))",
                "else if (0)",
            ),
        ),
    ],
)
def rebuilt_after_collapse(vm: StoryBuilder) -> None:
    """khugepaged collapses small pages: the next fault replaces a table by a 2M SPTE.

    The empty table is unlinked, its entries frozen, and freed only after a grace period.
    """
    memory(vm, gfn=X2M, npages=X2M)
    for gfn in (X2M, X2M + 7):
        vm.access(gfn=gfn, kind=WRITE)
    vm.collapse(page=7).claim("both mappings are gone", lambda now: not now.leaves())
    vm.claim("their table is not", lambda now: now.has_table(1, X2M))
    vm.access(gfn=X2M + 9, kind=WRITE).claim("2M are mapped", lambda now: now.mapped(X2M).level == HUGE)
    vm.claim("the table waits for its grace period", lambda now: len(now.retired) == 1)
    vm.grace_period().claim("and is freed", lambda now: not now.retired and now.outcome[0] >= 1)


@story(source=ADJUST, about=HUGE_LEVEL)
def huge_page_not_yet_there(vm: StoryBuilder) -> None:
    """A range half populated with small pages stays small, although the area allows huge ones.

    The host allocates a huge page only for 2M in which nothing is mapped.
    """
    vm.mmap(page=0, npages=0x100)
    vm.mmap(page=0x200, npages=X2M, level=HUGE)
    vm.set_memory_region(gfn=0, npages=0x100, page=0)
    vm.set_memory_region(slot=1, gfn=X2M, npages=X2M, page=X2M)
    vm.touch(page=X2M, write=1).madvise_dontneed(page=X2M + 3)
    vm.access(gfn=X2M + 3, kind=WRITE).claim("4K", lambda now: now.mapped(X2M + 3).level == 1)
    vm.access(gfn=X2M, kind=WRITE).claim("all of it", lambda now: now.mapped(X2M).level == 1)


@story(source=ADJUST, about=HUGE_LEVEL, vcpus=2)
def two_huge_neighbours(vm: StoryBuilder) -> None:
    """Two huge pages side by side, each faulted in by another vCPU.

    Each has an SPTE of its own in the one table of level 2.
    """
    memory(vm, gfn=X2M, npages=2 * X2M, page=X2M, level=HUGE)
    vm.access(vcpu=0, gfn=X2M + 0x1FF, kind=WRITE)
    vm.access(vcpu=1, gfn=2 * X2M, kind=WRITE).claim(
        "fixed", lambda now: now.outcome == [Exit.FIXED, End.DONE]
    )
    vm.claim("two of 2M", lambda now: [leaf.level for leaf in now.leaves()] == [HUGE, HUGE])
    vm.access(vcpu=0, gfn=2 * X2M, kind=READ).claim(
        "the other finds it", lambda now: now.outcome == [End.DONE]
    )

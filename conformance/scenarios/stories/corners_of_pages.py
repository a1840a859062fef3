# SPDX-License-Identifier: GPL-2.0-only
"""More corners that random mutants showed: how single pages are mapped, logged and unmapped."""

from __future__ import annotations

from conformance.kernels.substitutions import MMU_C, PAGING_TMPL_H, Substitution
from conformance.scenarios.modes import DIRECT_MODES, with_legacy
from conformance.scenarios.stories.functions import CLEAR_LOG
from conformance.scenarios.stories.guest_tables import (
    PAGE,
    READY,
    RW,
    SHADOW,
    US,
    VA,
    A,
    D,
    P,
    guest,
    reads,
    writes,
)
from conformance.scenarios.stories.setting import FETCH, GIGANTIC, HUGE, LOG, READ, WRITE, X1G, memory
from conformance.scenarios.story import Mutant, StoryBuilder, story

PCD = 1 << 4
PAT = 1 << 12
BIG = 0x40000000
GFN = 0x100


@story(
    source="Intel SDM vol. 3, 4.8: accessed and dirty flags; paging_tmpl.h: FNAME(walk_addr_generic)()",
    about=("paging64_walk_addr_generic", "paging64_update_accessed_dirty_bits"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "another bit of the entry counts as Dirty",
            Substitution(
                PAGING_TMPL_H,
                "accessed_dirty &= pte >>",
                "accessed_dirty &= pte <<",
            ),
            "shadow",
        ),
    ],
)
def write_to_an_uncached_page(vm: StoryBuilder) -> None:
    """A page that the guest maps uncached has been read, and is written: Dirty is set in its entry.

    PCD is the bit below Accessed, as Dirty is the one above it.
    """
    tables = guest(vm, data=[0x10])
    pte = tables.map(VA, 0x10, P | RW | US | A | PCD)
    tables.run()
    reads(vm, VA, 0x10, "read").claim("clean", lambda now: not now.gpte(pte.at, 0x10) & D)
    vm.execute(address=VA, kind=WRITE, value=1).claim("dirty", lambda now: now.gpte(pte.at, 0x10) & D)


@story(
    source="mmu.c: disallowed_hugepage_adjust(): only large pages are made smaller",
    about=("disallowed_hugepage_adjust", "paging64_fetch"),
    modes=SHADOW,
    nx_huge_pages=1,
    mutants=[
        Mutant(
            "a page of 4K is to be mapped by something smaller",
            Substitution(
                MMU_C,
                "if (cur_level > PG_LEVEL_4K &&",
                "if (cur_level >= PG_LEVEL_4K &&",
                function="disallowed_hugepage_adjust",
            ),
            "shadow",
        ),
    ],
)
def clean_pages_written_without_nx_huge_pages(vm: StoryBuilder) -> None:
    """With the mitigation of NX huge pages two pages are read, and then written: their SPTEs get W.

    One is of 4K, and the fault finds a small SPTE in its place, which is one already. The other is of 2M, and
    stays so: it is only made smaller to be executed.
    """
    tables = guest(vm, data=[0x10, 0x400], npages=0x800, level=HUGE)
    tables.map(VA, 0x10, P | RW | US | A)
    tables.map(BIG, 0x400, P | RW | US | A, level=HUGE)
    tables.run()
    for address, gfn, level in ((VA, 0x10, 1), (BIG, 0x400, HUGE)):
        reads(vm, address, gfn, "read")
        vm.claim("read-only", lambda now, at=address: not now.shadow.mapped(at).writable)  # type: ignore[misc]
        vm.execute(address=address, kind=WRITE, value=1)
        vm.claim("writable", lambda now, at=address: now.shadow.mapped(at).writable)  # type: ignore[misc]
        vm.claim(
            "of the same level",
            lambda now, at=address, level=level: now.shadow.mapped(at).level == level,  # type: ignore[misc]
        )
    vm.execute(address=BIG + 5 * PAGE, kind=FETCH)
    vm.claim("small to be executed", lambda now: now.shadow.mapped(BIG + 5 * PAGE).level == 1)
    vm.execute(address=BIG + 16 * PAGE, kind=READ)
    vm.claim("small still", lambda now: now.shadow.mapped(BIG + 5 * PAGE).level == 1)


@story(
    source="mmu.c: kvm_mmu_clear_dirty_pt_masked(): the offset of the word of the log is added",
    about=CLEAR_LOG[:2],
    modes=with_legacy("ept-ad"),
    pml=1,
    manual_protect=1,
    mutants=[
        Mutant(
            "pages of the first word lose D instead of those of the second",
            Substitution(
                MMU_C,
                "rmap_head = gfn_to_rmap(slot->base_gfn + gfn_offset + __ffs(mask),\n"
                "\t\t\t\t\tPG_LEVEL_4K, slot);\n\t\t__rmap_clear_dirty(",
                "rmap_head = gfn_to_rmap(slot->base_gfn + __ffs(mask),\n"
                "\t\t\t\t\tPG_LEVEL_4K, slot);\n\t\t__rmap_clear_dirty(",
                "6.1",
            ),
            "legacy-ept-ad",
        ),
    ],
)
def dirty_bits_of_the_second_word(vm: StoryBuilder) -> None:
    """KVM_CLEAR_DIRTY_LOG of the second 64 pages, with PML: those in its mask lose D.

    The pages at the same places in the first word stay dirty.
    """
    memory(vm, gfn=GFN, npages=128, flags=LOG)
    for offset in (1, 65, 66):
        vm.access(gfn=GFN + offset, kind=WRITE)
    vm.get_dirty_log().claim("all are logged", lambda now: now.logged == {1, 65, 66})
    vm.clear_dirty_log(first=64, npages=64, mask=0b0010)
    vm.claim(
        "one has lost D",
        lambda now: [now.mapped(GFN + n).dirty for n in (1, 65, 66)] == [True, False, True],
    )


@story(
    source="mmu.c: kvm_handle_gfn_range(): SPTEs of every level",
    about=("kvm_unmap_gfn_range", "kvm_handle_hva_range"),
    modes=DIRECT_MODES,
    mutants=[
        Mutant(
            "pages of 1G stay mapped",
            Substitution(
                MMU_C,
                "if (++iterator->level > iterator->end_level) {",
                "if (++iterator->level >= iterator->end_level) {",
            ),
            "legacy-ept-ad",
        ),
    ],
)
def page_of_1g_is_unmapped(vm: StoryBuilder) -> None:
    """The host invalidates one page within a page of 1G that is mapped: the whole mapping goes.

    Each level has rmaps of its own, and all that contain the page are looked at.
    """
    memory(vm, gfn=X1G, npages=X1G, level=GIGANTIC)
    vm.access(gfn=X1G + 0x12345, kind=WRITE).claim("1G", lambda now: now.mapped(X1G).level == GIGANTIC)
    vm.notifier_start(page=0x10).claim("unmapped", lambda now: now.leaf(X1G) is None)
    vm.notifier_end(page=0x10)


@story(
    source="mmu.c: pte_list_desc_remove_entry(): an rmap ends where an SPTE was removed",
    about=("pte_list_remove", "pte_list_desc_remove_entry", "rmap_get_next"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "an SPTE stays in the rmap that was its last one",
            Substitution(MMU_C, "desc->sptes[j] = NULL;", ";"),
            "shadow",
        ),
    ],
)
def last_mapping_goes_before_logging(vm: StoryBuilder) -> None:
    """A page is mapped twice, and the second mapping goes; then logging protects the first one.

    The walk of the rmap ends with what is left in it.
    """
    tables = guest(vm, data=[0x10], aliases=6)
    tables.map(VA, 0x10, READY)
    second = tables.map(VA + PAGE, 0x10, READY)
    tables.run()
    reads(vm, VA, 0x10, "the page").claim("two", lambda now: now.shadow.rmap(0x10).sptes == 2)
    writes(vm, tables, second, 0)
    vm.invlpg(address=VA + PAGE).claim("one", lambda now: now.shadow.rmap(0x10).sptes == 1)
    vm.set_memory_region(gfn=0, npages=0x400, page=0, flags=LOG)
    vm.claim("read-only", lambda now: not now.shadow.mapped(VA).writable)


@story(
    source="Intel SDM vol. 3, 4.5: bit 12 of an entry that maps a huge page is PAT",
    about=("paging64_walk_addr_generic",),
    modes=SHADOW,
    mutants=[
        Mutant(
            "PAT is a part of the gfn",
            Substitution(
                PAGING_TMPL_H,
                "gfn = gpte_to_gfn_lvl(pte, walker->level);",
                "gfn = gpte_to_gfn_lvl(pte, 1);",
                "6.1",
            ),
            "shadow",
        ),
    ],
)
def huge_page_with_pat(vm: StoryBuilder) -> None:
    """A huge page of the guest has PAT set, which is where the address of a small page begins.

    The bits of the address below those of a huge page are none of it.
    """
    tables = guest(vm, data=[0x400, 0x401], npages=0x800)
    tables.map(BIG, 0x400, READY | PAT, level=HUGE)
    tables.run()
    reads(vm, BIG, 0x400, "the first page")
    reads(vm, BIG + PAGE, 0x401, "the second page")


@story(
    source="mmu.c: direct_map(): pages are accounted as split for execution with two-dimensional paging only",
    about=("direct_map", "nonpaging_page_fault", "kvm_mmu_hugepage_adjust"),
    modes=SHADOW,
    nx_huge_pages=1,
    mutants=[
        Mutant(
            "what a guest without paging executes is accounted",
            Substitution(
                MMU_C,
                "if (fault->is_tdp && fault->huge_page_disallowed &&",
                "if (fault->huge_page_disallowed &&",
                "6.1",
            ),
            "shadow",
        ),
    ],
)
def small_pages_without_paging(vm: StoryBuilder) -> None:
    """With the mitigation of NX huge pages a guest without paging executes from a page of 2M of the host.

    Its tables are direct, and are small for execution.
    """
    memory(vm, gfn=0, npages=0x800, level=HUGE)
    vm.set_sregs(cr0=1, cr4=0, efer=0, cr3=0)
    vm.execute(address=0x400000, kind=READ).claim("2M", lambda now: now.shadow.mapped(0x400000).level == HUGE)
    vm.execute(address=0x400000, kind=FETCH).claim("4K", lambda now: now.shadow.mapped(0x400000).level == 1)
    vm.execute(address=0x401000, kind=READ).claim(
        "4K still", lambda now: now.shadow.mapped(0x401000).level == 1
    )

# SPDX-License-Identifier: GPL-2.0-only
"""More corners that random mutants showed: how single pages are mapped, logged and unmapped."""

from __future__ import annotations

from conformance.kernels.substitutions import MMU_C, PAGING_TMPL_H, Substitution
from conformance.scenarios.modes import DIRECT_MODES, with_legacy
from conformance.scenarios.stories.functions import CLEAR_LOG
from conformance.scenarios.stories.guest_tables import (
    RW,
    SHADOW,
    US,
    VA,
    A,
    D,
    P,
    guest,
    reads,
)
from conformance.scenarios.stories.setting import GIGANTIC, HUGE, LOG, WRITE, X1G, memory
from conformance.scenarios.story import Mutant, StoryBuilder, story

PCD = 1 << 4
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

# SPDX-License-Identifier: GPL-2.0-only
"""More corners that random mutants showed: walks over unsync tables, and how many pages are shadowed."""

from __future__ import annotations

from conformance.interface.access import End
from conformance.kernels.substitutions import MMU_C, PAGING_TMPL_H, Substitution
from conformance.model.changes import INVLPG_CANONICAL_BY_HOST, SYNC_SAYS_WHETHER_TO_FLUSH
from conformance.scenarios.stories.functions import SYNC, UNSYNC
from conformance.scenarios.stories.guest_tables import (
    PAGE,
    READY,
    RW,
    SHADOW,
    VA,
    Entry,
    guest,
    reads,
    writes,
)
from conformance.scenarios.stories.setting import HUGE, READ
from conformance.scenarios.story import Mutant, StoryBuilder, story

DEVICE = 0xFEC00


@story(
    source="mmu.c: mmu_sync_children(): one flush for all unsync pages that a walk finds",
    about=(*SYNC, *UNSYNC, "__mmu_unsync_walk", "mmu_sync_children"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "the walk ends after the first of a root's entries that leads to unsync pages",
            Substitution(MMU_C, "nr_unsync_leaf += ret;", "nr_unsync_leaf -= ret;"),
            "shadow",
        ),
    ],
)
def unsync_tables_far_apart(vm: StoryBuilder) -> None:
    """Leaf tables below two entries of the root are unsync when the guest flushes: both are found at once.

    All TLBs are flushed once, after both are write-protected.
    """
    tables = guest(vm, data=[0x10, 0x11, 0x20, 0x21], aliases=10)
    far = VA + (1 << 39)
    near_pte, far_pte = tables.map(VA, 0x10, READY), tables.map(far, 0x11, READY)
    tables.run()
    reads(vm, VA, 0x10, "the near page")
    reads(vm, far, 0x11, "the far page")
    writes(vm, tables, near_pte, tables.leaf(0x20, READY))
    writes(vm, tables, far_pte, tables.leaf(0x21, READY)).claim(
        "both are unsync", lambda now: now.shadow.unsync == {near_pte.gfn, far_pte.gfn}
    )
    vm.set_cr3(value=tables.cr3)
    vm.enter().claim("in sync", lambda now: not now.shadow.unsync)
    reads(vm, VA, 0x20, "the new near page")
    reads(vm, far, 0x21, "the new far page")


@story(
    source="mmu.c: mmu_zap_unsync_children(): unsync pages go with the page above them",
    about=(*UNSYNC, "mmu_zap_unsync_children", "detect_write_flooding"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "unsync pages stay when the page above them is zapped",
            Substitution(
                MMU_C, "if (parent->role.level == PG_LEVEL_4K)\n\t\treturn 0;", "return 0;",
                function="mmu_zap_unsync_children",
            ),
            "shadow",
        ),
    ],
)  # fmt: skip
def unsync_table_below_a_flooded_directory(vm: StoryBuilder) -> None:
    """A leaf table is unsync when the directory above it is written again and again: both are zapped.

    Without its parent nothing would lead to the unsync page, and no flush would synchronize it.
    """
    tables = guest(vm, data=[0x10, 0x20], aliases=8)
    pte = tables.map(VA, 0x10, READY)
    directory = tables.table_of(VA, 2)
    tables.run()
    reads(vm, VA, 0x10, "the old page")
    writes(vm, tables, pte, tables.leaf(0x20, READY)).claim(
        "unsync", lambda now: now.shadow.unsync == {pte.gfn}
    )
    for _ in range(3):
        writes(vm, tables, Entry(directory, 0x1FF), RW)
    vm.claim("the directory is gone", lambda now: not now.shadow.pages(directory, 2))
    vm.claim("and the leaf table", lambda now: not now.shadow.pages(pte.gfn, 1))
    reads(vm, VA, 0x20, "the new page")


@story(
    source="mmu.c: kvm_mmu_find_shadow_page(): a flush only if synchronizing changed something",
    about=(*SYNC, *UNSYNC, "kvm_mmu_find_shadow_page"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "all TLBs are flushed though nothing has changed",
            Substitution(
                MMU_C,
                "if (ret > 0)\n\t\t\t\tkvm_flush_remote_tlbs(kvm);",
                "kvm_flush_remote_tlbs(kvm);",
                "6.1",
                function="kvm_mmu_find_shadow_page",
            ),
            "shadow",
        ),
    ],
)
def unsync_table_found_twice(vm: StoryBuilder) -> None:
    """An unsync table comes into use below two more entries of its directory: it is synchronized each time.

    The first time its SPTE loses Accessed, and all TLBs are flushed; the second time nothing changes, as the
    guest has only accessed a device by it.
    """
    tables = guest(vm, data=[0x10], aliases=6)
    pte = tables.map(VA, 0x10, READY)
    tables.map(VA + PAGE, DEVICE, READY)
    again = [VA + (n << 21) for n in (1, 2)]
    for address in again:
        tables.share(address, pte.gfn)
    tables.run()
    reads(vm, VA, 0x10, "the page")
    writes(vm, tables, pte, tables.leaf(0x10, READY)).claim(
        "unsync", lambda now: now.shadow.unsync == {pte.gfn}
    )
    for address in again:
        vm.execute(address=address + PAGE, kind=READ)
        vm.claim("MMIO", lambda now: now.executed.end == End.USERSPACE)
    vm.claim("unsync still", lambda now: now.shadow.unsync == {pte.gfn}, since=SYNC_SAYS_WHETHER_TO_FLUSH)
    vm.claim("no flush", lambda now: now.grown.flush_requests == 0, since=SYNC_SAYS_WHETHER_TO_FLUSH)


@story(
    source="mmu.c: __mmu_unsync_walk(): a mark may be left where a table was",
    about=("__mmu_unsync_walk", "mmu_sync_children"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "a huge page is taken for a table",
            Substitution(
                MMU_C,
                "if (!is_shadow_present_pte(ent) || is_large_pte(ent)) {",
                "if (!is_shadow_present_pte(ent)) {",
                function="__mmu_unsync_walk",
            ),
            "shadow",
        ),
    ],
)
def unsync_table_gives_way_to_a_huge_page(vm: StoryBuilder) -> None:
    """The guest puts a huge page in place of a table that is unsync, uses it, and flushes.

    The directory is marked as if its entry still led to something unsync.
    """
    tables = guest(vm, data=[0x10, 0x20, 0x400], npages=0x800, level=HUGE, aliases=8)
    pte = tables.map(VA, 0x10, READY)
    other = tables.map(VA + (1 << 21), 0x10, READY)
    tables.run()
    for address in (VA, VA + (1 << 21)):
        reads(vm, address, 0x10, "the page")
    for place in (pte, other):
        writes(vm, tables, place, tables.leaf(0x20, READY))
    vm.claim("both are unsync", lambda now: now.shadow.unsync == {pte.gfn, other.gfn})
    writes(vm, tables, tables.entry(VA, 2), tables.leaf(0x400, READY, level=HUGE))
    reads(vm, VA, 0x400, "the huge page").claim("2M", lambda now: now.shadow.mapped(VA).level == HUGE)
    vm.set_cr3(value=tables.cr3)
    vm.enter().claim("no mark", lambda now: not any(page.unsync_children for page in now.shadow.pages()))
    reads(vm, VA, 0x400, "the huge page still")


@story(
    source="mmu.c: clear_sp_write_flooding_count(): a table that is walked is in use",
    about=("detect_write_flooding", "clear_sp_write_flooding_count"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "writes are counted on though the table was used",
            Substitution(MMU_C, "atomic_set(&sp->write_flooding_count,  0);", ";", "6.1"),
            "shadow",
        ),
    ],
)
def directory_written_and_used_by_turns(vm: StoryBuilder) -> None:
    """A directory is written twice, used to map another page, and written twice again: it stays shadowed.

    Three writes without a use would have KVM take it for something else than a table.
    """
    tables = guest(vm, data=[0x10, 0x11], aliases=8)
    tables.map(VA, 0x10, READY)
    tables.map(VA + 0x10 * PAGE, 0x11, READY)
    directory = tables.table_of(VA, 2)
    tables.run()
    reads(vm, VA, 0x10, "the first page")
    for _ in range(2):
        writes(vm, tables, Entry(directory, 0x1FF), 0)
    reads(vm, VA + 0x10 * PAGE, 0x11, "the second page")
    for _ in range(2):
        writes(vm, tables, Entry(directory, 0x1FF), 0)
    vm.claim("shadowed still", lambda now: now.shadow.pages(directory, 2))


@story(
    source="Intel SDM vol. 2: INVLPG of an address that is not canonical does nothing",
    about=("kvm_mmu_invlpg", "kvm_mmu_invalidate_gva"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "the upper bits of the address are ignored",
            Substitution(
                MMU_C,
                "if (is_noncanonical_address(gva, vcpu))",
                "if (is_noncanonical_address(0, vcpu))",
                "6.1",
                function="kvm_mmu_invalidate_gva",
            ),
            "shadow",
        ),
    ],
)
def invlpg_of_no_address(vm: StoryBuilder) -> None:
    """INVLPG of what is no linear address leaves the SPTE alone that its lower 48 bits lead to.

    The table is unsync, so that INVLPG of the address itself would read the entry that the guest has changed.
    The host translates 57 bits, and the guest uses 48: which of them decide differs by kernel.
    """
    tables = guest(vm, data=[0x10, 0x20], aliases=6)
    pte = tables.map(VA, 0x10, READY)
    tables.run()
    reads(vm, VA, 0x10, "the old page")
    writes(vm, tables, pte, tables.leaf(0x20, READY)).claim(
        "unsync", lambda now: now.shadow.unsync == {pte.gfn}
    )
    vm.invlpg(address=VA | 1 << 62).claim("mapped still", lambda now: now.shadow.rmap(0x10).sptes == 1)
    vm.invlpg(address=VA | 1 << 55).claim(
        "an address of 57 bits", lambda now: now.shadow.rmap(0x10).sptes == 0, since=INVLPG_CANONICAL_BY_HOST
    )
    vm.invlpg(address=VA).claim("no longer", lambda now: now.shadow.rmap(0x10).sptes == 0)
    reads(vm, VA, 0x20, "the new page")


@story(
    source="mmu.c: kvm_mmu_change_mmu_pages()",
    about=("kvm_mmu_zap_oldest_mmu_pages", "kvm_mmu_change_mmu_pages"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "a page is zapped though no more are in use than allowed",
            Substitution(
                MMU_C,
                "if (kvm->arch.n_used_mmu_pages > goal_nr_mmu_pages) {",
                "if (kvm->arch.n_used_mmu_pages >= goal_nr_mmu_pages) {",
            ),
            "shadow",
        ),
    ],
)
def as_many_shadow_pages_as_allowed(vm: StoryBuilder) -> None:
    """A guest uses 64 shadow pages when userspace limits them to 64: none is zapped.

    A lower limit would zap the oldest ones, and KVM accepts no lower one.
    """
    tables = guest(vm, data=[0x10])
    places = [VA + (n << 21) for n in range(61)]
    for place in places:
        tables.map(place, 0x10, READY)
    vm.set_nr_mmu_pages(n=100)
    tables.run()
    for place in places:
        vm.execute(address=place, kind=READ)
    vm.claim("64 are in use", lambda now: now.shadow.counters.n_used_mmu_pages == 64)
    vm.set_nr_mmu_pages(n=64).claim("64 still", lambda now: now.shadow.counters.n_used_mmu_pages == 64)


@story(
    source="mmu.c: __mmu_unsync_walk() clears the mark of the entry that it visits",
    about=("__mmu_unsync_walk", "mmu_sync_children"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "the mark of the first entry is cleared instead",
            Substitution(
                MMU_C,
                "if (!ret) {\n\t\t\t\tclear_unsync_child_bit(sp, i);",
                "if (!ret) {\n\t\t\t\tclear_unsync_child_bit(sp, 0);",
                function="__mmu_unsync_walk",
            ),
            "shadow",
        ),
    ],
)
def unlinked_table_far_up(vm: StoryBuilder) -> None:
    """A table is unlinked while it is unsync, below entries of upper tables that are not their first ones.

    The walk of the next flush finds nothing there, and clears the marks of these entries.
    """
    tables = guest(vm, data=[0x10], aliases=10)
    far = (3 << 39) + (5 << 30) + VA
    pte = tables.map(far, 0x10, READY)
    tables.run()
    reads(vm, far, 0x10, "the page")
    writes(vm, tables, pte, tables.leaf(0x10, READY)).claim(
        "unsync", lambda now: now.shadow.unsync == {pte.gfn}
    )
    writes(vm, tables, tables.entry(far, 2), 0)
    vm.set_cr3(value=tables.cr3)
    vm.enter().claim("no mark", lambda now: not any(page.unsync_children for page in now.shadow.pages()))


@story(
    source="paging_tmpl.h: FNAME(sync_page)(): whether the host lets KVM write is kept",
    about=SYNC,
    modes=SHADOW,
    mutants=[
        Mutant(
            "every page may be written after a flush",
            Substitution(
                PAGING_TMPL_H,
                "host_writable = spte & shadow_host_writable_mask;",
                "host_writable = true;",
            ),
            "shadow",
        ),
    ],
)
def sync_of_a_page_of_the_host_that_is_read_only(vm: StoryBuilder) -> None:
    """A page that the host has mapped read-only is in a table that is synchronized: its SPTE stays read-only.

    It is the zero page, as the memory has not been written yet.
    """
    tables = guest(vm, data=[0x10], aliases=6)
    pte = tables.map(VA, 0x11, READY)
    tables.run()
    vm.execute(address=VA, kind=READ).claim("read-only", lambda now: not now.shadow.mapped(VA).writable)
    writes(vm, tables, pte, tables.leaf(0x11, READY)).claim(
        "unsync", lambda now: now.shadow.unsync == {pte.gfn}
    )
    vm.set_cr3(value=tables.cr3)
    vm.enter().claim("in sync", lambda now: not now.shadow.unsync)
    vm.claim("read-only still", lambda now: not now.shadow.mapped(VA).writable)

# SPDX-License-Identifier: GPL-2.0-only
"""A guest writes its page tables: leaf tables get out of sync, writes to others are emulated."""

from __future__ import annotations

from conformance.interface.access import End, Exit, Instruction
from conformance.kernels.substitutions import INTERNAL_H, MMU_C, PAGING_TMPL_H, X86_C, Substitution
from conformance.model.changes import (
    SYNC_SAYS_WHETHER_TO_FLUSH,
    SYNCED_BEFORE_LINK,
    UNSYNC_ZAPPED_BELOW_UPPER,
)
from conformance.scenarios.stories.functions import SYNC, UNSYNC, WRITE_EMULATED
from conformance.scenarios.stories.guest_tables import (
    ALIAS,
    LONG,
    NX,
    PAE,
    PAGE,
    READY,
    RW,
    SHADOW,
    TWO_LEVELS,
    US,
    VA,
    A,
    D,
    Entry,
    GuestTables,
    P,
    content,
    guest,
    reads,
    writes,
)
from conformance.scenarios.stories.setting import FETCH, LOG, READ, WRITE
from conformance.scenarios.story import Mutant, StoryBuilder, story

DOCUMENT = "Documentation/virt/kvm/x86/mmu.rst"
OTHER = 0xC0000000
"""An address under another entry of the root's child than VA."""


@story(
    source=f"{DOCUMENT}: synchronized and unsynchronized pages",
    about=(*UNSYNC, "kvm_mmu_invlpg"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "INVLPG leaves the entries of an unsync page",
            Substitution(PAGING_TMPL_H, "mmu_page_zap_pte(vcpu->kvm, sp, sptep, NULL);", ""),
            "shadow",
        ),
        Mutant(
            "INVLPG does not flush the address",
            Substitution(
                MMU_C,
                "static_call(kvm_x86_flush_tlb_gva)(vcpu, gva);",
                "",
                function="kvm_mmu_invalidate_gva",
            ),
            "shadow",
        ),
        Mutant(
            "INVLPG synchronizes no entry",
            Substitution(
                MMU_C,
                "int ret = kvm_sync_spte(vcpu, sp, iterator.index);",
                "int ret = 0;",
                "7.3",
                function="__kvm_mmu_invalidate_addr",
            ),
            "shadow",
        ),
        Mutant(
            "INVLPG flushes no TLB but that of its vCPU",
            Substitution(
                MMU_C,
                "if (ret)\n\t\t\t\tkvm_flush_remote_tlbs_sptep(vcpu->kvm, iterator.sptep);",
                "",
                "7.3",
                function="__kvm_mmu_invalidate_addr",
            ),
            "shadow",
        ),
    ],
)
def leaf_table_out_of_sync(vm: StoryBuilder) -> None:
    """The guest writes a leaf table: the table is not write-protected any longer, and its shadow page unsync.

    The old translation may be used until the guest flushes the address: INVLPG makes KVM read the entry.
    """
    tables = guest(vm, data=[0x10, 0x20], aliases=6)
    pte = tables.map(VA, 0x10, READY)
    tables.run()
    reads(vm, VA, 0x10, "the old page")
    vm.claim("the table is synchronized", lambda now: not now.shadow.unsync)
    writes(vm, tables, pte, tables.leaf(0x20, READY)).claim(
        "not emulated", lambda now: now.executed.end == End.DONE
    )
    vm.claim("the table is unsync", lambda now: now.shadow.unsync == {pte.gfn})
    vm.claim("its parents are marked", lambda now: now.shadow.page(tables.root, 4).unsync_children == 1)
    vm.claim("and counted", lambda now: now.shadow.counters.mmu_unsync == 1)
    reads(vm, VA, 0x10, "stale still")
    vm.invlpg(address=VA)
    reads(vm, VA, 0x20, "the new page")
    vm.claim("still unsync", lambda now: now.shadow.unsync == {pte.gfn})
    writes(vm, tables, pte, tables.leaf(0x10, READY)).claim("without an exit", lambda now: not now.handled)


@story(
    source=f"{DOCUMENT}: synchronized and unsynchronized pages; mmu.c: kvm_mmu_sync_roots()",
    about=(*SYNC, "kvm_mmu_sync_roots", "kvm_set_cr3"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "a gfn that changed keeps its SPTE",
            Substitution(
                PAGING_TMPL_H,
                "if ((!pte_access && !shadow_present_mask) ||\n\t\t    gfn != kvm_mmu_page_get_gfn(sp, i)) {",
                "if (!pte_access && !shadow_present_mask) {",
            ),
            "shadow",
        ),
        Mutant(
            "loading CR3 synchronizes nothing",
            Substitution(
                MMU_C,
                "if (!is_unsync_root(root))\n\t\t\treturn;",
                "return;",
                function="kvm_mmu_sync_roots",
            ),
            "shadow",
        ),
        Mutant(
            "an entry keeps the SPTE of its old gfn",
            Substitution(
                PAGING_TMPL_H,
                "gfn != kvm_mmu_page_get_gfn(sp, i)) {",
                "0) {",
                "7.3",
            ),
            "shadow",
        ),
    ],
)
def cr3_reload_syncs(vm: StoryBuilder) -> None:
    """Loading CR3 flushes the guest's TLB, so every unsync table below the root is read again.

    Its entries that changed are dropped, the others stay, and the table is write-protected again.
    """
    tables = guest(vm, data=[0x10, 0x11, 0x20], aliases=6)
    pte = tables.map(VA, 0x10, READY)
    tables.map(VA + PAGE, 0x11, READY)
    tables.run()
    vm.execute(address=VA, kind=READ)
    writes(vm, tables, pte, tables.leaf(0x20, READY))
    vm.set_cr3(value=tables.cr3)
    vm.enter().claim("synchronized", lambda now: not now.shadow.unsync)
    vm.claim("the entry that changed is gone", lambda now: now.shadow.leaf(VA) is None)
    vm.claim("its neighbour is not", lambda now: now.shadow.mapped(VA + PAGE).gfn == 0x11)
    vm.claim(
        "the table is write-protected",
        lambda now: not any(leaf.writable for leaf in now.shadow.mapping(pte.gfn)),
    )
    reads(vm, VA, 0x20, "the new page")
    vm.execute(address=VA + PAGE, kind=READ).claim("without an exit", lambda now: not now.handled)


@story(
    source='commit 6a97575d5cff ("KVM: x86/mmu: Cache the access bits of shadowed translations") in v6.0',
    about=("paging64_sync_page", "paging64_sync_spte", "kvm_mmu_page_set_access", "make_spte"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "the shadowed access is not updated",
            Substitution(PAGING_TMPL_H, "kvm_mmu_page_set_access(sp, i, pte_access);", ""),
            "shadow",
        ),
        Mutant(
            "the access of the guest's entry is ignored",
            Substitution(
                PAGING_TMPL_H,
                "pte_access &= FNAME(gpte_access)(gpte);\n\t\tFNAME(protect",
                "FNAME(protect",
            ),
            "shadow",
        ),
        Mutant(
            "an entry that is not present any more keeps its SPTE",
            Substitution(
                PAGING_TMPL_H,
                "no_present:\n\tdrop_spte(vcpu->kvm, spte);\n\treturn true;",
                "no_present:\n\treturn true;",
            ),
            "shadow",
        ),
        Mutant(
            "an entry whose access alone changed is left as it is",
            Substitution(
                PAGING_TMPL_H,
                "if (kvm_mmu_page_get_access(sp, i) == pte_access)\n\t\treturn 0;",
                "return 0;",
                "7.3",
            ),
            "shadow",
        ),
    ],
)
def sync_changes_access(vm: StoryBuilder) -> None:
    """Entries of an unsync table become narrower, wider, absent and not accessed; then it is synchronized.

    An SPTE whose gfn is the same gets the new access, and so does the shadowed translation. Without Present
    or Accessed it is dropped.
    """
    tables = guest(vm, data=[0x10], aliases=6)
    pte = tables.map(VA, 0x10, READY)
    tables.run()
    vm.execute(address=VA, kind=WRITE, value=1).claim("writable", lambda now: now.shadow.mapped(VA).writable)

    def becomes(flags: int) -> StoryBuilder:
        writes(vm, tables, pte, tables.leaf(0x10, flags))
        vm.set_cr3(value=tables.cr3)
        return vm.enter()

    becomes(P | US | A | D).claim("read-only", lambda now: not now.shadow.mapped(VA).writable)
    vm.execute(address=VA, kind=WRITE).claim("the guest's fault", lambda now: now.exception == (14, 3, VA))
    becomes(READY | NX).claim("writable at once", lambda now: now.shadow.mapped(VA).writable)
    vm.execute(address=VA, kind=FETCH).claim("no fetch", lambda now: now.exception == (14, 0x11, VA))
    becomes(P | RW | US | A).claim("clean: read-only", lambda now: not now.shadow.mapped(VA).writable)
    becomes(RW | US | A | D).claim("absent: dropped", lambda now: now.shadow.leaf(VA) is None)
    vm.execute(address=VA, kind=READ).claim("a fault of the guest", lambda now: now.exception == (14, 0, VA))
    becomes(READY)
    vm.execute(address=VA, kind=READ).claim("mapped again", lambda now: now.value == 1)
    becomes(P | RW | US).claim("not accessed: dropped", lambda now: now.shadow.leaf(VA) is None)
    vm.execute(address=VA, kind=READ).claim("KVM sets Accessed", lambda now: now.gpte(pte.at, 0x10) & A)


@story(
    source="mmu.c: KVM_PAGE_ARRAY_NR, mmu_pages_add()",
    about=("mmu_sync_children", "__mmu_unsync_walk", "mmu_pages_add", "mmu_pages_clear_parents"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "only one array of unsync tables is synchronized",
            Substitution(
                MMU_C,
                "while (mmu_unsync_walk(parent, &pages)) {",
                "if (mmu_unsync_walk(parent, &pages)) {",
                function="mmu_sync_children",
            ),
            "shadow",
        ),
        Mutant(
            "only the parent of an unsync table is marked, and not what is above it",
            Substitution(MMU_C, "kvm_mmu_mark_parents_unsync(sp);", "", function="mark_unsync"),
            "shadow",
        ),
    ],
)
def sync_of_many_tables(vm: StoryBuilder) -> None:
    """Twenty leaf tables are unsync when CR3 is loaded: more than the array of 16 that a walk fills.

    The walk is repeated until no child is unsync, and no parent stays marked.
    """
    number = 20
    tables = guest(vm, data=range(0x10, 0x10 + number), npages=0x800, aliases=8 + number)
    places = [tables.map(VA + (n << 21), 0x10 + n, READY) for n in range(number)]
    tables.run()
    for n, place in enumerate(places):
        vm.execute(address=VA + (n << 21), kind=READ)
        writes(vm, tables, place, tables.leaf(0x10 + n, P | US | A | D))
    vm.claim("all are unsync", lambda now: now.shadow.unsync == {place.gfn for place in places})
    vm.set_cr3(value=tables.cr3)
    vm.enter().claim("none is", lambda now: not now.shadow.unsync)
    vm.claim("no mark is left", lambda now: not any(page.unsync_children for page in now.shadow.pages()))
    vm.claim(
        "all have the new access",
        lambda now: not any(now.shadow.mapped(VA + (n << 21)).writable for n in range(number)),
    )


@story(
    source="mmu.c: mmu_sync_children() yields",
    about=("mmu_sync_children",),
    modes=SHADOW,
    mutants=[
        Mutant(
            "synchronizing forgets a flush where it must yield",
            Substitution(
                MMU_C,
                "kvm_mmu_remote_flush_or_zap(vcpu->kvm, &invalid_list, flush);\n\t\t\tif (!can_yield) {",
                "if (!can_yield) {",
                function="mmu_sync_children",
            ),
            "shadow",
        ),
    ],
)
def sync_that_yields(vm: StoryBuilder) -> None:
    """Synchronizing yields mmu_lock when it must, and goes on until the whole tree is in sync.

    Every array of tables may be followed by a yield; loading CR3 still returns with nothing unsync.
    """
    tables = guest(vm, data=[0x10, 0x11, 0x20], aliases=8)
    places = [tables.map(VA + (n << 21), 0x10 + n, READY) for n in range(2)]
    tables.run()
    for n, place in enumerate(places):
        vm.execute(address=VA + (n << 21), kind=READ)
        writes(vm, tables, place, tables.leaf(0x20, READY))
    vm.resched(on=1)
    vm.set_cr3(value=tables.cr3)
    vm.enter().claim("all in sync", lambda now: not now.shadow.unsync)
    vm.resched(on=0)
    for n in range(2):
        reads(vm, VA + (n << 21), 0x20, "new")


@story(
    source="mmu.c: __mmu_unsync_walk(): entries that are not present any more",
    about=("__mmu_unsync_walk", "mmu_page_zap_pte", "mmu_sync_children"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "the mark of an entry that is not present stays",
            Substitution(
                MMU_C,
                "if (!is_shadow_present_pte(ent) || is_large_pte(ent)) {\n"
                "\t\t\tclear_unsync_child_bit(sp, i);",
                "if (!is_shadow_present_pte(ent) || is_large_pte(ent)) {",
                function="__mmu_unsync_walk",
            ),
            "shadow",
        ),
    ],
)
def unsync_table_unlinked(vm: StoryBuilder) -> None:
    """The guest unlinks a table that is unsync: with the next flush the marks above it go, not its own.

    The directory's mark is of an entry that leads nowhere. Before the table is linked again its SPTEs are
    brought up to date, and it remains unsync.
    """
    tables = guest(vm, data=[0x10, 0x20], aliases=8)
    pte = tables.map(VA, 0x10, READY)
    pde = tables.entry(VA, 2)
    link = tables.read(pde)
    tables.run()
    vm.execute(address=VA, kind=READ)
    writes(vm, tables, pte, tables.leaf(0x20, READY)).claim(
        "marked", lambda now: now.shadow.page(pde.gfn, 2).unsync_children
    )
    writes(vm, tables, pde, 0).claim("unlinked", lambda now: now.shadow.page(pte.gfn).parents == 0)
    vm.set_cr3(value=tables.cr3)
    vm.enter().claim("no mark", lambda now: not any(page.unsync_children for page in now.shadow.pages()))
    vm.claim("still unsync", lambda now: now.shadow.unsync == {pte.gfn})
    writes(vm, tables, pde, link)
    reads(vm, VA, 0x20, "the new page")
    vm.claim(
        "unsync all the same",
        lambda now: now.shadow.page(pde.gfn, 2).unsync_children,
        since=SYNC_SAYS_WHETHER_TO_FLUSH,
    )


@story(
    source="x86.c: kvm_inject_emulated_page_fault(): the entry that faulted is invalidated",
    about=("paging64_page_fault", "paging64_invlpg", "kvm_mmu_invalidate_gva", "kvm_mmu_invalidate_addr"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "a fault of the guest leaves the translation that caused it",
            Substitution(
                X86_C,
                "kvm_mmu_invalidate_gva(vcpu, fault_mmu, fault->address,\n"
                "\t\t\t\t       fault_mmu->root.hpa);",
                ";",
                function="kvm_inject_emulated_page_fault",
            ),
            "shadow",
        ),
    ],
)
def fault_invalidates_its_address(vm: StoryBuilder) -> None:
    """An unsync table no longer allows the write that faults: the guest's fault ends the stale translation.

    So do processors. The guest need not flush where it got a fault, and reads by its new entry.
    """
    tables = guest(vm, data=[0x10, 0x20], aliases=8)
    pte = tables.map(VA, 0x10, P | RW | US | A)
    tables.run()
    reads(vm, VA, 0x10, "the old page")
    writes(vm, tables, pte, tables.leaf(0x20, P | US | A)).claim(
        "unsync", lambda now: now.shadow.unsync == {pte.gfn}
    )
    reads(vm, VA, 0x10, "stale")
    vm.execute(address=VA, kind=WRITE).claim("the guest's fault", lambda now: now.exception == (14, 3, VA))
    vm.claim("the stale SPTE is gone", lambda now: now.shadow.rmap(0x10).sptes == 0)
    reads(vm, VA, 0x20, "the new page")


@story(
    source="paging_tmpl.h: invlpg(); sync_spte() since v6.4; the page is the guest's own choice, not a guess",
    about=("paging64_invlpg", "paging64_sync_spte", "paging64_prefetch_gpte", "mmu_try_to_unsync_pages"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "INVLPG maps no page of a memslot that is logged",
            Substitution(
                PAGING_TMPL_H,
                "FNAME(prefetch_gpte)(vcpu, sp, sptep, gpte, false);",
                "FNAME(prefetch_gpte)(vcpu, sp, sptep, gpte, true);",
            ),
            "shadow",
        ),
    ],
)
def invlpg_while_logging(vm: StoryBuilder) -> None:
    """A leaf entry changes while memory is logged, and is flushed: the write that follows is logged.

    The write of the table is logged too. KVM may map the new page at the flush, and then has to log it.
    """
    tables = guest(vm, data=[0x10, 0x20], aliases=8)
    pte = tables.map(VA, 0x10, READY)
    vm.set_memory_region(gfn=0, npages=0x400, page=0, flags=LOG)
    tables.run()
    reads(vm, VA, 0x10, "the old page")
    vm.get_dirty_log()
    writes(vm, tables, pte, tables.leaf(0x20, READY)).claim(
        "unsync", lambda now: pte.gfn in now.shadow.unsync
    )
    vm.invlpg(address=VA)
    reads(vm, VA, 0x20, "the new page")
    vm.execute(address=VA, kind=WRITE, value=1)
    vm.get_dirty_log().claim("page and table are logged", lambda now: {0x20, pte.gfn} <= now.logged)


@story(
    source='commit 36a2e6774bfb ("KVM: MMU: fix writable sync sp mapping") in v2.6.38',
    about=("mmu_sync_children", "kvm_vcpu_write_protect_gfn", "mmu_try_to_unsync_pages"),
    modes=SHADOW,
)
def tables_map_each_other(vm: StoryBuilder) -> None:
    """Two tables are unsync and one maps the other: after both are synchronized neither is mapped writable.

    All of them are write-protected before the first one is synchronized; synchronizing one must not make the
    other writable again.
    """
    tables = guest(vm, data=[0x10, 0x20, 0x21], aliases=6)
    pte = tables.map(VA, 0x10, READY)
    mapping = tables.entry(ALIAS + (pte.gfn - tables.root << 12))
    tables.run()
    vm.execute(address=VA, kind=READ)
    writes(vm, tables, (mapping.gfn, 0x20), 0).claim(
        "the mapping table is unsync", lambda now: mapping.gfn in now.shadow.unsync
    )
    writes(vm, tables, pte, tables.leaf(0x20, READY))
    vm.claim("both are", lambda now: now.shadow.unsync == {mapping.gfn, pte.gfn})
    vm.set_cr3(value=tables.cr3)
    vm.enter().claim("none is", lambda now: not now.shadow.unsync)
    vm.claim(
        "no table is mapped writable",
        lambda now: (
            not any(leaf.writable for gfn in (mapping.gfn, pte.gfn) for leaf in now.shadow.mapping(gfn))
        ),
        since=SYNC_SAYS_WHETHER_TO_FLUSH,
    )
    writes(vm, tables, pte, tables.leaf(0x21, READY)).claim(
        "a write is seen",
        lambda now: now.handled == [Exit.FIXED] and pte.gfn in now.shadow.unsync,
        since=SYNC_SAYS_WHETHER_TO_FLUSH,
    )


@story(
    source='commit 36a2e6774bfb ("KVM: MMU: fix writable sync sp mapping") in v2.6.38',
    about=("mmu_sync_children", "kvm_vcpu_write_protect_gfn", "mmu_try_to_unsync_pages"),
    modes=SHADOW,
)
def mapping_table_is_synced_first(vm: StoryBuilder) -> None:
    """Of two unsync tables the one that maps the other is synchronized first, as the access of that changes.

    When the mapping table is synchronized the other is unsync still, so that it might become writable. But it
    has been write-protected, and is synchronized next: KVM would not see writes to it.
    """
    tables = guest(vm, data=[0x10, 0x20, 0x21], aliases=10)
    pte = tables.map(OTHER, 0x10, READY)
    alias = tables.entry(tables.at(Entry(pte.gfn, 0)))
    tables.run()
    vm.execute(address=OTHER, kind=READ)
    writes(vm, tables, pte, tables.leaf(0x20, READY)).claim(
        "the mapped table is unsync", lambda now: now.shadow.unsync == {pte.gfn}
    )
    writes(vm, tables, alias, tables.leaf(pte.gfn, READY | NX))
    vm.claim("both are", lambda now: now.shadow.unsync == {alias.gfn, pte.gfn})
    vm.set_cr3(value=tables.cr3)
    vm.enter().claim("neither is", lambda now: not now.shadow.unsync)
    vm.claim(
        "the mapped table is read-only",
        lambda now: not any(one.writable for one in now.shadow.mapping(pte.gfn)),
    )
    vm.claim("and not executable", lambda now: not any(one.executable for one in now.shadow.mapping(pte.gfn)))
    writes(vm, tables, pte, tables.leaf(0x21, READY)).claim("a write is seen", lambda now: now.handled)


@story(
    source=f"{DOCUMENT}: a page may be shadowed at several levels; kvm_mmu_find_shadow_page()",
    about=("kvm_mmu_find_shadow_page", "kvm_mmu_get_child_sp"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "a new upper table leaves its leaf form unsync",
            Substitution(
                MMU_C,
                "if (role.level > PG_LEVEL_4K && sp->unsync)\n"
                "\t\t\t\tkvm_mmu_prepare_zap_page(kvm, sp,\n\t\t\t\t\t\t\t &invalid_list);",
                "",
            ),
            "shadow",
        ),
    ],
)
def table_at_two_levels(vm: StoryBuilder) -> None:
    """An unsync leaf table becomes a page directory as well: its unsync shadow page is zapped.

    A directory is always write-protected, so that the same page cannot be unsync at another level.
    """
    tables = guest(vm, data=[0x10, 0x11], aliases=8)
    pte = tables.map(VA, 0x10, READY)
    inner = tables.table()
    tables.run()
    vm.execute(address=VA, kind=READ)
    vm.store(gfn=inner, index=0, value=tables.leaf(0x11, READY))
    writes(vm, tables, (pte.gfn, 1), tables.link(inner)).claim(
        "unsync as a leaf table", lambda now: now.shadow.unsync == {pte.gfn}
    )
    # The table becomes a page directory at 3G, and maps 2M there by its entry 1.
    place = tables.share(OTHER, pte.gfn, level=2)
    reads(vm, OTHER + (1 << 21), 0x11, "through it")
    vm.claim("it is shadowed at level 2", lambda now: now.shadow.page(pte.gfn, 2))
    vm.claim(
        "no longer at level 1",
        lambda now: not now.shadow.pages(pte.gfn, 1) and place.at == 3,
        since=UNSYNC_ZAPPED_BELOW_UPPER,
    )
    vm.claim("nothing is unsync", lambda now: not now.shadow.unsync)
    reads(vm, VA, 0x10, "shadowed at both")
    writes(vm, tables, (pte.gfn, 2), 0).claim(
        "writes are emulated", lambda now: now.executed.end == End.EMULATED
    )


@story(
    source='commit 65855ed8b034 ("KVM: X86: Synchronize the shadow pagetable before link it") in v5.16',
    about=("kvm_mmu_find_shadow_page", "kvm_sync_page", "mmu_sync_children", "paging64_fetch"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "a directory is linked without synchronizing the tables below",
            Substitution(PAGING_TMPL_H, "if (sp->unsync_children &&", "if (0 &&"),
            "shadow",
        ),
        Mutant(
            "the entry that leads to a table is not checked again",
            Substitution(
                PAGING_TMPL_H,
                "if (FNAME(gpte_changed)(vcpu, gw, it.level - 1))\n\t\t\tgoto out_gpte_changed;",
                "",
            ),
            "shadow",
        ),
    ],
)
def linked_again(vm: StoryBuilder) -> None:
    """A table changed while unsync gets a second address, and a directory too: neither needs a flush.

    An address that was never mapped has nothing to flush, so KVM must synchronize what it links.
    """
    tables = guest(vm, data=[0x10, 0x11, 0x20, 0x21, 0x12], aliases=6)
    ptes = [tables.map(VA + n * PAGE, 0x10 + n, READY) for n in range(2)]
    directory = tables.table_of(VA, 2)
    tables.run()
    vm.execute(address=VA, kind=READ).execute(address=VA + PAGE, kind=READ)
    for n, pte in enumerate(ptes):
        writes(vm, tables, pte, tables.leaf(0x20 + n, READY))
    again = VA + (0x40 << 21)
    tables.share(again, ptes[0].gfn)
    reads(vm, again, 0x20, "the new page")
    reads(vm, again + PAGE, 0x21, "and its neighbour")
    writes(vm, tables, ptes[0], tables.leaf(0x21, READY)).claim(
        "unsync again", lambda now: ptes[0].gfn in now.shadow.unsync
    )
    writes(vm, tables, ptes[1], tables.leaf(0x12, READY))
    high = 7 << 30
    tables.share(high, directory, level=2)
    reads(vm, high + VA, 0x21, "below a directory")
    vm.execute(address=high + VA + PAGE, kind=READ)
    vm.claim("so does its neighbour", lambda now: now.value == content(0x12))


@story(
    source="mmu.c: mmu_sync_children() of a fault does not yield, and returns -EINTR",
    about=("mmu_sync_children", "paging64_fetch"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "a fault gives up mmu_lock where it links a directory",
            Substitution(MMU_C, "if (!can_yield) {", "if (can_yield) {", function="mmu_sync_children"),
            "shadow",
        ),
    ],
)
def link_that_must_yield(vm: StoryBuilder) -> None:
    """A directory with an unsync table below it gets a second address, and others wait for mmu_lock.

    A fault must not give up the lock between its walk and its mapping: it is retried, with less to do.
    """
    tables = guest(vm, data=[0x10, 0x20], aliases=6)
    pte = tables.map(VA, 0x10, READY)
    directory = tables.table_of(VA, 2)
    tables.run()
    vm.execute(address=VA, kind=READ)
    writes(vm, tables, pte, tables.leaf(0x20, READY)).claim(
        "unsync", lambda now: now.shadow.unsync == {pte.gfn}
    )
    high = 7 << 30
    tables.share(high, directory, level=2)
    vm.resched(on=1)
    reads(vm, high + VA, 0x20, "the new page")
    vm.claim(
        "after a retry",
        lambda now: now.handled == [Exit.RETRY, Exit.FIXED],
        since=SYNCED_BEFORE_LINK,
    )
    vm.resched(on=0)
    vm.enter().claim("in sync", lambda now: not now.shadow.unsync)


@story(
    source=f"{DOCUMENT}: emulation of writes to guest page tables; mmu.c: kvm_mmu_pte_write()",
    about=WRITE_EMULATED,
    modes=SHADOW,
    mutants=[
        Mutant(
            "the entry of a directory is not zapped when the guest writes it",
            Substitution(
                MMU_C, "mmu_page_zap_pte(vcpu->kvm, sp, spte, NULL);\n\t\t\tif (gentry", "if (gentry"
            ),
            "shadow",
        ),
        Mutant(
            "no flush after a written entry was zapped",
            Substitution(
                MMU_C, "if (is_shadow_present_pte(entry))\n\t\t\t\tflush = true;\n\t\t\t++spte;", "++spte;"
            ),
            "shadow",
        ),
        Mutant(
            "a write is handled as a read",
            Substitution(
                INTERNAL_H,
                ".write = err & PFERR_WRITE_MASK,",
                ".write = false,",
                function="kvm_mmu_do_page_fault",
            ),
            "shadow",
        ),
        Mutant(
            "no flush after a written entry was zapped",
            Substitution(
                MMU_C,
                "if (is_shadow_present_pte(entry))\n\t\t\t\tflush = true;",
                "",
                "7.3",
                function="kvm_mmu_track_write",
            ),
            "shadow",
        ),
    ],
)
def upper_table_written(vm: StoryBuilder) -> None:
    """The guest writes a page directory, which is write-protected: KVM emulates the write and zaps the entry.

    The table below it loses its only parent, and is zapped too, once nothing uses it.
    """
    tables = guest(vm, data=[0x10, 0x20], aliases=8)
    tables.map(VA, 0x10, READY)
    pde = tables.entry(VA, 2)
    link = tables.read(pde)
    other = tables.table()
    vm.store(gfn=other, index=tables.format.index(VA, 1), value=tables.leaf(0x20, READY))
    tables.run()
    reads(vm, VA, 0x10, "the first page")
    writes(vm, tables, pde, tables.link(other)).claim(
        "emulated", lambda now: now.executed.end == End.EMULATED
    )
    vm.claim("by the emulator", lambda now: now.handled[-1] == Exit.EMULATE)
    vm.claim("the write took place", lambda now: now.gpte(pde.at, other))
    vm.claim("the entry is zapped", lambda now: now.shadow.leaf(VA) is None)
    vm.claim(
        "counted", lambda now: now.shadow.grown.mmu_pte_write == 1 and now.shadow.grown.mmu_pde_zapped == 1
    )
    vm.claim("the writes are noted", lambda now: now.shadow.page(pde.gfn, 2).write_flooding_count == 1)
    reads(vm, VA, 0x20, "the other page")
    vm.claim("a use clears the count", lambda now: now.shadow.page(pde.gfn, 2).write_flooding_count == 0)
    writes(vm, tables, pde, 0)
    vm.execute(address=VA, kind=READ).claim("unmapped", lambda now: now.exception == (14, 0, VA))
    writes(vm, tables, pde, link)
    reads(vm, VA, 0x10, "the first again")


@story(
    source="mmu.c: get_written_sptes(), mmu_pte_write_fetch_gpte(); a PAE guest writes half an entry",
    about=("mmu_pte_write_fetch_gpte", "get_written_sptes"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "a write of half an entry is taken for the whole",
            Substitution(MMU_C, "if (is_pae(vcpu) && *bytes == 4) {", "if (0) {"),
            "shadow",
        ),
    ],
)
def half_of_an_entry_written(vm: StoryBuilder) -> None:
    """A 32-bit guest with PAE writes one half of a directory's entry: the whole entry is zapped.

    KVM reads the other half, as it is by then, to see whether the entry is present.
    """
    tables = guest(vm, PAE, data=[0x10, 0x20], aliases=8)
    tables.map(VA, 0x10, READY)
    pde = tables.entry(VA, 2)
    tables.run()
    reads(vm, VA, 0x10, "mapped")
    vm.execute(address=tables.at(pde) + 4, kind=WRITE, value=0)
    vm.claim("emulated", lambda now: now.executed.end == End.EMULATED)
    vm.claim(
        "zapped and counted", lambda now: now.shadow.grown.mmu_pde_zapped == 1 and not now.shadow.leaf(VA)
    )
    reads(vm, VA, 0x10, "still there")
    vm.execute(address=tables.at(pde), kind=WRITE, value=0)
    vm.claim("not present now", lambda now: now.shadow.grown.mmu_pde_zapped in (0, 1))
    vm.execute(address=VA, kind=READ).claim("unmapped", lambda now: now.exception == (14, 0, VA))


@story(
    source="mmu.c: detect_write_misaligned()",
    about=("kvm_mmu_pte_write", "kvm_mmu_track_write", "detect_write_misaligned"),
    modes=SHADOW,
    vcpus=2,
    mutants=[
        Mutant(
            "writes across entries count as writes of one",
            Substitution(
                MMU_C,
                "if (detect_write_misaligned(sp, gpa, bytes) ||\n\t\t      detect_write_flooding(sp)) {",
                "if (detect_write_flooding(sp)) {",
            ),
            "shadow",
        ),
    ],
)
def write_across_entries_zaps(vm: StoryBuilder) -> None:
    """A 64-bit write to the page directory of a 32-bit guest zaps all of its shadow pages.

    It covers two entries, and so is none of a page table: the page is probably used for something else.
    """
    tables = guest(vm, TWO_LEVELS, data=[0x10])
    tables.map(VA, 0x10, READY)
    other = GuestTables(vm, LONG, first=0x240)
    other.map(VA, tables.root, READY)
    tables.run(0)
    other.run(1)
    vm.execute(address=VA, kind=READ)
    vm.claim("a shadow page for each quarter", lambda now: len(now.shadow.pages(tables.root, 2)) == 4)
    vm.execute(vcpu=1, address=VA + 0x800, kind=WRITE, value=0)
    vm.claim("emulated", lambda now: now.executed.end == End.EMULATED)
    vm.claim("all are zapped", lambda now: not now.shadow.pages(tables.root, 2, invalid=0))
    vm.claim("counted", lambda now: now.shadow.grown.mmu_flooded == 4)
    vm.execute(address=VA, kind=READ).claim("built anew", lambda now: now.value == content(0x10))


@story(
    source=f"{DOCUMENT}: write flooding; mmu.c: detect_write_flooding()",
    about=("detect_write_flooding", "kvm_mmu_pte_write", "kvm_mmu_track_write"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "flooding is detected by the fourth write",
            Substitution(
                MMU_C, "return atomic_read(&sp->write_flooding_count) >= 3;",
                "return atomic_read(&sp->write_flooding_count) >= 4;",
            ),
            "shadow",
        ),
        Mutant(
            "a use does not end a flood",
            Substitution(
                PAGING_TMPL_H,
                "clear_sp_write_flooding_count(it.sptep);\n\n\t\ttable_gfn",
                "table_gfn",
            ),
            "shadow",
        ),
        Mutant(
            "a page that is written too often is kept",
            Substitution(
                MMU_C, "detect_write_flooding(sp)) {", "0) {", "7.3", function="kvm_mmu_track_write"
            ),
            "shadow",
        ),
    ],
)  # fmt: skip
def flooding_zaps_at_the_third(vm: StoryBuilder) -> None:
    """Three writes to a directory without a fault through it in between zap its shadow page.

    The guest is probably done with the table; as ordinary memory it can be written without exits.
    """
    tables = guest(vm, data=[0x10, 0x11], aliases=8)
    tables.map(VA, 0x10, READY)
    tables.map(VA + PAGE, 0x11)
    pde = tables.entry(VA, 2)
    tables.run()
    vm.execute(address=VA, kind=READ)
    for n in range(2):
        writes(vm, tables, (pde.gfn, 0x80 + n), 0).claim(
            "emulated", lambda now: now.executed.end == End.EMULATED
        )
    vm.claim("two writes", lambda now: now.shadow.page(pde.gfn, 2).write_flooding_count == 2)
    vm.execute(address=VA + PAGE, kind=READ).claim(
        "a fault through it", lambda now: now.shadow.page(pde.gfn, 2).write_flooding_count == 0
    )
    for n in range(2):
        writes(vm, tables, (pde.gfn, 0x80 + n), 0).claim(
            "still there", lambda now: now.shadow.page(pde.gfn, 2)
        )
    writes(vm, tables, (pde.gfn, 0x82), 0).claim(
        "the third zaps", lambda now: not now.shadow.pages(pde.gfn, 2)
    )
    vm.claim("counted", lambda now: now.shadow.grown.mmu_flooded == 1)
    writes(vm, tables, (pde.gfn, 0x83), 0).claim("ordinary memory", lambda now: now.executed.end == End.DONE)


@story(
    source="x86.c: reexecute_instruction(), x86_page_table_writing_insn()",
    about=("kvm_mmu_unprotect_page", "kvm_mmu_unprotect_gfn_and_retry", "retry_instruction"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "instructions that write tables are never retried",
            Substitution(
                MMU_C,
                "emulation_type |= EMULTYPE_ALLOW_RETRY_PF;",
                ";",
                function="kvm_mmu_page_fault",
            ),
            "shadow",
        ),
        Mutant(
            "a table that is to be unprotected stays protected",
            Substitution(
                MMU_C,
                "kvm_mmu_prepare_zap_page(kvm, sp, &invalid_list);",
                ";",
                "7.3",
                function="__kvm_mmu_unprotect_gfn_and_retry",
            ),
            "shadow",
        ),
    ],
)
def unprotect_and_retry(vm: StoryBuilder) -> None:
    """An instruction that does not write page tables writes a directory: KVM zaps its shadow pages.

    XADD is not how an operating system changes an entry; the guest then retries it, on ordinary memory.
    """
    tables = guest(vm, data=[0x10], aliases=8)
    tables.map(VA, 0x10, READY)
    pde = tables.entry(VA, 2)
    value = tables.read(pde) | A
    tables.run()
    vm.execute(address=VA, kind=READ).claim("shadowed", lambda now: now.shadow.page(pde.gfn, 2))
    vm.execute(address=tables.at(pde), kind=WRITE, instruction=Instruction.XADD, value=0)
    vm.claim("unprotected", lambda now: Exit.UNPROTECTED in now.handled)
    vm.claim("the processor does it", lambda now: now.executed.end == End.DONE)
    vm.claim("no shadow page is left", lambda now: not now.shadow.pages(pde.gfn))
    vm.claim("the entry is as it was", lambda now: now.gpte(pde.at, value >> 12) == value)
    vm.execute(address=VA, kind=READ).claim("shadowed anew", lambda now: now.shadow.page(pde.gfn, 2))


@story(
    source=f"{DOCUMENT}: root pages; mmu.c: kvm_mmu_pte_write()",
    about=WRITE_EMULATED,
    modes=SHADOW,
    mutants=[
        Mutant(
            "no flush after a written entry was zapped",
            Substitution(
                MMU_C,
                "if (is_shadow_present_pte(entry))\n\t\t\t\tflush = true;",
                "",
                function="kvm_mmu_pte_write",
            ),
            "shadow",
        ),
        Mutant(
            "written entries of tables are not zapped",
            Substitution(
                MMU_C,
                "mmu_page_zap_pte(vcpu->kvm, sp, spte, NULL);",
                "",
                function="kvm_mmu_pte_write",
            ),
            "shadow",
        ),
    ],
)
def root_table_written(vm: StoryBuilder) -> None:
    """The guest writes its top table while it uses it: the entry is zapped, the root stays.

    What was below the entry is unlinked, and an entry that was never used changes nothing.
    """
    tables = guest(vm, data=[0x10], aliases=8)
    tables.map(VA, 0x10, READY)
    high = 1 << 39
    tables.map(high, 0x10, READY)
    top, unused = tables.entry(high, 4), (tables.root, 0x100)
    tables.run()
    vm.execute(address=high, kind=READ).claim("mapped", lambda now: now.shadow.leaf(high))
    writes(vm, tables, unused, 0).claim("emulated", lambda now: now.executed.end == End.EMULATED)
    vm.claim(
        "nothing is zapped", lambda now: now.shadow.leaf(high) and now.shadow.grown.mmu_shadow_zapped == 0
    )
    vm.execute(address=high + (1 << 30), kind=READ).claim("a fault", lambda now: now.exception)
    writes(vm, tables, top, 0).claim("zapped", lambda now: now.shadow.leaf(high) is None)
    vm.claim("the root stays", lambda now: now.shadow.page(tables.root, 4).root_count == 1)
    vm.execute(address=high, kind=READ).claim("unmapped", lambda now: now.exception == (14, 0, high))


@story(
    source="mmu.c: a root that is zapped while a vCPU uses it is invalid, and freed with its last user",
    about=("__kvm_mmu_prepare_zap_page", "kvm_mmu_free_roots", "is_page_fault_stale"),
    modes=SHADOW,
    vcpus=2,
    mutants=[
        Mutant(
            "an invalid root stays when its last user has dropped it",
            Substitution(
                MMU_C,
                "else if (!--sp->root_count && sp->role.invalid)",
                "else if (!--sp->root_count && 0)",
                function="mmu_free_root_page",
            ),
            "shadow",
        ),
    ],
)
def root_zapped_while_in_use(vm: StoryBuilder) -> None:
    """Two vCPUs use a root, and one writes its page with XADD: it is zapped, and both get a new one.

    An invalid root stays until the last vCPU drops it; no fault may map anything in it.
    """
    tables = guest(vm, data=[0x10], aliases=8)
    tables.map(VA, 0x10, READY)
    tables.run(0)
    tables.run(1)
    for vcpu in (0, 1):
        vm.execute(vcpu=vcpu, address=VA, kind=READ)
    vm.claim("one root, two users", lambda now: now.shadow.page(tables.root, 4).root_count == 2)
    place = Entry(tables.root, 0x100)
    vm.execute(address=tables.at(place), kind=WRITE, instruction=Instruction.XADD)
    vm.claim(
        "an invalid one is left",
        lambda now: [p.root_count > 0 for p in now.shadow.pages(tables.root, invalid=1)] == [True],
    )
    for vcpu in (0, 1):
        reads(vm, VA, 0x10, "it goes on", vcpu=vcpu)
    vm.claim("in a new root", lambda now: now.shadow.page(tables.root, 4).root_count == 2)
    vm.claim("no invalid one", lambda now: not now.shadow.pages(invalid=1))


@story(
    source='commit f81602958c11 ("KVM: X86: Fix missed remote tlb flush in rmap_write_protect()") in v5.16',
    about=("rmap_write_protect", "kvm_vcpu_write_protect_gfn", *SYNC),
    modes=SHADOW,
    vcpus=2,
    mutants=[
        Mutant(
            "a table is not write-protected before it is synchronized",
            Substitution(
                MMU_C,
                "protected |= kvm_vcpu_write_protect_gfn(vcpu, sp->gfn);",
                "",
                function="mmu_sync_children",
            ),
            "shadow",
        ),
    ],
)
def alias_protected(vm: StoryBuilder) -> None:
    """A page that is mapped writable at one address and read-only at another becomes a page table.

    Write-protecting its gfn must reach TLBs that still have it writable, although synchronizing has already
    dropped the SPTE through which they got it.
    """
    tables = guest(vm, data=[0x10, 0x20], aliases=8)
    table = 0x30
    pte = tables.map(VA, table, READY)
    tables.map(VA + (1 << 21), table, P | US | A | D)
    vm.store(gfn=table, index=0, value=tables.leaf(0x10, READY))
    tables.run(0)
    tables.run(1)
    vm.execute(vcpu=1, address=VA, kind=WRITE, value=tables.leaf(0x10, READY))
    vm.execute(address=VA + (1 << 21), kind=READ).claim(
        "two SPTEs", lambda now: now.shadow.rmap(table).sptes == 2
    )
    writes(vm, tables, pte, 0).claim("the writable entry goes", lambda now: pte.gfn in now.shadow.unsync)
    vm.set_cr3(value=tables.cr3)
    vm.enter().claim("and its SPTE", lambda now: now.shadow.rmap(table).sptes == 1)
    tables.share(OTHER, table)
    reads(vm, OTHER, 0x10, "a page table now")
    vm.enter(vcpu=1).claim("no TLB has it writable", lambda now: now.shadow.cached(VA, 1) is None)
    vm.execute(vcpu=1, address=VA, kind=WRITE, value=0).claim("the guest's fault", lambda now: now.exception)
    reads(vm, OTHER, 0x10, "unharmed")


@story(
    source=(
        'commit df8374607577 ("KVM: x86/mmu: Only WARN in direct MMUs when overwriting shadow-present SPTE") '
        "in v7.0"
    ),
    about=("mmu_set_spte",),
    modes=SHADOW,
    mutants=[
        Mutant(
            "an SPTE of another page is overwritten in place",
            Substitution(
                MMU_C,
                "drop_spte(vcpu->kvm, sptep);",
                "",
                function="mmu_set_spte",
            ),
            "shadow",
        ),
    ],
)
def leaf_changed_outside(vm: StoryBuilder) -> None:
    """Userspace writes a leaf entry, which KVM does not see: a fault finds an SPTE of another page.

    KVM replaces it without complaint: what userspace writes to guest memory is not KVM's bug.
    """
    tables = guest(vm, data=[0x10, 0x20])
    pte = tables.map(VA, 0x10, P | US | A | D)
    tables.run()
    vm.execute(address=VA, kind=READ).claim("the old page", lambda now: now.shadow.mapped(VA).gfn == 0x10)
    tables.set(pte, tables.leaf(0x20, READY))
    reads(vm, VA, 0x10, "stale")
    vm.execute(address=VA, kind=WRITE, value=3).claim(
        "the new page", lambda now: now.shadow.mapped(VA).gfn == 0x20
    )
    vm.claim("no complaint", lambda now: not now.events)
    vm.claim(
        "the rmaps agree", lambda now: (now.shadow.rmap(0x10).sptes, now.shadow.rmap(0x20).sptes) == (0, 1)
    )

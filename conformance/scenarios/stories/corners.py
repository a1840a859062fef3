# SPDX-License-Identifier: GPL-2.0-only
"""Corners of the MMU that random mutants showed: stories executed them, and no story compared them."""

from __future__ import annotations

from conformance.interface.access import End
from conformance.kernels.substitutions import MMU_C, PAGING_TMPL_H, Substitution
from conformance.model.changes import FAULT_STATISTICS, TRAILING_SPTES_PREFETCHED
from conformance.scenarios.modes import TDP_MODES, with_legacy
from conformance.scenarios.stories.functions import AGING, CLEAR_LOG, MMIO, SYNC, UNSYNC
from conformance.scenarios.stories.guest_roots import NO_FLUSH, PCIDS, two_roots
from conformance.scenarios.stories.guest_tables import (
    ALIAS,
    CR4,
    NX,
    PAE,
    PAGE,
    PGE,
    READY,
    RW,
    SHADOW,
    US,
    VA,
    A,
    D,
    Entry,
    P,
    guest,
    reads,
    writes,
)
from conformance.scenarios.stories.nested_guests import GPA, NESTED_EPT, changes, enters, l1
from conformance.scenarios.stories.setting import GIGANTIC, HUGE, LOG, READ, WRITE, X1G, X2M, memory
from conformance.scenarios.story import Mutant, StoryBuilder, story

BIG, BIGGER = 0x40000000, 0x40200000
DEVICE, GFN = 0xFEC00, 0x100


@story(
    source="paging_tmpl.h: FNAME(sync_page)(), FNAME(sync_spte)(): RWX=0 with a Present bit",
    about=SYNC,
    modes=SHADOW,
    mutants=[
        Mutant(
            "an entry that grants nothing but supervisor reads is dropped",
            Substitution(PAGING_TMPL_H, "if ((!pte_access && !shadow_present_mask) ||", "if (!pte_access ||"),
            "shadow",
        ),
    ],
)
def sync_of_a_page_of_the_supervisor(vm: StoryBuilder) -> None:
    """An entry in an unsync table comes to allow only reads of the supervisor: its SPTE is narrowed.

    No bit of the shadowed access is set then. With EPT the SPTE would be absent; here it has Present.
    """
    tables = guest(vm, data=[0x10], aliases=6)
    pte = tables.map(VA, 0x10, READY)
    tables.run()
    vm.execute(address=VA, kind=WRITE, value=1)
    writes(vm, tables, pte, tables.leaf(0x10, P | A | D | NX))
    vm.set_cr3(value=tables.cr3)
    vm.enter().claim("mapped still", lambda now: now.shadow.mapped(VA).gfn == 0x10)
    vm.claim("read-only", lambda now: not now.shadow.mapped(VA).writable)
    vm.execute(address=VA, kind=READ).claim("without an exit", lambda now: not now.handled and now.value == 1)


@story(
    source="mmu.c: kvm_mmu_find_shadow_page(): only a new upper table zaps unsync pages of its gfn",
    about=(*UNSYNC, "kvm_mmu_find_shadow_page"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "a new shadow page of a leaf table zaps its unsync one",
            Substitution(
                MMU_C,
                "if (role.level > PG_LEVEL_4K && sp->unsync)",
                "if (sp->unsync)",
            ),
            "shadow",
        ),
    ],
)
def another_access_of_an_unsync_table(vm: StoryBuilder) -> None:
    """A leaf table is unsync when the guest first uses it by a read-only path: both shadow pages stay.

    A leaf table may be shadowed for several accesses at once, and need not be write-protected for any.
    """
    tables = guest(vm, data=[0x10, 0x20], aliases=8)
    pte = tables.map(VA, 0x10, READY)
    alias = VA + (1 << 21)
    tables.share(alias, pte.gfn, P | US | A)
    tables.run()
    reads(vm, VA, 0x10, "the old page")
    writes(vm, tables, pte, tables.leaf(0x20, READY)).claim(
        "unsync", lambda now: now.shadow.unsync == {pte.gfn}
    )
    reads(vm, alias, 0x20, "the new page, by the other path")
    vm.claim("a shadow page for each access", lambda now: len(now.shadow.pages(pte.gfn, 1)) == 2)


@story(
    source="mmu.c: mmu_page_zap_pte(): an MMIO SPTE goes with the entry that it shadows",
    about=(*MMIO, "kvm_mmu_pte_write", "mmu_page_zap_pte"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "an emulated write leaves the MMIO SPTE of the entry",
            Substitution(MMU_C, "mmu_spte_clear_no_track(spte);", "", function="mmu_page_zap_pte"),
            "shadow",
        ),
    ],
)
def write_to_the_entry_of_a_device(vm: StoryBuilder) -> None:
    """An entry that maps a device is made to map memory by an emulated write: its MMIO SPTE goes at once.

    The table is a page directory too, so that writes to it are emulated and it cannot get out of sync.
    """
    tables = guest(vm, data=[0x10, 0x11], aliases=8)
    pte = tables.map(VA, DEVICE, READY)
    inner = tables.table()
    other = 0xC0000000
    tables.set(Entry(pte.gfn, 1), tables.link(inner))
    vm.store(gfn=inner, index=0, value=tables.leaf(0x11, READY))
    tables.share(other, pte.gfn, level=2)
    tables.run()
    reads(vm, other + (1 << 21), 0x11, "as a directory")
    vm.execute(address=VA, kind=READ).claim("MMIO", lambda now: now.executed.end == End.USERSPACE)
    vm.claim("cached", lambda now: now.shadow.is_mmio(VA))
    writes(vm, tables, pte, tables.leaf(0x10, READY)).claim(
        "emulated", lambda now: now.executed.end == End.EMULATED
    )
    vm.claim("no longer cached", lambda now: not now.shadow.is_mmio(VA))
    reads(vm, VA, 0x10, "memory")


@story(
    source="mmu.c: kvm_mmu_zap_collapsible_spte() starts again with the rmap after each SPTE",
    about=("kvm_mmu_zap_collapsible_spte", "kvm_rmap_zap_collapsible_sptes"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "only one of the SPTEs of a page is zapped",
            Substitution(MMU_C, "need_tlb_flush = 1;\n\n\t\t\tgoto restart;", "return 1;"),
            "shadow",
        ),
    ],
)
def collapse_under_two_direct_pages(vm: StoryBuilder) -> None:
    """Two direct pages map small pages that could be a huge one when logging ends: both are zapped.

    The guest maps the same 2M twice, writable and read-only.
    """
    tables = guest(vm, npages=0x600, level=HUGE)
    tables.map(BIG, 0x400, READY, level=HUGE)
    tables.map(BIGGER, 0x400, P | US | A | D, level=HUGE)
    vm.set_memory_region(gfn=0, npages=0x600, page=0, flags=LOG)
    tables.run()
    for base in (BIG, BIGGER):
        vm.execute(address=base + 5 * PAGE, kind=READ)
    vm.claim("two SPTEs", lambda now: now.shadow.rmap(0x405).sptes == 2)
    vm.set_memory_region(gfn=0, npages=0x600, page=0, flags=0)
    vm.claim("no SPTE", lambda now: now.shadow.rmap(0x405).sptes == 0)
    for base in (BIG, BIGGER):
        vm.execute(address=base + 5 * PAGE, kind=READ)
    vm.claim("2M for both", lambda now: [now.shadow.mapped(at).level for at in (BIG, BIGGER)] == [HUGE, HUGE])


@story(
    source="mmu.c: fast_page_fault() of huge pages",
    about=(*AGING, "fast_page_fault", "restore_acc_track_spte"),
    modes=with_legacy("ept-noad"),
    vcpus=2,
    mutants=[
        Mutant(
            "the fault of a huge page that was aged takes mmu_lock",
            Substitution(
                MMU_C,
                "if (!is_last_spte(spte, sp->role.level))\n\t\t\tbreak;",
                "if (sp->role.level > PG_LEVEL_4K)\n\t\t\tbreak;",
                function="fast_page_fault",
            ),
            "ept-noad",
        ),
    ],
)
def aged_huge_page_is_restored(vm: StoryBuilder) -> None:
    """Without Accessed bits aging takes all access from a huge page; a fault without a lock restores it.

    The SPTE keeps what it allowed, and is of the level that the fault found.
    """
    memory(vm, gfn=X2M, npages=X2M, level=HUGE)
    vm.access(gfn=X2M + 5, kind=WRITE).claim("2M", lambda now: now.mapped(X2M).level == HUGE)
    vm.clear_flush_young(page=0).claim("it was young", lambda now: now.outcome == [1])
    vm.access(vcpu=1, gfn=X2M + 6, kind=READ).claim("restored", lambda now: now.mapped(X2M).level == HUGE)
    vm.claim("without mmu_lock", lambda now: now.grown.pf_fast == 1, since=FAULT_STATISTICS)


@story(
    source="Intel SDM vol. 3, 4.10.4: INVLPG; mmu.c: kvm_mmu_invalidate_gva(): all cached roots",
    about=("kvm_mmu_invlpg", "kvm_mmu_invalidate_gva"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "INVLPG leaves the most recent of the previous roots",
            Substitution(
                MMU_C,
                "for (i = 0; i < KVM_MMU_NUM_PREV_ROOTS; i++)\n\t\t\tif (VALID_PAGE(mmu->prev_roots[i].hpa))",
                "for (i = 1; i < KVM_MMU_NUM_PREV_ROOTS; i++)\n\t\t\tif (VALID_PAGE(mmu->prev_roots[i].hpa))",
                function="kvm_mmu_invalidate_gva",
            ),
            "shadow",
        ),
    ],
)
def invlpg_of_a_previous_root(vm: StoryBuilder) -> None:
    """INVLPG also reads the entry of an unsync table that only the previous root reaches.

    A translation may be global, or cached for any root: KVM invalidates the address in all of them.
    """
    tables = guest(vm, data=[0x10, 0x20, 0x21], aliases=8)
    pte = tables.map(VA, 0x10, READY)
    other = tables.another(0x240)
    other.map(VA, 0x21, READY)
    other.set(other.entry(ALIAS, 3), tables.read(tables.entry(ALIAS, 3)))
    tables.run(cr4=PCIDS)
    vm.set_cr3(value=tables.cr3 | 1)
    reads(vm, VA, 0x10, "by the first root")
    writes(vm, tables, pte, tables.leaf(0x20, READY)).claim(
        "unsync", lambda now: pte.gfn in now.shadow.unsync
    )
    vm.set_cr3(value=other.cr3 | 1 | NO_FLUSH)
    reads(vm, VA, 0x21, "by the second root")
    vm.invlpg(address=VA).claim("nothing maps the old page", lambda now: now.shadow.rmap(0x10).sptes == 0)
    vm.set_cr3(value=tables.cr3 | 1 | NO_FLUSH)
    reads(vm, VA, 0x20, "the new page by the first root")


@story(
    source="mmu.c: direct_pte_prefetch_many(): pages that are logged are prefetched only to be read",
    about=("direct_pte_prefetch_many", "__direct_pte_prefetch"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "nothing is prefetched in a memslot that is logged",
            Substitution(
                MMU_C,
                "slot = gfn_to_memslot_dirty_bitmap(vcpu, gfn, access & ACC_WRITE_MASK);",
                "slot = gfn_to_memslot_dirty_bitmap(vcpu, gfn, true);",
            ),
            "shadow",
        ),
    ],
)
def readers_of_a_logged_page_prefetch(vm: StoryBuilder) -> None:
    """A huge page that the guest may only read is in a memslot that is logged: neighbours are prefetched.

    They cannot be written by this mapping, so that no write is lost to the log.
    """
    tables = guest(vm, data=range(0x400, 0x408), npages=0x600)
    tables.map(BIG, 0x400, P | US | A | D, level=HUGE)
    vm.set_memory_region(gfn=0, npages=0x600, page=0, flags=LOG)
    tables.run()
    reads(vm, BIG, 0x400, "the page")
    vm.claim(
        "its neighbours are mapped",
        lambda now: all(now.shadow.rmap(0x400 + n).sptes for n in range(1, 8)),
        since=TRAILING_SPTES_PREFETCHED,
    )
    vm.claim("read-only", lambda now: not now.shadow.mapped(BIG).writable)


@story(
    source=(
        'commit cb00a70bd4b7 ("KVM: x86/mmu: Split huge pages mapped by the TDP MMU during '
        'KVM_CLEAR_DIRTY_LOG") in v5.18'
    ),
    about=(*CLEAR_LOG, "kvm_mmu_try_split_huge_pages"),
    modes=TDP_MODES,
    manual_protect=3,
    mutants=[
        Mutant(
            "huge pages are split from the offset in the memslot on",
            Substitution(
                MMU_C,
                "kvm_mmu_try_split_huge_pages(kvm, slot, start, end, PG_LEVEL_4K);",
                "kvm_mmu_try_split_huge_pages(kvm, slot, gfn_offset, end, PG_LEVEL_4K);",
            ),
        ),
    ],
)
def clear_splits_one_of_two(vm: StoryBuilder) -> None:
    """All pages count as dirty at first; clearing some of the second huge page splits that one alone.

    The first one is split when it is cleared.
    """
    memory(vm, gfn=2 * X2M, npages=2 * X2M, level=HUGE)
    for gfn in (2 * X2M, 3 * X2M):
        vm.access(gfn=gfn, kind=WRITE)
    vm.set_memory_region(gfn=2 * X2M, npages=2 * X2M, page=0, flags=LOG)
    vm.clear_dirty_log(first=X2M, npages=64, mask=(1 << 64) - 1)
    vm.claim("the first is huge", lambda now: now.mapped(2 * X2M).level == HUGE)
    vm.access(gfn=3 * X2M, kind=WRITE).claim("the second is not", lambda now: now.mapped(3 * X2M).level == 1)


@story(
    source="mmu.c: kvm_mmu_slot_gfn_write_protect(): SPTEs of every level",
    about=("kvm_mmu_slot_gfn_write_protect", "account_shadowed"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "a page of 1G stays writable over a new table",
            Substitution(
                MMU_C,
                "for (i = min_level; i <= KVM_MAX_HUGEPAGE_LEVEL; ++i) {",
                "for (i = min_level; i < KVM_MAX_HUGEPAGE_LEVEL; ++i) {",
                function="kvm_mmu_slot_gfn_write_protect",
            ),
            "shadow",
        ),
    ],
)
def table_within_a_page_of_1g(vm: StoryBuilder) -> None:
    """A page that one SPTE of 1G maps writable becomes a page table: the SPTE has to go, or lose W.

    Otherwise the guest could write the table without an exit.
    """
    tables = guest(vm, data=[0x10])
    memory(vm, slot=1, gfn=X1G, npages=X1G, page=X1G, level=GIGANTIC)
    tables.map(BIG, X1G, READY, level=GIGANTIC)
    inner = X1G + 5
    vm.store(gfn=inner, value=tables.leaf(0x10, READY))
    place = tables.share(VA, inner, P | RW | US | A)
    link = tables.read(place)
    tables.set(place, 0)
    tables.run()
    vm.execute(address=BIG, kind=WRITE, value=1).claim(
        "1G, writable", lambda now: now.shadow.mapped(BIG).level == GIGANTIC
    )
    tables.set(place, link)
    reads(vm, VA, 0x10, "through the table")
    vm.claim(
        "nothing of 1G is writable", lambda now: not any(one.writable for one in now.shadow.mapping(X1G))
    )


@story(
    source="mmu.c: mmu_pages_add(): a page that is found twice is added once",
    about=("mmu_pages_add", "__mmu_unsync_walk", "mmu_sync_children"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "an unsync page that two entries lead to is synchronized twice",
            Substitution(MMU_C, "if (pvec->page[i].sp == sp)", "if (0)", function="mmu_pages_add"),
            "shadow",
        ),
    ],
)
def unsync_table_with_two_parents(vm: StoryBuilder) -> None:
    """A leaf table that two entries of a directory lead to is unsync: it is synchronized once.

    A second time would WARN, since it is no longer unsync. Both parents' marks are cleared.
    """
    tables = guest(vm, data=[0x10, 0x20], aliases=6)
    pte = tables.map(VA, 0x10, READY)
    again = VA + (1 << 21)
    tables.share(again, pte.gfn)
    tables.run()
    reads(vm, VA, 0x10, "by one entry")
    reads(vm, again, 0x10, "by the other")
    vm.claim("one shadow page", lambda now: now.shadow.page(pte.gfn).parents == 2)
    writes(vm, tables, pte, tables.leaf(0x20, READY)).claim(
        "unsync", lambda now: now.shadow.unsync == {pte.gfn}
    )
    vm.set_cr3(value=tables.cr3)
    vm.enter().claim("synchronized", lambda now: not now.shadow.unsync and not now.events)
    reads(vm, VA, 0x20, "the new page")
    reads(vm, again, 0x20, "by both")


@story(
    source="mmu.c: __mmu_unsync_walk() clears the mark of the entry that it visits",
    about=("__mmu_unsync_walk", "kvm_mmu_find_shadow_page", "mmu_sync_children"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "the mark of another entry is cleared",
            Substitution(
                MMU_C,
                "|| is_large_pte(ent)) {\n\t\t\tclear_unsync_child_bit(sp, i);",
                "|| is_large_pte(ent)) {\n\t\t\tclear_unsync_child_bit(sp, 0);",
            ),
            "shadow",
        ),
    ],
)
def unlinked_table_gets_unsync_again(vm: StoryBuilder) -> None:
    """A table that was unlinked while it was unsync is linked and written again: the next flush finds it.

    What the guest wrote first was what had been there, so that nothing changes when the table is linked.
    """
    tables = guest(vm, data=[0x10, 0x20], aliases=8)
    pte = tables.map(VA, 0x10, READY)
    pde = tables.entry(VA, 2)
    link = tables.read(pde)
    tables.run()
    reads(vm, VA, 0x10, "the old page")
    writes(vm, tables, pte, tables.leaf(0x10, READY)).claim(
        "unsync", lambda now: now.shadow.unsync == {pte.gfn}
    )
    writes(vm, tables, pde, 0)
    vm.set_cr3(value=tables.cr3)
    vm.enter().claim("no mark", lambda now: not any(page.unsync_children for page in now.shadow.pages()))
    writes(vm, tables, pde, link)
    reads(vm, VA, 0x10, "the old page, linked again")
    vm.claim("one shadow page", lambda now: len(now.shadow.pages(pte.gfn, 1)) == 1)
    writes(vm, tables, pte, tables.leaf(0x20, READY))
    vm.set_cr3(value=tables.cr3)
    vm.enter().claim("synchronized", lambda now: not now.shadow.unsync)
    reads(vm, VA, 0x20, "the new page")


@story(
    source="mmu.c: fast_page_fault(): restored access may not be enough",
    about=(*AGING, "fast_page_fault", "restore_acc_track_spte"),
    modes=with_legacy("ept-noad"),
    mutants=[
        Mutant(
            "a write is fixed by restoring an SPTE that is read-only",
            Substitution(
                MMU_C,
                "if (new_spte == spte ||\n\t\t    !is_access_allowed(fault, new_spte))",
                "if (new_spte == spte)",
                function="fast_page_fault",
            ),
            "ept-noad",
        ),
    ],
)
def write_to_an_aged_page_that_is_read_only(vm: StoryBuilder) -> None:
    """A page of the host that is read-only was mapped and aged: a write takes the slow path at once.

    What aging saved allows no write, so that restoring it would only lead to another fault.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.touch(page=0, write=0)
    vm.access(gfn=GFN, kind=READ).claim("read-only", lambda now: not now.mapped(GFN).writable)
    vm.clear_flush_young(page=0).claim("it was young", lambda now: now.outcome == [1])
    vm.access(gfn=GFN, kind=WRITE).claim("writable", lambda now: now.mapped(GFN).writable)
    vm.claim("not by the fast path", lambda now: now.grown.pf_fast == 0)


@story(
    source="Intel SDM vol. 3, 4.4: PAE paging; mmu.c: mmu_alloc_shadow_roots()",
    about=("mmu_alloc_shadow_roots", "mmu_check_root", "load_pdptrs"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "the gfn of an entry that is not present is checked",
            Substitution(
                MMU_C,
                "if (!(pdptrs[i] & PT_PRESENT_MASK))\n\t\t\t\tcontinue;",
                "",
                "6.1",
                function="mmu_alloc_shadow_roots",
            ),
            "shadow",
        ),
    ],
)
def absent_entry_of_pae_names_no_memory(vm: StoryBuilder) -> None:
    """An entry of a PAE guest's top table names a gfn without memory, and is not present: it means nothing.

    With Present it would end the guest.
    """
    tables = guest(vm, PAE, data=[0x10])
    tables.map(VA, 0x10, READY)
    tables.set(Entry(tables.root, 3), 0xFFFFF << 12)
    tables.run()
    reads(vm, VA, 0x10, "by the first entry")
    vm.execute(address=0xC0000000, kind=READ).claim(
        "a fault of the guest", lambda now: now.exception == (14, 0, 0xC0000000)
    )


@story(
    source="mmu.c: kvm_mmu_sync_roots(): the four roots of a PAE guest",
    about=SYNC,
    modes=SHADOW,
    mutants=[
        Mutant(
            "below the roots of a PAE guest nothing is synchronized",
            Substitution(
                MMU_C,
                "sp = to_shadow_page(root);\n\t\t\tmmu_sync_children(vcpu, sp, true);",
                "sp = to_shadow_page(root);",
                "6.1",
                function="kvm_mmu_sync_roots",
            ),
            "shadow",
        ),
    ],
)
def flush_of_a_pae_guest_syncs(vm: StoryBuilder) -> None:
    """A PAE guest flushes its TLB with a leaf table out of sync: what its four roots lead to is synchronized.

    Toggling CR4.PGE flushes and leaves the roots.
    """
    tables = guest(vm, PAE, data=[0x10, 0x20], aliases=6)
    pte = tables.map(VA, 0x10, READY)
    tables.run()
    reads(vm, VA, 0x10, "the old page")
    writes(vm, tables, pte, tables.leaf(0x20, READY)).claim(
        "unsync", lambda now: now.shadow.unsync == {pte.gfn}
    )
    vm.set_cr4(value=CR4 | PGE)
    vm.enter().claim("synchronized", lambda now: not now.shadow.unsync)
    reads(vm, VA, 0x20, "the new page")


@story(
    source="mmu.c: kvm_mmu_free_obsolete_roots()",
    about=("kvm_mmu_free_obsolete_roots", "__kvm_mmu_free_obsolete_roots", "kvm_mmu_zap_all_fast"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "obsolete roots stay among the previous ones",
            Substitution(
                MMU_C,
                "if (is_obsolete_root(kvm, mmu->prev_roots[i].hpa))\n"
                "\t\t\troots_to_free |= KVM_MMU_ROOT_PREVIOUS(i);",
                "",
                "6.1",
                function="__kvm_mmu_free_obsolete_roots",
            ),
            "shadow",
        ),
    ],
)
def obsolete_previous_root(vm: StoryBuilder) -> None:
    """A memslot is deleted while a vCPU keeps a previous root: that root is let go, as the current one is.

    It belongs to a generation of shadow pages that is being zapped.
    """
    tables, other, _ = two_roots(vm, cr4=PCIDS)
    memory(vm, slot=1, gfn=0x1000, npages=16, page=0x1000)
    vm.set_cr3(value=tables.cr3 | 1)
    reads(vm, VA, 0x10, "by the first root")
    vm.set_cr3(value=other.cr3 | 2 | NO_FLUSH)
    reads(vm, VA, 0x10, "by the second root")
    vm.claim("one is kept", lambda now: any(root for root, _ in now.shadow.vcpu().prev_roots))
    vm.set_memory_region(slot=1, gfn=0x1000, npages=0, page=0)
    vm.enter().claim("none is kept", lambda now: not any(root for root, _ in now.shadow.vcpu().prev_roots))
    reads(vm, VA, 0x10, "by a new root")


@story(
    source=(
        'commit 2de4085cccea ("KVM: x86/MMU: Recursively zap nested TDP SPs when zapping last/only parent") '
        "in v5.10"
    ),
    about=("mmu_page_zap_pte", "kvm_mmu_page_unlink_children"),
    modes=NESTED_EPT,
    mutants=[
        Mutant(
            "tables of L2 stay when the last table above them is zapped",
            Substitution(MMU_C, "if (tdp_enabled && invalid_list &&", "if (0 && invalid_list &&"),
        ),
    ],
)
def tables_of_l2_go_with_their_parent(vm: StoryBuilder) -> None:
    """L1 writes a directory of L2 until KVM no longer shadows it: the tables below it go with it.

    Each L2 has tables of its own, which would be left behind until KVM runs out of shadow pages.
    """
    tables = l1(vm, data=(0x10,))
    tables.map(GPA, 0x10)
    directory = tables.entry(GPA, 3)
    enters(vm, tables)
    vm.execute(address=GPA, kind=READ).claim(
        "a leaf table is shadowed", lambda now: now.shadow.pages(tables.table_of(GPA), 1, guest_mode=1)
    )
    vm.leave_l2()
    for _ in range(4):
        changes(vm, tables, Entry(directory.gfn, 0x1FF), 0)
    vm.claim(
        "neither the directory nor the leaf table is shadowed",
        lambda now: not now.shadow.pages(tables.table_of(GPA), 1, guest_mode=1),
    )

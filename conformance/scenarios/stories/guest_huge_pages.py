# SPDX-License-Identifier: GPL-2.0-only
"""Huge pages of a shadowed guest: direct pages below them, the host's own huge pages, and NX huge pages."""

from __future__ import annotations

from conformance.interface.access import End
from conformance.kernels.substitutions import INTERNAL_H, MMU_C, PAGING_TMPL_H, Substitution
from conformance.model.changes import (
    CHILD_GFN_COMPARED,
    CHILD_ROLE_COMPARED,
    PAGE_STATISTICS,
    TRAILING_SPTES_PREFETCHED,
)
from conformance.scenarios.stories.functions import HUGE_LEVEL, NX, SHADOW_FAULT
from conformance.scenarios.stories.guest_tables import (
    PAGE,
    READY,
    RW,
    SHADOW,
    US,
    VA,
    A,
    D,
    Entry,
    P,
    content,
    guest,
    reads,
    writes,
)
from conformance.scenarios.stories.setting import FETCH, HUGE, LOG, READ, WRITE, X2M
from conformance.scenarios.story import Fault, Mutant, StoryBuilder, story

DOCUMENT = "Documentation/virt/kvm/x86/mmu.rst"
BIG, BIGGER = 0x40000000, 0x40200000
"""Two addresses that the guest maps by huge pages."""


@story(
    source=f"{DOCUMENT}: direct pages; paging_tmpl.h: fetch()",
    about=(*SHADOW_FAULT, "validate_direct_spte", "__direct_pte_prefetch"),
    modes=SHADOW,
)
def guest_huge_on_small(vm: StoryBuilder) -> None:
    """Two huge pages of the guest, one read-only, map the same 2M; the host has it in small pages.

    The small mappings need a table that the guest does not have: a direct page. There is one for each access.
    """
    tables = guest(vm, data=[5, 6], npages=0x400)
    tables.map(BIG, 0, READY, level=HUGE)
    tables.map(BIGGER, 0, P | US | A | D, level=HUGE)
    tables.run()
    reads(vm, BIG + 5 * PAGE, 5, "through the writable one")
    vm.claim("a small mapping", lambda now: now.shadow.mapped(BIG + 5 * PAGE).level == 1)
    reads(vm, BIGGER + 5 * PAGE, 5, "through the read-only one")
    vm.claim("two direct pages", lambda now: len(now.shadow.pages(0, 1, direct=1)) == 2)
    vm.claim("one read-only", lambda now: not now.shadow.mapped(BIGGER + 5 * PAGE).writable)
    vm.claim("one writable", lambda now: now.shadow.mapped(BIG + 5 * PAGE).writable)
    vm.execute(address=BIGGER + 5 * PAGE, kind=WRITE)
    vm.claim("the guest's fault", lambda now: now.exception == (14, 3, BIGGER + 5 * PAGE))
    vm.execute(address=BIG + 6 * PAGE, kind=WRITE, value=1).claim(
        "written", lambda now: now.executed.end == End.DONE
    )
    vm.claim("nothing has a shadowed translation", lambda now: now.shadow.rmap(5).sptes == 2)


@story(
    source='commit 9e7b0e7fba45 ("KVM: MMU: fix direct sp\'s access corrupted") in v2.6.36',
    about=("validate_direct_spte", "paging64_fetch", "drop_parent_pte"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "direct pages have all access",
            Substitution(PAGING_TMPL_H, "direct_access = gw->pte_access;", "direct_access = ACC_ALL;"),
            "shadow",
        ),
    ],
)
def dirty_becomes_another_direct_page(vm: StoryBuilder) -> None:
    """A clean huge page of the guest is read, then written: another direct page takes the place of the first.

    The first had no write access, and may be shared by read-only mappings. Later the guest makes the entry
    read-only again, and the first is used once more.
    """
    tables = guest(vm, data=[0x405, 0x406], npages=0x800, aliases=8)
    pde = tables.map(BIG, 0x400, P | RW | US | A, level=HUGE)
    tables.run()
    page = 0x400
    reads(vm, BIG + 5 * PAGE, 0x405, "clean")
    vm.claim("a direct page without W", lambda now: len(now.shadow.pages(page, 1, direct=1)) == 1)
    vm.execute(address=BIG + 5 * PAGE, kind=WRITE, value=1)
    vm.claim("the guest's entry is dirty", lambda now: now.gpte(pde.at, 0x400) & D)
    vm.claim(
        "there is another one",
        lambda now: len({p.role.access for p in now.shadow.pages(page, 1, direct=1)}) >= 1,
    )
    vm.claim("writable", lambda now: now.shadow.mapped(BIG + 5 * PAGE).writable)
    reads(vm, BIG + 6 * PAGE, 0x406, "the neighbour")
    writes(vm, tables, pde, tables.leaf(0x400, P | US | A | D, level=HUGE))
    vm.invlpg(address=BIG + 5 * PAGE)
    vm.execute(address=BIG + 5 * PAGE, kind=WRITE, value=2)
    vm.claim("read-only now", lambda now: now.exception == (14, 3, BIG + 5 * PAGE))
    vm.execute(address=BIG + 5 * PAGE, kind=READ).claim("still readable", lambda now: now.value == 1)


@story(
    source=f"{DOCUMENT}: large pages; mmu.c: rmap_write_protect() of all levels",
    about=(*HUGE_LEVEL, "kvm_mmu_slot_remove_write_access", "kvm_arch_mmu_enable_log_dirty_pt_masked"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "huge SPTEs stay writable when logging is enabled",
            Substitution(
                MMU_C,
                "slot_handle_level(kvm, memslot, slot_rmap_write_protect,\n"
                "\t\t\t\t  start_level, KVM_MAX_HUGEPAGE_LEVEL, false);",
                "",
            ),
            "shadow",
        ),
        Mutant(
            "pages of the guest's size are mapped at most in 4K",
            Substitution(
                PAGING_TMPL_H,
                "fault->max_level = walker.level;",
                "fault->max_level = PG_LEVEL_4K;",
            ),
            "shadow",
        ),
    ],
)
def huge_on_huge(vm: StoryBuilder) -> None:
    """A huge page of the guest on one of the host is one SPTE; logging takes its place by small ones.

    Shadow paging never splits it eagerly: it is write-protected, and the next write maps 4K.
    """
    tables = guest(vm, npages=0x600, level=HUGE)
    tables.map(BIG, 0x400, READY, level=HUGE)
    tables.run()
    vm.execute(address=BIG + 5 * PAGE, kind=WRITE, value=1)
    vm.claim(
        "2M in one SPTE",
        lambda now: now.shadow.mapped(BIG).level == HUGE and now.state.pages_2m == 1,
        since=PAGE_STATISTICS,
    )
    vm.claim("in the rmap of 2M", lambda now: now.shadow.rmap(0x400, HUGE).sptes == 1)
    vm.set_memory_region(gfn=0, npages=0x600, page=0, flags=LOG)
    vm.claim(
        "write-protected or gone", lambda now: (leaf := now.shadow.leaf(BIG)) is None or not leaf.writable
    )
    vm.execute(address=BIG + 5 * PAGE, kind=WRITE, value=2)
    vm.claim("4K", lambda now: now.shadow.mapped(BIG + 5 * PAGE).level == 1)
    vm.get_dirty_log().claim(
        "logged, alone of the data", lambda now: {g for g in now.logged if g >= 0x400} == {0x405}
    )
    vm.execute(address=BIG + 6 * PAGE, kind=READ).claim(
        "its neighbour", lambda now: now.executed.end == End.DONE
    )
    vm.set_memory_region(gfn=0, npages=0x600, page=0, flags=0)
    vm.execute(address=BIG + 6 * PAGE, kind=WRITE, value=3)
    vm.claim("written", lambda now: now.executed.end == End.DONE)
    vm.madvise_dontneed(page=0x400).claim("unmapped", lambda now: not now.shadow.mapping(0x400))


@story(
    source=f"{DOCUMENT}; Documentation/admin-guide/hw-vuln/multihit.rst",
    about=NX,
    modes=SHADOW,
    nx_huge_pages=1,
    mutants=[
        Mutant(
            "a table that exists for execution is not accounted",
            Substitution(
                PAGING_TMPL_H,
                "if (fault->huge_page_disallowed &&\n\t\t    fault->req_level >= it.level)\n"
                "\t\t\taccount_huge_nx_page(vcpu->kvm, sp);",
                "",
            ),
            "shadow",
        ),
        Mutant(
            "a page split for execution is not accounted",
            Substitution(
                PAGING_TMPL_H,
                "account_huge_nx_page(vcpu->kvm, sp);",
                ";",
            ),
            "shadow",
        ),
        Mutant(
            "an execution is handled as a read",
            Substitution(
                INTERNAL_H,
                ".exec = err & PFERR_FETCH_MASK,",
                ".exec = false,",
                function="kvm_mmu_do_page_fault",
            ),
            "shadow",
        ),
        Mutant(
            "the mitigation does not apply to faults",
            Substitution(
                INTERNAL_H,
                ".nx_huge_page_workaround_enabled =\n\t\t\tis_nx_huge_page_enabled(vcpu->kvm),",
                ".nx_huge_page_workaround_enabled = false,",
                function="kvm_mmu_do_page_fault",
            ),
            "shadow",
        ),
    ],
)
def execution_on_a_shadowed_huge_page(vm: StoryBuilder) -> None:
    """With the mitigation of multihit a huge page is not executable; a fetch makes KVM use a direct page.

    The recovery worker zaps that page later, so that the next access may map 2M again.
    """
    tables = guest(vm, npages=0x600, level=HUGE)
    tables.map(BIG, 0x400, READY, level=HUGE)
    tables.run()
    vm.execute(address=BIG, kind=READ).claim(
        "2M without X", lambda now: not now.shadow.mapped(BIG).executable
    )
    vm.execute(address=BIG + 5 * PAGE, kind=FETCH).claim("fetched", lambda now: now.executed.end == End.DONE)
    vm.claim("4K with X", lambda now: now.shadow.mapped(BIG + 5 * PAGE).executable)
    vm.claim("accounted", lambda now: now.state.nx_lpage_splits == 1)
    vm.claim("in a direct page", lambda now: now.shadow.page(0x400, 1, direct=1).nx_huge_page_disallowed)
    vm.execute(address=BIG + 6 * PAGE, kind=FETCH).claim(
        "the next too", lambda now: now.executed.end == End.DONE
    )
    vm.recover_nx_huge_pages().claim("zapped", lambda now: not now.shadow.pages(0x400, 1, direct=1))
    vm.claim("not accounted", lambda now: now.state.nx_lpage_splits == 0)
    vm.execute(address=BIG, kind=READ).claim("2M again", lambda now: now.shadow.mapped(BIG).level == HUGE)


@story(
    source=(
        'commit 0cb2af2ea66a ("KVM: x86: Fix shadow paging use-after-free due to unexpected GFN") in v7.1 '
        "(CVE-2026-46113)"
    ),
    about=("kvm_mmu_get_child_sp", "paging64_fetch", "validate_direct_spte"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "the direct page of another gfn is used",
            Substitution(
                MMU_C,
                "spte_to_child_sp(*sptep)->gfn == gfn &&",
                "",
                function="kvm_mmu_get_child_sp",
            ),
            "shadow",
        ),
    ],
    shows=[
        Fault(
            "SPTEs are added to the rmap of one gfn and sought in another (CVE-2026-46113)",
            CHILD_GFN_COMPARED,
        )
    ],
)
def pde_changed_outside(vm: StoryBuilder) -> None:
    """Userspace changes a huge entry of the guest to another 2M: the first one's direct page must go.

    KVM does not see such a write. The page's rmaps would be added under one gfn and removed under another,
    and SPTEs of freed memory stay.
    """
    tables = guest(vm, data=[0x405, 0x606], npages=0x800)
    pde = tables.map(BIG, 0x400, READY, level=HUGE)
    tables.run()
    reads(vm, BIG + 5 * PAGE, 0x405, "the first 2M")
    tables.set(pde, tables.leaf(0x600, READY, level=HUGE))
    reads(vm, BIG + 6 * PAGE, 0x606, "the other 2M")
    vm.claim(
        "a direct page of its own",
        lambda now: now.shadow.page(0x600, 1, direct=1).parents == 1,
        since=CHILD_GFN_COMPARED,
    )
    vm.claim("no complaint", lambda now: not now.events, since=CHILD_GFN_COMPARED)
    vm.claim(
        "rmaps are right",
        lambda now: now.shadow.rmap(0x606).sptes == 1 and now.shadow.rmap(0x406).sptes == 0,
        since=CHILD_GFN_COMPARED,
    )
    vm.madvise_dontneed(page=0x600, npages=X2M)
    vm.claim("nothing maps it", lambda now: now.shadow.leaf(BIG + 6 * PAGE) is None)
    vm.madvise_dontneed(page=0x400, npages=X2M)
    vm.claim("nothing is left of the first", lambda now: not now.shadow.mapping(0x405))
    vm.set_memory_region(gfn=0, npages=0, page=0).claim(
        "no complaint", lambda now: not now.events, since=CHILD_GFN_COMPARED
    )


@story(
    source=(
        'commit 81ccda30b4e8 ("KVM: x86: Fix shadow paging use-after-free due to unexpected role") in v7.1 '
        "(CVE-2026-53359)"
    ),
    about=("kvm_mmu_get_child_sp", "paging64_fetch", "kvm_mmu_page_get_gfn"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "a shadow page of another role is used",
            Substitution(
                MMU_C,
                "spte_to_child_sp(*sptep)->gfn == gfn &&\n"
                "\t    spte_to_child_sp(*sptep)->role.word == role.word)",
                "spte_to_child_sp(*sptep)->gfn == gfn)",
                function="kvm_mmu_get_child_sp",
            ),
            "shadow",
        ),
    ],
    shows=[
        Fault(
            "a direct page is used for a table that userspace put in its place (CVE-2026-53359)",
            CHILD_ROLE_COMPARED,
        )
    ],
)
def pde_becomes_a_table_outside(vm: StoryBuilder) -> None:
    """Userspace changes a huge entry of the guest to a table at the same gfn: not the direct page of before.

    A direct page has no shadowed translations; used for the table it would map, and forget, wrong gfns.
    """
    tables = guest(vm, data=[0x405, 0x15, 0x16], npages=0x800)
    pde = tables.map(BIG, 0x400, READY, level=HUGE)
    tables.run()
    reads(vm, BIG + 5 * PAGE, 0x405, "through the huge page")
    for n in range(8):
        vm.store(gfn=0x400, index=n, value=tables.leaf(0x10 + n, READY))
    tables.set(pde, tables.link(0x400))
    reads(vm, BIG + 6 * PAGE, 0x16, "through the table")
    vm.claim(
        "a shadow page of the table",
        lambda now: now.shadow.page(0x400, 1, direct=0).parents == 1,
        since=CHILD_ROLE_COMPARED,
    )
    vm.claim("no complaint", lambda now: not now.events, since=CHILD_ROLE_COMPARED)
    vm.madvise_dontneed(page=0x10, npages=8)
    vm.claim("nothing maps them", lambda now: not now.shadow.mapping(0x15) + now.shadow.mapping(0x16))
    vm.madvise_dontneed(page=0x400, npages=X2M).claim(
        "no complaint", lambda now: not now.events, since=CHILD_ROLE_COMPARED
    )


@story(
    source="mmu.c: mmu_set_spte() over an entry that points to a table",
    about=("mmu_set_spte", "drop_parent_pte", "paging64_fetch"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "the table below a huge SPTE keeps it as a parent",
            Substitution(
                MMU_C,
                "drop_parent_pte(child, sptep);",
                "",
                function="mmu_set_spte",
            ),
            "shadow",
        ),
        Mutant(
            "4K of the guest are mapped by a huge page of the host",
            Substitution(
                PAGING_TMPL_H,
                "fault->max_level = walker.level;",
                "fault->max_level = PG_LEVEL_2M;",
            ),
            "shadow",
        ),
    ],
)
def table_becomes_a_huge_page_outside(vm: StoryBuilder) -> None:
    """Userspace changes an entry that leads to a table to a huge page: the huge SPTE takes the table's place.

    KVM does not see such a write. The shadow page of the table has a parent less, or its end would clear the
    huge SPTE.
    """
    tables = guest(vm, data=[0x10, 0x405], npages=0x800, level=HUGE)
    tables.map(BIG, 0x10, READY)
    table = tables.table_of(BIG)
    tables.run()
    reads(vm, BIG, 0x10, "through the table")
    tables.set(tables.entry(BIG, 2), tables.leaf(0x400, READY, level=HUGE))
    reads(vm, BIG + 5 * PAGE, 0x405, "through the huge page")
    vm.claim("2M", lambda now: now.shadow.mapped(BIG).level == HUGE)
    vm.claim("the table has no parent", lambda now: now.shadow.page(table, 1).parents == 0)
    vm.claim("no complaint", lambda now: not now.events)


@story(
    source='commit 7751babd3c6d ("KVM: MMU: fix infinite fault access retry") in v3.9',
    about=("paging64_page_fault", "kvm_mmu_hugepage_adjust", "account_shadowed"),
    modes=SHADOW,
)
def table_in_its_own_huge_page(vm: StoryBuilder) -> None:
    """A huge page of the guest maps the page tables that translate it: KVM maps it in small pages.

    The gfns of shadowed tables must not be writable. A huge SPTE would be zapped by the shadow page that the
    fault itself creates, and the guest would fault for ever.
    """
    tables = guest(vm, npages=0x600, level=HUGE)
    tables.map(VA, 0x410, READY)
    tables.map(BIG, X2M, READY, level=HUGE)
    tables.run()
    vm.execute(address=VA, kind=WRITE, value=3).claim(
        "shadowed", lambda now: now.shadow.pages(tables.root, 4)
    )
    pte = tables.entry(VA)
    place = BIG + (pte.gfn - X2M) * PAGE + 8 * (pte.at + 1)
    vm.execute(address=place, kind=READ).claim("no endless faults", lambda now: now.executed.end == End.DONE)
    vm.claim("4K", lambda now: now.shadow.mapped(place).level == 1)
    vm.execute(address=place, kind=WRITE, value=tables.leaf(0x411, READY))
    vm.claim("its leaf table", lambda now: now.executed.end in (End.DONE, End.EMULATED))
    vm.execute(address=VA + PAGE, kind=READ).claim(
        "takes effect", lambda now: now.shadow.mapped(VA + PAGE).gfn == 0x411
    )
    pde = tables.entry(BIG, 2)
    vm.execute(address=BIG + (pde.gfn - X2M) * PAGE + 0x800, kind=WRITE, value=0)
    vm.claim("its directory: emulated", lambda now: now.executed.end == End.EMULATED)
    vm.claim("2M must not be mapped there", lambda now: now.shadow.rmap(X2M, HUGE).disallow_lpage > 0)


@story(
    source='commit 7751babd3c6d ("KVM: MMU: fix infinite fault access retry") in v3.9',
    about=("paging64_fetch", "kvm_mmu_hugepage_adjust", "account_shadowed"),
    modes=SHADOW,
)
def directory_in_its_own_huge_page(vm: StoryBuilder) -> None:
    """A directory's only entry maps the 2M that the directory lies in, and nothing of it is shadowed yet.

    The fault makes the directory's shadow page itself, so the size of the mapping must be chosen after that:
    a writable huge SPTE would let the guest write its directory unseen.
    """
    tables = guest(vm, npages=0x600, level=HUGE)
    directory = 0x410
    tables.share(BIG, directory, level=2)
    pde = Entry(directory, tables.format.index(BIG, 2))
    tables.set(pde, tables.leaf(0x400, READY, level=HUGE))
    tables.run()
    vm.execute(address=BIG, kind=READ).claim("no endless faults", lambda now: now.executed.end == End.DONE)
    vm.claim("4K", lambda now: now.shadow.mapped(BIG).level == 1)
    own = BIG + (directory - 0x400) * PAGE
    vm.execute(address=own + 8 * (pde.at + 1), kind=WRITE, value=tables.leaf(0x200, READY, level=HUGE))
    vm.claim("a write to it is emulated", lambda now: now.executed.end == End.EMULATED)
    vm.execute(address=own + 8 * pde.at, kind=WRITE, value=0)
    vm.claim("the entry that leads there, too", lambda now: now.executed.end == End.EMULATED)
    vm.execute(address=BIG, kind=READ).claim("takes effect", lambda now: now.exception == (14, 0, BIG))


@story(
    source="virt/kvm/kvm_main.c: collapse and split of the host's pages; mmu.c: kvm_unmap_gfn_range()",
    about=("kvm_unmap_gfn_range", *HUGE_LEVEL),
    modes=SHADOW,
)
def host_collapses_under_a_shadowed_guest(vm: StoryBuilder) -> None:
    """Small pages of the host become a huge page: the direct page's SPTEs go, and 2M are mapped next time.

    The content stays: the guest reads what it wrote.
    """
    tables = guest(vm, data=[0x405], npages=0x800)
    tables.map(BIG, 0x400, READY, level=HUGE)
    tables.run()
    reads(vm, BIG + 5 * PAGE, 0x405, "in 4K")
    vm.claim("small", lambda now: now.shadow.mapped(BIG + 5 * PAGE).level == 1)
    vm.collapse(page=0x405).claim("unmapped", lambda now: not now.shadow.mapping(0x405))
    reads(vm, BIG + 5 * PAGE, 0x405, "the content moved")
    vm.claim("2M", lambda now: now.shadow.mapped(BIG + 5 * PAGE).level == HUGE)
    vm.claim("the direct page is unlinked", lambda now: now.shadow.page(0x400, 1, direct=1).parents == 0)
    vm.madvise_dontneed(page=0x407).claim("all of it is unmapped", lambda now: now.shadow.leaf(BIG) is None)
    reads(vm, BIG + 5 * PAGE, 0x405, "small again")


@story(
    source="mmu.c: __direct_pte_prefetch()",
    about=("__direct_pte_prefetch", "direct_pte_prefetch_many", "kvm_mmu_prefetch_sptes"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "prefetching in a direct page begins one entry late",
            Substitution(
                MMU_C,
                "} else if (!start)\n\t\t\tstart = spte;",
                "} else if (!start)\n\t\t\tstart = spte + 1;",
            ),
            "shadow",
        ),
    ],
)
def prefetch_in_a_direct_page(vm: StoryBuilder) -> None:
    """A fault below a huge page of the guest maps the neighbours that the host has, among eight in a row.

    There are no entries of the guest to look at: what is in memory is mapped, with the access of the page.
    """
    tables = guest(vm, data=[0x400, 0x401, 0x402, 0x405, 0x408], npages=0x800)
    tables.map(BIG, 0x400, P | US | A | D, level=HUGE)
    tables.run()
    reads(vm, BIG + PAGE, 0x401, "a fault")
    vm.claim(
        "those in memory are mapped, up to the first that is not",
        lambda now: [g for g in range(0x400, 0x410) if now.shadow.mapping(g)] == [0x400, 0x401, 0x402],
        since=TRAILING_SPTES_PREFETCHED,
    )
    vm.claim("all read-only", lambda now: not any(leaf.writable for leaf in now.shadow.mapping(0x402)))
    vm.execute(address=BIG + 2 * PAGE, kind=READ).claim(
        "no exit", lambda now: not now.handled, since=TRAILING_SPTES_PREFETCHED
    )
    vm.claim("its content", lambda now: now.value == content(0x402))

# SPDX-License-Identifier: GPL-2.0-only
"""The life of shadow pages: their limit, memslots that go, the host's changes, MMIO, the dirty log."""

from __future__ import annotations

from conformance.interface.access import MMIO_EXIT, End, Exit
from conformance.interface.steps import READONLY
from conformance.kernels.substitutions import INTERNAL_H, MMU_C, PAGING_TMPL_H, Substitution
from conformance.model.changes import INVALIDATION_RANGE
from conformance.scenarios.stories.functions import IN_PROGRESS, INVALIDATE
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
    content,
    guest,
    reads,
    writes,
)
from conformance.scenarios.stories.setting import LOG, READ, WRITE, X2M, memory
from conformance.scenarios.story import Mutant, StoryBuilder, story

DOCUMENT = "Documentation/virt/kvm/x86/mmu.rst"
DEVICE = 0xFEC00
LEAST = 64
"""The least limit of shadow pages that KVM accepts."""


@story(
    source="mmu.c: make_mmu_pages_available(), kvm_mmu_zap_oldest_mmu_pages(), kvm_mmu_change_mmu_pages()",
    about=("kvm_mmu_zap_oldest_mmu_pages", "make_mmu_pages_available", "kvm_mmu_change_mmu_pages"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "roots that are in use are zapped too",
            Substitution(MMU_C, "if (sp->root_count)\n\t\t\tcontinue;\n\n\t\tunstable", "unstable"),
            "shadow",
        ),
        Mutant(
            "the newest pages are zapped instead of the oldest",
            Substitution(
                MMU_C,
                "list_for_each_entry_safe_reverse(sp, tmp, &kvm->arch.active_mmu_pages, link) {",
                "list_for_each_entry_safe(sp, tmp, &kvm->arch.active_mmu_pages, link) {",
                function="kvm_mmu_zap_oldest_mmu_pages",
            ),
            "shadow",
        ),
    ],
)
def few_shadow_pages(vm: StoryBuilder) -> None:
    """A guest with seventy page tables may have 64 shadow pages: the oldest are zapped to make room.

    A root in use is kept; what was zapped is built anew when it is needed. A lower limit zaps at once.
    """
    number = 70
    tables = guest(vm, data=[0x10], npages=0x400)
    start = 0x100000000
    for n in range(number):
        tables.map(start + (n << 21), 0x10, READY)
    tables.map(VA, 0x10, READY)
    tables.run()
    vm.set_nr_mmu_pages(n=LEAST).claim("the limit", lambda now: now.shadow.counters.n_max_mmu_pages == LEAST)
    reads(vm, VA, 0x10, "the first")
    for n in range(number):
        vm.execute(address=start + (n << 21), kind=READ)
    vm.claim("not many more than the limit", lambda now: now.shadow.counters.n_used_mmu_pages <= LEAST + 4)
    vm.claim("some were recycled", lambda now: now.shadow.counters.mmu_recycled > 0)
    vm.claim("the root is still there", lambda now: now.shadow.page(tables.root, 4).root_count == 1)
    vm.claim("the oldest table is not", lambda now: not now.shadow.pages(tables.table_of(VA), 1))
    vm.claim("the newest is", lambda now: now.shadow.leaf(start + (number - 1 << 21)))
    reads(vm, VA, 0x10, "mapped again")


@story(
    source="mmu.c: make_mmu_pages_available(), kvm_mmu_zap_oldest_mmu_pages(), kvm_mmu_change_mmu_pages()",
    about=("kvm_mmu_zap_oldest_mmu_pages", "make_mmu_pages_available", "kvm_mmu_change_mmu_pages"),
    modes=("legacy-ept-ad",),
)
def few_pages_without_guest_tables(vm: StoryBuilder) -> None:
    """A new limit of shadow pages zaps the oldest at once; faults and roots zap others to make room.

    Each of seventy accesses needs a table of its own, and another address space a root.
    """
    number = 70
    memory(vm, gfn=0, npages=number * X2M)
    memory(vm, gfn=0, npages=16, page=number * X2M, slot=1, as_id=1)
    for n in range(number):
        vm.access(gfn=n * X2M, kind=READ)
    vm.claim("more than the limit", lambda now: now.shadow.counters.n_used_mmu_pages > LEAST)
    vm.set_nr_mmu_pages(n=LEAST)
    vm.claim("zapped at once", lambda now: now.shadow.counters.n_used_mmu_pages <= LEAST)
    for n in range(number - 11):
        vm.access(gfn=n * X2M, kind=READ)
    vm.claim("few are left", lambda now: LEAST - 5 < now.shadow.counters.n_used_mmu_pages <= LEAST)
    vm.smm(on=1).enter()
    vm.claim("zapped for the root", lambda now: now.shadow.counters.n_used_mmu_pages < LEAST - 5)
    vm.access(gfn=1, kind=READ).claim("and the guest goes on", lambda now: now.end == End.DONE)


@story(
    source="mmu.c: make_mmu_pages_available(), mmu_alloc_shadow_roots()",
    about=("kvm_mmu_zap_oldest_mmu_pages", "make_mmu_pages_available", "mmu_alloc_shadow_roots"),
    modes=SHADOW,
)
def few_pages_for_another_root(vm: StoryBuilder) -> None:
    """A guest that has as many shadow pages as it may loads another CR3: the oldest are zapped for the root.

    The new root is made before the guest can fault on anything.
    """
    number = 57
    tables = guest(vm, data=[0x10], npages=0x400)
    start = 0x100000000
    for n in range(number):
        tables.map(start + (n << 21), 0x10, READY)
    other = tables.another(0x380)
    other.map(VA, 0x10, READY)
    tables.run()
    vm.set_nr_mmu_pages(n=LEAST)
    for n in range(number):
        vm.execute(address=start + (n << 21), kind=READ)
    vm.claim("few are left", lambda now: LEAST - 5 < now.shadow.counters.n_used_mmu_pages <= LEAST)
    vm.set_cr3(value=other.cr3).enter()
    vm.claim("zapped for the root", lambda now: now.shadow.counters.mmu_recycled > 0)
    reads(vm, VA, 0x10, "below the new root")


@story(
    source="mmu.c: kvm_zap_obsolete_pages(), is_obsolete_sp(); kvm_mmu_zap_all_fast()",
    about=(
        "kvm_mmu_invalidate_zap_pages_in_memslot",
        "kvm_arch_flush_shadow_memslot",
        "__kvm_mmu_zap_all_fast_front_half",
        "kvm_zap_obsolete_pages",
        "is_obsolete_sp",
        "kvm_mmu_free_obsolete_roots",
    ),
    modes=SHADOW,
    vcpus=2,
    mutants=[
        Mutant(
            "pages from before are as good as new ones",
            Substitution(
                MMU_C,
                "unlikely(sp->mmu_valid_gen != kvm->arch.mmu_valid_gen)",
                "0",
                function="is_obsolete_sp",
            ),
            "shadow",
        ),
        Mutant(
            "obsolete shadow pages are never zapped",
            Substitution(
                MMU_C,
                "kvm_zap_obsolete_pages(kvm);",
                ";",
                "7.3",
                function="__kvm_mmu_zap_all_fast_front_half",
            ),
            "shadow",
        ),
        Mutant(
            "vCPUs keep their obsolete roots",
            Substitution(
                MMU_C,
                "kvm_make_all_cpus_request(kvm, KVM_REQ_MMU_FREE_OBSOLETE_ROOTS);",
                ";",
                "7.3",
                function="__kvm_mmu_zap_all_fast_front_half",
            ),
            "shadow",
        ),
    ],
)
def obsolete_shadow_pages(vm: StoryBuilder) -> None:
    """A memslot is deleted: all shadow pages are obsolete, and each vCPU gets a new root when it enters.

    A root of the old generation stays, invalid, until the last vCPU has dropped it.
    """
    tables = guest(vm, data=[0x10])
    memory(vm, slot=1, gfn=0x1000, npages=16, page=0x1000)
    tables.map(VA, 0x10, READY)
    tables.map(VA + PAGE, 0x1003, READY)
    for vcpu in (0, 1):
        tables.run(vcpu)
        reads(vm, VA, 0x10, "mapped", vcpu=vcpu)
    vm.execute(address=VA + PAGE, kind=WRITE, value=1).claim(
        "memory", lambda now: now.executed.end == End.DONE
    )
    vm.set_memory_region(slot=1, gfn=0x1000, npages=0, page=0x1000)
    vm.claim("nothing is mapped", lambda now: not now.shadow.mapping(0x10) + now.shadow.mapping(0x1003))
    vm.claim("the old root waits", lambda now: [p.root_count for p in now.shadow.pages(invalid=1)] == [2])
    reads(vm, VA, 0x10, "a new root")
    vm.claim(
        "the old one waits for vCPU 1", lambda now: [p.root_count for p in now.shadow.pages(invalid=1)] == [1]
    )
    reads(vm, VA, 0x10, "the same new one", vcpu=1)
    vm.claim("two users", lambda now: now.shadow.page(tables.root, 4, invalid=0).root_count == 2)
    vm.claim("the old one is gone", lambda now: not now.shadow.pages(invalid=1))
    vm.execute(address=VA + PAGE, kind=READ).claim("MMIO now", lambda now: now.executed.end == End.USERSPACE)


@story(
    source=f"{DOCUMENT}: fast invalidation of MMIO sptes",
    about=("make_mmio_spte", "handle_mmio_page_fault", "sync_mmio_spte", "mark_mmio_spte"),
    modes=("shadow", "shadow-l1tf"),
    mutants=[
        Mutant(
            "an MMIO SPTE keeps its gfn when its table is synchronized",
            Substitution(MMU_C, "if (gfn != get_mmio_spte_gfn(*sptep)) {", "if (0) {"),
            "shadow",
        ),
        Mutant(
            "emulated faults are not counted",
            Substitution(
                INTERNAL_H,
                "vcpu->stat.pf_emulate++;",
                ";",
                function="kvm_mmu_do_page_fault",
            ),
            "shadow",
        ),
    ],
)
def mmio_of_a_shadowed_guest(vm: StoryBuilder) -> None:
    """A guest maps a device: KVM caches that in an MMIO SPTE, which synchronizing updates or drops.

    The next access exits with a reserved bit, and KVM emulates it without a walk of the guest's tables.
    """
    tables = guest(vm, data=[0x10], aliases=8)
    pte = tables.map(VA, DEVICE, READY)
    tables.run()
    vm.execute(address=VA, kind=READ).claim("to userspace", lambda now: now.executed.end == End.USERSPACE)
    vm.claim("for that address", lambda now: now.executed.words[1] == DEVICE << 12)
    vm.claim("cached", lambda now: now.shadow.is_mmio(VA))
    vm.execute(address=VA, kind=WRITE, value=1)
    vm.claim("an MMIO exit", lambda now: now.handled == [MMIO_EXIT + Exit.EMULATE])
    vm.claim("a write", lambda now: now.executed.words[2] == 1)
    writes(vm, tables, pte, tables.leaf(DEVICE + 1, READY))
    vm.set_cr3(value=tables.cr3)
    vm.execute(address=VA, kind=READ)
    vm.claim("the next page of it", lambda now: now.executed.words[1] == DEVICE + 1 << 12)
    writes(vm, tables, pte, tables.leaf(0x10, READY))
    vm.set_cr3(value=tables.cr3)
    vm.enter().claim("dropped", lambda now: not now.shadow.is_mmio(VA))
    reads(vm, VA, 0x10, "memory")
    writes(vm, tables, pte, tables.leaf(DEVICE, READY))
    vm.invlpg(address=VA)
    vm.execute(address=VA, kind=READ).claim("a device again", lambda now: now.executed.end == End.USERSPACE)


@story(
    source="module parameter mmio_caching=N; mmu.c: handle_abnormal_pfn(), kvm_handle_noslot_fault()",
    about=("handle_abnormal_pfn", "kvm_handle_noslot_fault"),
    modes=("shadow-nommio",),
)
def mmio_without_caching(vm: StoryBuilder) -> None:
    """Without MMIO caching a device has no SPTE: each access is an ordinary fault that KVM emulates.

    A fault of the guest's own tables still is the guest's.
    """
    tables = guest(vm, data=[0x10])
    tables.map(VA, DEVICE, READY)
    tables.run()
    for _ in range(2):
        vm.execute(address=VA, kind=READ).claim("to userspace", lambda now: now.executed.end == End.USERSPACE)
        vm.claim("no MMIO exit", lambda now: all(handled < MMIO_EXIT for handled in now.handled))
        vm.claim("nothing is cached", lambda now: not now.shadow.is_mmio(VA))
    vm.execute(address=VA + PAGE, kind=READ).claim("#PF", lambda now: now.exception == (14, 0, VA + PAGE))


@story(
    source=(
        'commit aad885e77496 ("KVM: x86/mmu: Drop/zap existing present SPTE even when creating an MMIO '
        'SPTE") in v7.0 (CVE-2026-23401)'
    ),
    about=("mmu_set_spte", "mark_mmio_spte"),
    modes=SHADOW,
)
def present_then_mmio(vm: StoryBuilder) -> None:
    """Userspace lets a present entry of the guest point to a device: the old SPTE is dropped from its rmap.

    Otherwise the rmap names an entry that is none of its page's, and the next unmap meets it.
    """
    tables = guest(vm, data=[0x10])
    pte = tables.map(VA, 0x10, P | US | A | D)
    tables.run()
    reads(vm, VA, 0x10, "memory")
    tables.set(pte, tables.leaf(DEVICE, READY))
    vm.execute(address=VA, kind=WRITE, value=1)
    vm.claim("a device", lambda now: now.executed.end == End.USERSPACE)
    vm.claim(
        "nothing maps the page", lambda now: not now.shadow.mapping(0x10) and now.shadow.rmap(0x10).sptes == 0
    )
    vm.claim("no complaint", lambda now: not now.events)
    vm.madvise_dontneed(page=0x10).claim("nor here", lambda now: not now.events)


@story(
    source="virt/kvm/kvm_main.c: MMU notifiers; mmu.c: kvm_unmap_gfn_range() by rmap",
    about=(*INVALIDATE, "kvm_unmap_gfn_range", "kvm_handle_gfn_range"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "an unmap does not reach the rmaps",
            Substitution(
                MMU_C,
                "flush = kvm_handle_gfn_range(kvm, range, kvm_zap_rmap);",
                ";",
                function="kvm_unmap_gfn_range",
            ),
            "shadow",
        ),
    ],
)
def host_changes_under_a_shadowed_guest(vm: StoryBuilder) -> None:
    """The host write-protects, merges and discards a page that the guest maps twice: both SPTEs follow.

    The guest's page tables have nothing to do with it: only the frame behind the gfn changes.
    """
    tables = guest(vm, data=[0x10, 0x11])
    tables.map(VA, 0x10, READY)
    tables.map(VA + PAGE, 0x10, P | US | A | D)
    tables.map(VA + 2 * PAGE, 0x11, READY)
    tables.run()
    vm.execute(address=VA, kind=WRITE, value=1).execute(address=VA + PAGE, kind=READ)
    vm.claim("two SPTEs", lambda now: now.shadow.rmap(0x10).sptes == 2)
    vm.wrprotect(page=0x10).claim("both are gone", lambda now: not now.shadow.mapping(0x10))
    vm.claim("the other page is not", lambda now: now.shadow.mapping(0x11))
    vm.execute(address=VA, kind=WRITE, value=2).claim("written", lambda now: now.executed.end == End.DONE)
    vm.ksm_merge(page=0x10).claim("unmapped", lambda now: not now.shadow.mapping(0x10))
    vm.execute(address=VA, kind=READ).claim("the content stays", lambda now: now.value == 2)
    vm.claim("not host-writable", lambda now: not now.shadow.mapped(VA).host_writable)
    vm.execute(address=VA, kind=WRITE, value=3).claim(
        "a copy", lambda now: now.shadow.mapped(VA).host_writable
    )
    vm.execute(address=VA + PAGE, kind=READ).claim("for both", lambda now: now.value == 3)
    vm.madvise_dontneed(page=0x10)
    vm.execute(address=VA, kind=READ).claim("discarded", lambda now: now.value == 0)


@story(
    source="mmu.c: kvm_age_rmap(), kvm_test_age_rmap()",
    about=("kvm_age_gfn", "kvm_test_age_gfn", "kvm_age_rmap", "kvm_test_age_rmap"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "only the first SPTE of a page is aged",
            Substitution(
                MMU_C,
                "young |= mmu_spte_age(sptep);",
                "if (!young) young |= mmu_spte_age(sptep);",
            ),
            "shadow",
        ),
        Mutant(
            "aging makes nothing old",
            Substitution(
                MMU_C,
                "cmpxchg64(sptep, old_spte, new_spte);",
                ";",
                "7.3",
                function="kvm_rmap_age_gfn_range",
            ),
            "shadow",
        ),
        Mutant(
            "asking whether a page is young makes it old",
            Substitution(
                MMU_C,
                "if (test_only) {",
                "if (0) {",
                "7.3",
                function="kvm_rmap_age_gfn_range",
            ),
            "shadow",
        ),
    ],
)
def aging_by_rmap(vm: StoryBuilder) -> None:
    """A page that the guest maps twice is young if one of its SPTEs was used; aging clears Accessed in both.

    The guest's own Accessed bits stay: they are for the guest.
    """
    tables = guest(vm, data=[0x10])
    pte = tables.map(VA, 0x10, READY)
    tables.map(VA + PAGE, 0x10, READY)
    tables.run()
    vm.execute(address=VA, kind=READ).execute(address=VA + PAGE, kind=READ)
    vm.test_young(page=0x10).claim("young", lambda now: now.outcome == [1])
    vm.clear_flush_young(page=0x10).claim("it was", lambda now: now.outcome == [1])
    vm.claim("both are old", lambda now: not any(leaf.accessed for leaf in now.shadow.mapping(0x10)))
    vm.claim("the guest's bit stays", lambda now: now.gpte(pte.at, 0x10) & A)
    vm.test_young(page=0x10).claim("not young", lambda now: now.outcome == [0])
    vm.execute(address=VA + PAGE, kind=READ).claim("used", lambda now: now.executed.end == End.DONE)
    vm.clear_young(page=0x10).claim("at most one is", lambda now: now.outcome in ([0], [1]))


@story(
    source="virt/kvm/kvm_main.c and mmu.c: is_page_fault_stale()",
    about=(*IN_PROGRESS, "paging64_page_fault"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "a fault that is stale maps all the same",
            Substitution(PAGING_TMPL_H, "if (is_page_fault_stale(vcpu, fault)) {", "if (0) {"),
            "shadow",
        ),
    ],
)
def fault_of_a_shadowed_guest_during_an_invalidation(vm: StoryBuilder) -> None:
    """While the host invalidates a page, a fault on it is retried and maps nothing; its tables are shadowed.

    The fault of an address whose tables are in the range is retried as well, if their page is invalidated.
    """
    tables = guest(vm, data=[0x10, 0x11])
    tables.map(VA, 0x10, READY)
    tables.map(VA + PAGE, 0x11)
    tables.run()
    reads(vm, VA, 0x10, "mapped")
    vm.notifier_start(page=0x10).claim("unmapped", lambda now: not now.shadow.mapping(0x10))
    vm.execute(address=VA, kind=READ).claim("no progress", lambda now: now.executed.end == End.GAVE_UP)
    vm.claim("each exit is a retry", lambda now: {*now.handled} == {Exit.RETRY})
    reads(vm, VA + PAGE, 0x11, "beside it", since=INVALIDATION_RANGE)
    vm.notifier_end(page=0x10)
    reads(vm, VA, 0x10, "mapped again")


@story(
    source="mmu.c: kvm_arch_mmu_enable_log_dirty_pt_masked(), kvm_mmu_slot_remove_write_access() by rmap",
    about=(
        "kvm_mmu_slot_remove_write_access",
        "kvm_arch_mmu_enable_log_dirty_pt_masked",
        "rmap_write_protect",
    ),
    modes=SHADOW,
    mutants=[
        Mutant(
            "fetching the log write-protects nothing",
            Substitution(
                MMU_C,
                "rmap_write_protect(rmap_head, false);",
                "",
                function="kvm_mmu_write_protect_pt_masked",
            ),
            "shadow",
        ),
    ],
)
def dirty_log_of_a_shadowed_guest(vm: StoryBuilder) -> None:
    """Pages that the guest writes through linear addresses are in the dirty log, by gfn.

    All SPTEs of a page lose W when the log is read, and the next write is logged again.
    """
    tables = guest(vm, data=[0x10, 0x11])
    tables.map(VA, 0x10, READY)
    tables.map(VA + PAGE, 0x10, READY)
    tables.map(VA + 2 * PAGE, 0x11, READY)
    tables.run()
    vm.execute(address=VA, kind=WRITE, value=1).execute(address=VA + PAGE, kind=READ)
    vm.set_memory_region(gfn=0, npages=0x400, page=0, flags=LOG)
    vm.claim("nothing is writable", lambda now: not any(leaf.writable for leaf in now.shadow.mapping(0x10)))
    vm.execute(address=VA + PAGE, kind=WRITE, value=2)
    vm.get_dirty_log().claim("the page is logged", lambda now: now.logged == {0x10})
    vm.claim("protected again", lambda now: not any(leaf.writable for leaf in now.shadow.mapping(0x10)))
    vm.execute(address=VA, kind=WRITE, value=3).execute(address=VA + PAGE, kind=WRITE, value=4)
    vm.get_dirty_log().claim("logged again", lambda now: now.logged == {0x10})
    vm.get_dirty_log().claim("clean", lambda now: now.logged == set())


@story(
    source="paging_tmpl.h: update_accessed_dirty_bits() marks the table's page dirty",
    about=("paging64_update_accessed_dirty_bits", "kvm_vcpu_mark_page_dirty"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "Accessed and Dirty in the guest's tables are not logged",
            Substitution(PAGING_TMPL_H, "kvm_vcpu_mark_page_dirty(vcpu, table_gfn);", ""),
            "shadow",
        ),
    ],
)
def flags_in_tables_are_logged(vm: StoryBuilder) -> None:
    """KVM sets Accessed and Dirty in the guest's page tables: those pages are dirty, too.

    Migration would lose the bits otherwise.
    """
    tables = guest(vm, data=[0x10])
    vm.set_memory_region(gfn=0, npages=0x400, page=0, flags=LOG)
    tables.map(VA, 0x10)
    tables.run()
    path = {tables.table_of(VA, level) for level in (1, 2, 3, 4)}
    vm.get_dirty_log().execute(address=VA, kind=READ)
    vm.get_dirty_log().claim("Accessed, at each level", lambda now: now.logged == path)
    vm.execute(address=VA, kind=WRITE, value=1)
    vm.get_dirty_log().claim("Dirty, and the page", lambda now: now.logged == {0x10, tables.table_of(VA)})
    vm.execute(address=VA, kind=WRITE, value=1)
    vm.get_dirty_log().claim("the page alone", lambda now: now.logged == {0x10})


@story(
    source="paging_tmpl.h: update_accessed_dirty_bits(): if the slot is read-only",
    about=("paging64_update_accessed_dirty_bits", "gfn_to_hva_memslot_prot"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "flags are written to read-only memory",
            Substitution(
                PAGING_TMPL_H, "if (unlikely(!walker->pte_writable[level - 1]))\n\t\t\tcontinue;", ""
            ),
            "shadow",
        ),
    ],
)
def tables_in_read_only_memory(vm: StoryBuilder) -> None:
    """A page table lies in a read-only memslot: Accessed and Dirty are not set in it, and the walk goes on.

    A write through a clean entry works all the same; KVM does not map it writable from a read.
    """
    tables = guest(vm, data=[0x10])
    table = 0x1000
    memory(vm, slot=1, gfn=table, npages=16, page=0x1000)
    vm.store(gfn=table, index=0, value=tables.leaf(0x10, P | RW | US))
    tables.share(VA, table)
    vm.set_memory_region(slot=1, gfn=table, npages=0, page=0x1000)
    vm.set_memory_region(slot=1, gfn=table, npages=16, page=0x1000, flags=READONLY)
    tables.run()
    reads(vm, VA, 0x10, "the walk goes on")
    vm.claim("no flag is set", lambda now: not now.gpte(0, 0x10) & (A | D))
    vm.execute(address=VA, kind=WRITE, value=1).claim("written", lambda now: now.executed.end == End.DONE)
    vm.claim("still none", lambda now: not now.gpte(0, 0x10) & (A | D))
    vm.execute(address=VA, kind=WRITE, value=2).claim("without an exit", lambda now: not now.handled)


@story(
    source="mmu.c: kvm_unmap_gfn_range(); the host discards a page that is a table of the guest",
    about=("kvm_unmap_gfn_range", "paging64_walk_addr_generic"),
    modes=SHADOW,
)
def table_discarded_by_the_host(vm: StoryBuilder) -> None:
    """The host discards a page table of the guest: what is shadowed of it is not touched, and is stale.

    The guest lost memory that it counts on, as by a broken DIMM; when the entry is read again, it is absent.
    """
    tables = guest(vm, data=[0x10, 0x11], aliases=8)
    tables.map(VA, 0x10, READY)
    tables.map(VA + PAGE, 0x11)
    table = tables.table_of(VA)
    tables.run()
    reads(vm, VA, 0x10, "mapped")
    vm.madvise_dontneed(page=table).claim("still shadowed", lambda now: now.shadow.leaf(VA))
    vm.execute(address=VA + PAGE, kind=READ).claim("absent", lambda now: now.exception == (14, 0, VA + PAGE))
    vm.execute(address=VA, kind=READ).claim("stale", lambda now: now.value == content(0x10))

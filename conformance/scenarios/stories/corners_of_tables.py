# SPDX-License-Identifier: GPL-2.0-only
"""More corners that random mutants showed: tables, devices in them, rmaps, and splitting."""

from __future__ import annotations

from conformance.interface.access import End
from conformance.kernels.substitutions import MMU_C, PAGING_TMPL_H, Substitution
from conformance.model.changes import FAULT_STATISTICS, UNSYNC_ONLY_IF_NOT_WRITABLE
from conformance.scenarios.modes import EPT_MODES
from conformance.scenarios.stories.functions import CLEAR_LOG, MMIO, SYNC
from conformance.scenarios.stories.guest_tables import (
    CR4,
    EPT_A,
    EPT_D,
    EPT_RWX,
    EPT_WB,
    PAE,
    PAGE,
    PS,
    READY,
    SHADOW,
    SMAP,
    TWO_LEVELS,
    USER,
    VA,
    Entry,
    GuestTables,
    guest,
    reads,
    writes,
)
from conformance.scenarios.stories.nested_guests import GPA, enters, l1
from conformance.scenarios.stories.setting import HUGE, LOG, READ, WRITE, memory
from conformance.scenarios.story import Fault, Mutant, StoryBuilder, story

DEVICE, FAR, ELSEWHERE = 0xFEC00, 0x40000000, 0x1000


@story(
    source="mmu.c: kvm_vcpu_write_protect_gfn(); page_track.c: update_gfn_track()",
    about=(*SYNC, "account_shadowed", "kvm_vcpu_write_protect_gfn"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "a table is looked for in the first memslot",
            Substitution(
                MMU_C,
                "slot = kvm_vcpu_gfn_to_memslot(vcpu, gfn);",
                "slot = kvm_vcpu_gfn_to_memslot(vcpu, 0);",
                function="kvm_vcpu_write_protect_gfn",
            ),
            "shadow",
        ),
    ],
)
def tables_in_another_memslot(vm: StoryBuilder) -> None:
    """The guest's tables lie in a memslot that does not begin at gfn 0: they are tracked and protected there.

    A leaf table that was written is write-protected again when it is synchronized.
    """
    guest(vm, data=[0x10, 0x20])
    memory(vm, slot=1, gfn=ELSEWHERE, npages=16, page=ELSEWHERE)
    tables = GuestTables(vm, first=ELSEWHERE)
    pte = tables.map(VA, 0x10, READY)
    window = VA + 0x10 * PAGE
    tables.map(window, pte.gfn, READY)
    tables.run()
    reads(vm, VA, 0x10, "the old page")
    vm.claim("the root is tracked", lambda now: now.shadow.rmap(ELSEWHERE).write_track == 1)
    vm.execute(address=window + 8 * pte.at, kind=WRITE, value=tables.leaf(0x20, READY)).claim(
        "unsync", lambda now: now.shadow.unsync == {pte.gfn}
    )
    vm.set_cr3(value=tables.cr3)
    vm.enter().claim("synchronized", lambda now: not now.shadow.unsync)
    vm.claim("write-protected", lambda now: not now.shadow.mapped(window).writable)
    reads(vm, VA, 0x20, "the new page")


@story(
    source="spte.c: make_spte(): no lookup if the SPTE was writable; mmu.rst: a shadowed table is read-only",
    about=(*MMIO, "account_shadowed", "make_spte"),
    modes=SHADOW,
    shows=[
        Fault(
            "a shadowed directory is mapped writable: a stale MMIO SPTE that has W counts as a writable SPTE",
            "no fix is known",
            since=UNSYNC_ONLY_IF_NOT_WRITABLE,
        )
    ],
)
def directory_where_mmio_was(vm: StoryBuilder) -> None:
    """Memory is added where a device was, and used as a page directory; then the guest clears an entry of it.

    The guest flushes its TLB, but KVM has not seen the write: the cleared entry translates still.
    """
    tables = guest(vm, data=[0x10])
    address = VA + 0x10 * PAGE
    tables.map(address, ELSEWHERE, READY)
    tables.map(VA + PAGE, 0x10, READY)
    tables.share(FAR, ELSEWHERE, level=2)
    tables.run()
    vm.execute(address=address, kind=WRITE).claim("MMIO", lambda now: now.executed.end == End.USERSPACE)
    memory(vm, slot=1, gfn=ELSEWHERE, npages=16, page=ELSEWHERE)
    vm.store(gfn=ELSEWHERE, index=0, value=tables.link(tables.table_of(VA)))
    reads(vm, FAR + PAGE, 0x10, "through the directory")
    vm.claim("which is tracked", lambda now: now.shadow.rmap(ELSEWHERE).write_track == 1)
    vm.execute(address=address, kind=WRITE, value=0).claim(
        "and mapped writable",
        lambda now: now.shadow.mapped(address).writable,
        since=UNSYNC_ONLY_IF_NOT_WRITABLE,
    )
    vm.set_cr3(value=tables.cr3)
    reads(vm, FAR + PAGE, 0x10, "through the entry that was cleared", since=UNSYNC_ONLY_IF_NOT_WRITABLE)


@story(
    source="paging_tmpl.h: FNAME(page_fault)(): PFEC.RSVD is cleared before the guest's tables are walked",
    about=(*MMIO, "paging64_page_fault", "permission_fault"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "a reserved bit of KVM counts as permission to access a user's page",
            Substitution(PAGING_TMPL_H, "fault->error_code & ~PFERR_RSVD_MASK", "fault->error_code", "6.1"),
            "shadow",
        ),
    ],
)
def stale_device_of_a_user(vm: StoryBuilder) -> None:
    """A user has accessed a device; memslots change, and the supervisor accesses it, with SMAP: a page fault.

    The stale MMIO SPTE makes KVM walk the guest's tables, with an error code that the guest does not know.
    """
    tables = guest(vm, data=[0x10])
    tables.map(VA, DEVICE, READY)
    tables.run(cr4=CR4 | SMAP)
    vm.execute(address=VA, kind=READ, privilege=USER).claim(
        "MMIO", lambda now: now.executed.end == End.USERSPACE
    )
    memory(vm, slot=1, gfn=ELSEWHERE, npages=16, page=ELSEWHERE)
    vm.execute(address=VA, kind=READ).claim("a fault of SMAP", lambda now: now.exception == (14, 1, VA))


@story(
    source="paging_tmpl.h: FNAME(pte_prefetch)(), PTE_PREFETCH_NUM",
    about=("paging64_pte_prefetch", "paging64_prefetch_gpte"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "a ninth entry is prefetched",
            Substitution(
                PAGING_TMPL_H,
                "for (i = 0; i < PTE_PREFETCH_NUM; i++, spte++) {",
                "for (i = 0; i < PTE_PREFETCH_NUM + 1; i++, spte++) {",
                "6.1",
            ),
            "shadow",
        ),
    ],
)
def prefetch_ends_before_a_device(vm: StoryBuilder) -> None:
    """A read maps the eight pages of its group; the entry behind them maps a device, and keeps its MMIO SPTE.

    Entries are prefetched in groups of eight, as far as they are valid.
    """
    tables = guest(vm, data=range(0x10, 0x18))
    for number in range(8):
        tables.map(VA + number * PAGE, 0x10 + number, READY)
    tables.map(VA + 8 * PAGE, DEVICE, READY)
    tables.run()
    vm.execute(address=VA + 8 * PAGE, kind=READ).claim("MMIO", lambda now: now.executed.end == End.USERSPACE)
    reads(vm, VA, 0x10, "the first of the group")
    vm.claim("the last one is mapped", lambda now: now.shadow.rmap(0x17).sptes == 1)
    vm.execute(address=VA + 8 * PAGE, kind=READ).claim("MMIO", lambda now: now.executed.end == End.USERSPACE)
    vm.claim("by its SPTE", lambda now: now.grown.pf_mmio_spte_created == 0, since=FAULT_STATISTICS)


@story(
    source="mmu.c: pte_list_desc_remove_entry()",
    about=("pte_list_add", "pte_list_remove", "pte_list_desc_remove_entry"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "a list goes on in a descriptor that was freed",
            Substitution(MMU_C, "prev_desc->more = desc->more;", ";", "6.1"),
            "shadow",
        ),
    ],
)
def the_fifteenth_mapping_goes(vm: StoryBuilder) -> None:
    """Fifteen entries map a page, one more than a descriptor of its rmap holds; the last one is cleared.

    The second descriptor is freed, and the others are found when the host discards the page.
    """
    tables = guest(vm, data=[0x10], aliases=8)
    ptes = [tables.map(VA + number * PAGE, 0x10, READY) for number in range(15)]
    tables.run()
    reads(vm, VA, 0x10, "the first eight")
    reads(vm, VA + 8 * PAGE, 0x10, "the others")
    vm.claim("fifteen", lambda now: now.shadow.rmap(0x10).sptes == 15)
    writes(vm, tables, ptes[14], 0)
    vm.invlpg(address=VA + 14 * PAGE).claim("fourteen", lambda now: now.shadow.rmap(0x10).sptes == 14)
    vm.madvise_dontneed(page=0x10).claim("none", lambda now: now.shadow.rmap(0x10).sptes == 0)


@story(
    source="Intel SDM vol. 3, 4.3: bit 7 of a directory's entry is ignored without CR4.PSE",
    about=("__reset_rsvds_bits_mask",),
    modes=SHADOW,
    mutants=[
        Mutant(
            "reserved bits of pages of 4M stay reserved without them",
            Substitution(
                MMU_C, "if (!pse) {\n\t\t\trsvd_check->rsvd_bits_mask[1][1] = 0;", "if (!pse) {", "6.1"
            ),
            "shadow",
        ),
    ],
)
def pse_is_turned_off(vm: StoryBuilder) -> None:
    """An entry of a directory has bit 7 set, and CR4.PSE is cleared: from then on it points to a table.

    The address of the table is where a page of 4M has reserved bits.
    """
    tables = guest(vm, TWO_LEVELS, data=[0x10])
    tables.map(VA, 0x10, READY)
    place = tables.entry(VA, 2)
    tables.set(place, tables.read(place) | PS)
    tables.run()
    vm.execute(address=VA, kind=READ).claim("reserved bits", lambda now: now.exception == (14, 9, VA))
    vm.set_cr4(value=0)
    reads(vm, VA, 0x10, "by the table")


@story(
    source="mmu.c: mmu_pte_write_fetch_gpte(): a 32-bit guest writes the halves of an entry",
    about=("kvm_mmu_pte_write", "kvm_mmu_track_write", "mmu_pte_write_fetch_gpte"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "only the lower half is looked at",
            Substitution(MMU_C, "*bytes = 8;", ";", "6.1", function="mmu_pte_write_fetch_gpte"),
            "shadow",
        ),
    ],
)
def upper_half_is_written_first(vm: StoryBuilder) -> None:
    """A PAE guest writes the upper half of an empty entry of a directory first, as it should.

    KVM counts the write of an entry that is not 0, though its lower half is.
    """
    tables = guest(vm, PAE, data=[0x10], aliases=6)
    tables.map(VA, 0x10, READY)
    tables.run()
    reads(vm, VA, 0x10, "memory")
    place = Entry(tables.table_of(VA, 2), 0x100)
    vm.execute(address=tables.at(place) + 4, kind=WRITE, value=1).claim(
        "emulated", lambda now: now.executed.end == End.EMULATED
    )
    vm.claim("counted", lambda now: now.shadow.grown.mmu_pde_zapped == 1)


@story(
    source='commit ada51a9de737 ("KVM: x86/mmu: Extend Eager Page Splitting to nested MMUs") in v6.0',
    about=(*CLEAR_LOG, "kvm_mmu_try_split_huge_pages"),
    modes=EPT_MODES,
    manual_protect=3,
    mutants=[
        Mutant(
            "small pages are to be split, too",
            Substitution(
                MMU_C,
                "kvm_mmu_try_split_huge_pages(kvm, slot, start, end, PG_LEVEL_4K);",
                "kvm_mmu_try_split_huge_pages(kvm, slot, start, end, PG_LEVEL_4K - 1);",
                "6.1",
            ),
        ),
    ],
)
def clear_splits_for_l2(vm: StoryBuilder) -> None:
    """All pages count as dirty at first; clearing some splits the huge page of L2 that maps them.

    L2 also maps one of them small, which stays as it is.
    """
    tables = l1(vm, npages=0x800, level=HUGE)
    tables.map(GPA, 0x405)
    tables.map(1 << 21, 0x400, EPT_RWX | EPT_WB | EPT_A | EPT_D, level=HUGE)
    enters(vm, tables)
    vm.execute(address=GPA, kind=WRITE, value=1)
    vm.execute(address=1 << 21, kind=WRITE, value=1).claim(
        "2M", lambda now: now.shadow.mapped(1 << 21).level == HUGE
    )
    vm.set_memory_region(gfn=0, npages=0x800, page=0, flags=LOG).claim(
        "2M still", lambda now: now.shadow.mapped(1 << 21).level == HUGE
    )
    vm.clear_dirty_log(first=0x400, npages=64, mask=(1 << 64) - 1).claim(
        "4K", lambda now: now.shadow.mapped(1 << 21).level == 1
    )
    vm.claim("no complaint", lambda now: not now.events)

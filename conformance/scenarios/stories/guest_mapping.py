# SPDX-License-Identifier: GPL-2.0-only
"""How a guest's page tables are shadowed: what KVM maps for an address, what is the guest's own fault."""

from __future__ import annotations

from conformance.interface.access import End, Exit
from conformance.kernels.substitutions import INTERNAL_H, MMU_C, PAGING_TMPL_H, X86_C, Substitution
from conformance.model.changes import FLUSH_REQUEST_STATISTICS, INVALIDATION_RANGE
from conformance.scenarios.stories.functions import SHADOW_FAULT
from conformance.scenarios.stories.guest_tables import (
    NX,
    PAGE,
    RW,
    SHADOW,
    US,
    USER,
    VA,
    A,
    D,
    P,
    content,
    guest,
)
from conformance.scenarios.stories.setting import FETCH, LOG, READ, WRITE
from conformance.scenarios.story import Mutant, StoryBuilder, story

DOCUMENT = "Documentation/virt/kvm/x86/mmu.rst"
PAGING = "Intel SDM vol. 3, 4.6 and 4.7"


@story(
    source=f"{DOCUMENT}: reaction to events, guest page fault; paging_tmpl.h: protect_clean_gpte()",
    about=(*SHADOW_FAULT, "paging64_protect_clean_gpte", "paging64_update_accessed_dirty_bits"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "a page whose entry of the guest is clean is mapped writable",
            Substitution(PAGING_TMPL_H, "*access &= mask;", ""),
            "shadow",
        ),
        Mutant(
            "a write does not set Dirty in the guest's entry",
            Substitution(PAGING_TMPL_H, "pte |= PT_GUEST_DIRTY_MASK;", ""),
            "shadow",
        ),
        Mutant(
            "faults that KVM fixed are not counted",
            Substitution(
                INTERNAL_H,
                "vcpu->stat.pf_fixed++;",
                ";",
                function="kvm_mmu_do_page_fault",
            ),
            "shadow",
        ),
    ],
)
def read_then_write_of_guest_memory(vm: StoryBuilder) -> None:
    """A page whose entry in the guest's table is clean is mapped read-only; the first write sets Dirty.

    The processor sets Dirty in the SPTE only, so KVM has to see the first write, to set Dirty in the guest's
    entry. Accessed is set when the page is first mapped.
    """
    tables = guest(vm, data=[0x10])
    pte = tables.map(VA, 0x10)
    tables.run()
    vm.execute(address=VA, kind=READ).claim("one fault", lambda now: now.handled == [Exit.FIXED])
    vm.claim("the page is read", lambda now: now.value == content(0x10))
    vm.claim("through a read-only SPTE", lambda now: not now.shadow.mapped(VA).writable)
    vm.claim("KVM set Accessed", lambda now: now.gpte(pte.at, 0x10) == tables.read(pte) | A)
    vm.execute(address=VA, kind=WRITE, value=7).claim("a fault", lambda now: now.handled == [Exit.FIXED])
    vm.claim("KVM set Dirty", lambda now: now.gpte(pte.at, 0x10) == tables.read(pte) | A | D)
    vm.claim("the SPTE is writable", lambda now: now.shadow.mapped(VA).writable)
    vm.execute(address=VA, kind=WRITE, value=8).claim("no exit", lambda now: not now.handled)
    vm.claim("no more shadow pages than tables", lambda now: len(now.shadow.pages(direct=0)) == 4)


@story(
    source=f"{PAGING}: access rights, page-fault exceptions",
    about=("paging64_walk_addr_generic", "__kvm_inject_emulated_page_fault", "kvm_inject_page_fault"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "a fault on a reserved bit does not say so",
            Substitution(
                PAGING_TMPL_H,
                "errcode = PFERR_RSVD_MASK | PFERR_PRESENT_MASK;",
                "errcode = PFERR_PRESENT_MASK;",
            ),
            "shadow",
        ),
        Mutant(
            "an instruction fetch is reported as a read",
            Substitution(PAGING_TMPL_H, "errcode |= PFERR_FETCH_MASK;", ""),
            "shadow",
        ),
        Mutant(
            "faults of the guest are not counted",
            Substitution(
                X86_C,
                "++vcpu->stat.pf_guest;",
                "",
                function="kvm_inject_page_fault",
            ),
            "shadow",
        ),
    ],
)
def faults_of_the_guest(vm: StoryBuilder) -> None:
    """What the guest's tables do not allow is the guest's fault, with the error code of its own walk.

    Each exit is retried: KVM injects #PF with the bits P, W, U, RSVD and I as a processor without
    virtualization sets them, and with the address.
    """
    tables = guest(vm, data=[0x10])
    address = {
        name: VA + n * PAGE for n, name in enumerate(("read-only", "supervisor", "nx", "reserved", "none"))
    }
    tables.map(address["read-only"], 0x10, P | US)
    tables.map(address["supervisor"], 0x10, P | RW)
    tables.map(address["nx"], 0x10, P | RW | US | NX)
    tables.map(address["reserved"], 0x10, P | RW | US | 1 << 51)
    tables.run()

    def faults(name: str, code: int, **given: int) -> None:
        vm.execute(address=address[name], **given)
        vm.claim(f"#PF, {name}", lambda now: now.exception == (14, code, address[name]))
        vm.claim("retried", lambda now: now.handled == [Exit.RETRY])

    faults("none", 0, kind=READ)
    faults("none", 6, kind=WRITE, privilege=USER)
    faults("none", 0x10, kind=FETCH)
    faults("read-only", 3, kind=WRITE)
    faults("read-only", 7, kind=WRITE, privilege=USER)
    faults("supervisor", 5, kind=READ, privilege=USER)
    faults("nx", 0x11, kind=FETCH)
    faults("reserved", 9, kind=READ)
    vm.claim("they are counted", lambda now: now.shadow.vcpu().pf_guest == 8)
    vm.claim("no page is mapped", lambda now: not now.shadow.mapping(0x10))


@story(
    source=(
        'commit b1bd5cba3306 ("KVM: X86: MMU: Use the correct inherited permissions to get shadow page") in '
        "v5.13"
    ),
    about=("paging64_walk_addr_generic", "kvm_mmu_get_child_sp"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "upper levels restrict nothing",
            Substitution(
                PAGING_TMPL_H,
                "pte_access = pt_access & (pte ^ walk_nx_mask);",
                "pte_access = (pte ^ walk_nx_mask);",
            ),
            "shadow",
        ),
    ],
)
def upper_levels_restrict(vm: StoryBuilder) -> None:
    """A page table is reached by three paths; what each grants is the least that any of its levels does.

    A shadow page's role has the access of all levels above it: a table has a shadow page for each access.
    """
    tables = guest(vm, data=[0x10])
    tables.map(VA, 0x10)
    table = tables.table_of(VA)
    read_only, supervisor, middle = 0x40000000, 0x100000000, 0x140000000
    tables.share(read_only, table, P | US)
    tables.share(supervisor, table, P | RW)
    tables.entry(middle, upper=P | US)
    tables.share(middle, table)
    tables.run()
    vm.execute(address=VA, kind=WRITE, privilege=USER).claim(
        "may write", lambda now: now.executed.end == End.DONE
    )

    def may_only_read(address: int) -> None:
        vm.execute(address=address, kind=READ, privilege=USER)
        vm.claim("may read", lambda now: now.executed.end == End.DONE)
        vm.claim("read-only", lambda now: not now.shadow.mapped(address).writable)
        vm.execute(address=address, kind=WRITE, privilege=USER)
        vm.claim("may not write", lambda now: now.exception == (14, 7, address))

    may_only_read(read_only)
    may_only_read(middle)
    vm.execute(address=supervisor, kind=READ, privilege=USER)
    vm.claim("not for users", lambda now: now.exception == (14, 5, supervisor))
    vm.execute(address=supervisor, kind=WRITE).claim(
        "for the supervisor", lambda now: now.executed.end == End.DONE
    )
    vm.claim(
        "a shadow page for each access",
        lambda now: len({p.role.access for p in now.shadow.pages(table, 1)}) == 3,
    )
    vm.claim("and no more", lambda now: len(now.shadow.pages(table, 1)) == 3)


@story(
    source=f"{DOCUMENT}: role.access; mmu.c: kvm_mmu_get_child_sp()",
    about=("kvm_mmu_get_child_sp", "kvm_mmu_child_role"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "the role of a table has all access",
            Substitution(
                MMU_C, "role.access = access;", "role.access = ACC_ALL;", function="kvm_mmu_child_role"
            ),
            "shadow",
        ),
    ],
)
def one_table_two_accesses(vm: StoryBuilder) -> None:
    """A page table is linked writable and read-only: writes through one path leave the other read-only.

    Both shadow pages map the page, and its rmap has both SPTEs.
    """
    tables = guest(vm, data=[0x10])
    tables.map(VA, 0x10, P | RW | US | A | D)
    table, alias = tables.table_of(VA), VA + (1 << 21)
    tables.share(alias, table, P | US)
    tables.run()
    vm.execute(address=alias, kind=READ).claim("read-only", lambda now: not now.shadow.mapped(alias).writable)
    vm.execute(address=VA, kind=WRITE, value=5).claim("writable", lambda now: now.shadow.mapped(VA).writable)
    vm.claim("two shadow pages", lambda now: len(now.shadow.pages(table, 1)) == 2)
    vm.claim("two SPTEs in the rmap", lambda now: now.shadow.rmap(0x10).sptes == 2)
    vm.execute(address=alias, kind=READ).claim("one page of memory", lambda now: now.value == 5)
    vm.execute(address=alias, kind=WRITE).claim(
        "still read-only", lambda now: now.exception == (14, 3, alias)
    )


@story(
    source="paging_tmpl.h: pte_prefetch(), prefetch_invalid_gpte()",
    about=("paging64_pte_prefetch", "paging64_prefetch_gpte", "paging64_prefetch_invalid_gpte"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "entries that were never accessed are prefetched",
            Substitution(
                PAGING_TMPL_H,
                "if (PT_HAVE_ACCESSED_DIRTY(vcpu->arch.mmu) &&\n\t    !(gpte & PT_GUEST_ACCESSED_MASK))",
                "if (0)",
            ),
            "shadow",
        ),
    ],
)
def prefetch_of_accessed_entries(vm: StoryBuilder) -> None:
    """A fault maps the neighbours among its eight entries too, up to the first that is not marked accessed.

    Accessed has to be set by a use, so that an entry without it is left to a fault. A clean one is read-only.
    """
    tables = guest(vm, data=range(0x10, 0x18))
    flags = (
        P | RW | US,
        P | RW | US | A | D,
        P | RW | US | A,
        P | US | A,
        P | RW | US | A | D | NX,
        P | RW | US,
        P | RW | US | A | D,
    )
    places = [tables.map(VA + n * PAGE, 0x10 + n, each) for n, each in enumerate(flags)]
    beyond = tables.map(VA + 8 * PAGE, 0x18, P | RW | US | A | D)
    tables.run()
    vm.execute(address=VA, kind=READ)
    vm.claim(
        "the accessed ones are mapped, up to the first that is not",
        lambda now: {n for n in range(7) if now.shadow.leaf(VA + n * PAGE)} == {0, 1, 2, 3, 4},
    )
    vm.claim("none of the next eight", lambda now: now.shadow.leaf(VA + 8 * PAGE) is None and beyond.at == 8)
    vm.claim("writable if dirty", lambda now: now.shadow.mapped(VA + PAGE).writable)
    vm.claim("read-only if clean", lambda now: not now.shadow.mapped(VA + 2 * PAGE).writable)
    vm.claim("executable but for NX", lambda now: not now.shadow.mapped(VA + 4 * PAGE).executable)
    vm.claim("not counted as used", lambda now: now.gpte(places[5].at, 0x15) == tables.read(places[5]))
    vm.execute(address=VA + PAGE, kind=WRITE, value=3).claim("without an exit", lambda now: not now.handled)


@story(
    source="paging_tmpl.h: prefetch_gpte(): sp->role.access",
    about=("paging64_prefetch_gpte", "paging64_pte_prefetch"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "prefetched pages have more access than their table",
            Substitution(
                PAGING_TMPL_H,
                "pte_access = sp->role.access & FNAME(gpte_access)(gpte);\n\tFNAME(protect",
                "pte_access = FNAME(gpte_access)(gpte);\n\tFNAME(protect",
            ),
            "shadow",
        ),
    ],
)
def prefetch_below_a_read_only_directory(vm: StoryBuilder) -> None:
    """The directory allows reading only: what is prefetched from the table below it is read-only, too.

    The entries of the table alone would allow to write, and their D bits are set.
    """
    tables = guest(vm, data=[0x10, 0x11])
    tables.map(VA, 0x10, P | RW | US | A | D, upper=P | US)
    tables.map(VA + PAGE, 0x11, P | RW | US | A | D)
    tables.run()
    vm.execute(address=VA, kind=READ).claim("the neighbour is mapped", lambda now: now.shadow.leaf(VA + PAGE))
    vm.claim("read-only", lambda now: not now.shadow.mapped(VA + PAGE).writable)
    vm.execute(address=VA + PAGE, kind=WRITE).claim(
        "may not be written", lambda now: now.exception == (14, 3, VA + PAGE)
    )


@story(
    source="mmu.c: gfn_to_memslot_dirty_bitmap(); paging_tmpl.h: prefetch_gpte()",
    about=("paging64_prefetch_gpte", "gfn_to_memslot_dirty_bitmap"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "writable pages are prefetched while their memslot is logged",
            Substitution(
                MMU_C, "if (no_dirty_log && kvm_slot_dirty_track_enabled(slot))\n\t\treturn NULL;", ""
            ),
            "shadow",
        ),
    ],
)
def prefetch_while_logging(vm: StoryBuilder) -> None:
    """While a memslot is logged, prefetching stops at the first page that it would map writable.

    Mapping it writable would put it into the dirty log, though the guest may never write it.
    """
    tables = guest(vm, data=range(0x10, 0x14))
    tables.map(VA, 0x10, P | US | A)
    tables.map(VA + PAGE, 0x11, P | US | A)
    tables.map(VA + 2 * PAGE, 0x12, P | RW | US | A | D)
    tables.map(VA + 3 * PAGE, 0x13, P | US | A)
    vm.set_memory_region(gfn=0, npages=0x400, page=0, flags=LOG)
    tables.run()
    vm.execute(address=VA, kind=READ)
    vm.claim("the read-only one before it is mapped", lambda now: now.shadow.leaf(VA + PAGE))
    vm.claim("the writable one is not", lambda now: now.shadow.leaf(VA + 2 * PAGE) is None)
    vm.claim("nor what follows", lambda now: now.shadow.leaf(VA + 3 * PAGE) is None)
    vm.claim("nothing of it is logged", lambda now: not now.dirty() & {0x11, 0x12, 0x13})


@story(
    source="paging_tmpl.h: pte_prefetch() while addresses are being invalidated",
    about=("paging64_pte_prefetch",),
    modes=SHADOW,
    mutants=[
        Mutant(
            "neighbours are mapped while a range is invalidated",
            Substitution(
                PAGING_TMPL_H, "if (unlikely(vcpu->kvm->mmu_invalidate_in_progress))\n\t\treturn;", ""
            ),
            "shadow",
        ),
    ],
)
def prefetch_while_invalidating(vm: StoryBuilder) -> None:
    """While any range is invalidated, a fault elsewhere maps its own page only.

    A neighbour could be in the range that is going away, and prefetching does not check the sequence.
    """
    tables = guest(vm, data=range(0x10, 0x14))
    for n in range(4):
        tables.map(VA + n * PAGE, 0x10 + n, P | RW | US | A | D)
    tables.run()
    vm.notifier_start(page=0x12, npages=1)
    vm.execute(address=VA, kind=READ).claim(
        "mapped", lambda now: now.shadow.leaf(VA), since=INVALIDATION_RANGE
    )
    vm.claim("no neighbour is", lambda now: not any(now.shadow.leaf(VA + n * PAGE) for n in (1, 2, 3)))
    vm.notifier_end(page=0x12, npages=1)
    vm.execute(address=VA + PAGE, kind=READ)
    vm.claim("now they are", lambda now: all(now.shadow.leaf(VA + n * PAGE) for n in range(4)))


@story(
    source=f"{DOCUMENT}: reverse map",
    about=("pte_list_add", "pte_list_remove", "kvm_zap_rmapp", "kvm_zap_all_rmap_sptes"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "an unmap forgets SPTEs behind the first descriptor",
            Substitution(MMU_C, "for (; desc; desc = next) {", "for (; desc; desc = NULL, next = NULL) {"),
            "shadow",
        ),
        Mutant(
            "a full descriptor of the rmap is overwritten",
            Substitution(
                MMU_C,
                "desc->more = (struct pte_list_desc *)(old_val & ~KVM_RMAP_MANY);",
                "desc->more = NULL;",
                "7.3",
                function="pte_list_add",
            ),
            "shadow",
        ),
    ],
)
def many_aliases_of_a_page(vm: StoryBuilder) -> None:
    """The guest maps a page at one, two and forty addresses: unmapping it reaches all of them.

    One SPTE stands in the rmap itself, several in descriptors of 14 or 15, which are chained.
    """
    tables = guest(vm, data=[0x10, 0x11, 0x12])
    places = {0x10: 1, 0x11: 2, 0x12: 40}
    start = {0x10: VA, 0x11: VA + 0x10 * PAGE, 0x12: VA + 0x20 * PAGE}
    for gfn, number in places.items():
        for n in range(number):
            tables.map(start[gfn] + n * PAGE, gfn, P | RW | US | A | D)
    tables.run()

    def maps_all(gfn: int, number: int) -> None:
        for n in range(0, number, 8):
            vm.execute(address=start[gfn] + n * PAGE, kind=READ)
        vm.claim(f"{number} SPTEs", lambda now: now.shadow.rmap(gfn).sptes == number)

    for gfn, number in places.items():
        maps_all(gfn, number)
    vm.madvise_dontneed(page=0x12).claim("unmapped", lambda now: not now.shadow.mapping(0x12))
    vm.claim("the others are not", lambda now: now.shadow.mapping(0x10) and now.shadow.mapping(0x11))
    vm.claim("a flush", lambda now: now.grown.flush_requests == 1, since=FLUSH_REQUEST_STATISTICS)
    vm.madvise_dontneed(page=0x10, npages=2).claim(
        "unmapped", lambda now: not now.shadow.mapping(0x10) + now.shadow.mapping(0x11)
    )
    vm.execute(address=start[0x12], kind=READ).claim("the page is new", lambda now: now.value == 0)


@story(
    source=f"{PAGING}: Accessed and Dirty flags",
    about=SHADOW_FAULT,
    modes=SHADOW,
    mutants=[
        Mutant(
            "Accessed is set in the last entry only",
            Substitution(
                PAGING_TMPL_H,
                "level = walker->max_level; level >= walker->level;",
                "level = walker->level; level >= walker->level;",
            ),
            "shadow",
        ),
    ],
)
def accessed_on_the_way(vm: StoryBuilder) -> None:
    """A use sets Accessed in every entry on the way, and Dirty in the last one only.

    Entries of upper levels have no Dirty flag, and what a walk does not pass stays as it is.
    """
    tables = guest(vm, data=[0x10, 0x11])
    leaf, other = tables.map(VA, 0x10), tables.map(VA + PAGE, 0x11)
    upper = [tables.entry(VA, level) for level in (2, 3, 4)]
    gfns = [tables.read(place) >> 12 for place in upper]
    tables.run()
    vm.execute(address=VA, kind=WRITE, value=1).claim("mapped", lambda now: now.executed.end == End.DONE)
    vm.claim("Accessed and Dirty in the last", lambda now: now.gpte(leaf.at, 0x10) & (A | D) == A | D)
    vm.claim("not in its neighbour", lambda now: not now.gpte(other.at, 0x11) & (A | D))
    vm.claim(
        "Accessed above",
        lambda now: [now.gpte(p.at, g) & (A | D) for p, g in zip(upper, gfns, strict=True)] == [A] * 3,
    )

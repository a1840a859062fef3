# SPDX-License-Identifier: GPL-2.0-only
"""The guest's paging modes: 5 levels, PAE, 32-bit tables, no paging, and the bits that change rights."""

from __future__ import annotations

from conformance.interface.access import End, Exit
from conformance.kernels.substitutions import MMU_C, PAGING_TMPL_H, REGS_C, X86_C, Substitution
from conformance.model.changes import SHADOW_ROLE_HAS_NX
from conformance.scenarios.stories.functions import SHADOW_FAULT
from conformance.scenarios.stories.guest_tables import (
    AC,
    CR0,
    CR4,
    EFER,
    LONG,
    LONG5,
    NX,
    NXE,
    PAE,
    PAGE,
    PS,
    READY,
    RW,
    SHADOW,
    SMAP,
    SMEP,
    TWO_LEVELS,
    US,
    USER,
    VA,
    WP,
    Entry,
    P,
    content,
    guest,
    reads,
)
from conformance.scenarios.stories.setting import FETCH, HUGE, READ, WRITE, X1G, X2M, memory
from conformance.scenarios.story import Fault, Mutant, StoryBuilder, story

SDM = "Intel SDM vol. 3, 4.1 to 4.6"
BIG = 0x40000000
ROLE = "mmu.c: kvm_calc_cpu_role(), kvm_calc_shadow_mmu_root_page_role()"


@story(source=f"{SDM}: 5-level paging", about=(*SHADOW_FAULT, "kvm_calc_cpu_role"), modes=SHADOW)
def five_levels(vm: StoryBuilder) -> None:
    """A guest with 5-level paging has five tables on the way; its addresses reach 57 bits.

    The shadow page tables have as many levels.
    """
    tables = guest(vm, LONG5, data=[0x10, 0x11])
    tables.map(VA, 0x10, READY)
    far = 0xAB << 48 | VA
    tables.map(far, 0x11, READY)
    tables.run()
    reads(vm, VA, 0x10, "near")
    reads(vm, far, 0x11, "far")
    vm.claim("the root has level 5", lambda now: now.shadow.page(tables.root, 5).root_count == 1)
    vm.claim("five tables on the way", lambda now: len([*now.shadow.walk(far)]) == 5)
    vm.execute(address=far + PAGE, kind=READ).claim("#PF", lambda now: now.exception == (14, 0, far + PAGE))


@story(
    source="commit f71a53d1180d ('Revert \"KVM: x86/mmu: Drop kvm_mmu_extended_role.cr4_la57 hack\"'), v5.14",
    about=("kvm_calc_cpu_role", "kvm_mmu_reset_context"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "userspace's CR4 does not reset the MMU",
            Substitution(
                X86_C,
                "*mmu_reset_needed |= kvm_read_cr4(vcpu) != sregs->cr4;",
                "",
                function="__set_sregs_common",
            ),
            "shadow",
        ),
    ],
)
def la57_toggled(vm: StoryBuilder) -> None:
    """Userspace turns 5-level paging off and on again: the same top table is then used at another level.

    The shadow pages of both levels exist beside each other.
    """
    tables = guest(vm, LONG, data=[0x10, 0x11])
    tables.map(VA, 0x10, READY)
    middle, directory = tables.table_of(VA, 3), tables.table_of(VA, 2)
    # With five levels the page directory has level 3, and its entry 0 leads to two more tables.
    leaf = tables.table()
    tables.map(tables.format.index(VA, 2) << 12, leaf, READY)
    tables.set(Entry(leaf, tables.format.index(VA, 1)), tables.leaf(0x11, READY))
    tables.run()
    reads(vm, VA, 0x10, "four levels")
    vm.claim("a root of level 4", lambda now: now.shadow.vcpu().root_role.level == 4)
    tables.run(cr4=LONG5.cr4)
    reads(vm, VA, 0x11, "one table deeper")
    vm.claim("a root of level 5", lambda now: now.shadow.vcpu().root_role.level == 5)
    vm.claim(
        "tables are shadowed at two levels",
        lambda now: {p.role.level for p in now.shadow.pages(middle)} >= {3, 4},
    )
    tables.run()
    reads(vm, VA, 0x10, "four levels again")
    vm.claim("with the first shadow pages", lambda now: now.shadow.pages(directory, 2))


@story(
    source=f"{SDM}: PAE paging",
    about=(*SHADOW_FAULT, "mmu_alloc_shadow_roots", "load_pdptrs"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "only the first of the four entries is shadowed",
            Substitution(
                MMU_C,
                "for (i = 0; i < 4; ++i) {\n\t\tWARN_ON_ONCE(IS_VALID",
                "for (i = 0; i < 1; ++i) {\n\t\tWARN_ON_ONCE(IS_VALID",
            ),
            "shadow",
        ),
    ],
)
def pae_guest(vm: StoryBuilder) -> None:
    """A PAE guest has four entries in registers: each present one has a shadow page directory of its own.

    The table of the four is not shadowed; the root consists of four entries in KVM's memory.
    """
    tables = guest(vm, PAE, data=[0x10, 0x11])
    high = 0xC0000000
    tables.map(VA, 0x10, READY)
    tables.map(high, 0x11, READY)
    tables.run()
    reads(vm, VA, 0x10, "the first entry")
    reads(vm, high, 0x11, "the last entry")
    vm.claim("the root is no shadow page", lambda now: now.shadow.vcpu().root == 0)
    vm.claim(
        "two entries are present",
        lambda now: [r > 0 for r in now.shadow.vcpu().pae_roots] == [True, False, False, True],
    )
    vm.claim("directories are roots", lambda now: now.shadow.page(tables.table_of(VA, 2), 2).root_count == 1)
    vm.claim("their table is not shadowed", lambda now: not now.shadow.pages(tables.root))
    vm.execute(address=BIG, kind=READ).claim("absent", lambda now: now.exception == (14, 0, BIG))
    vm.execute(address=VA, kind=WRITE, privilege=USER, value=4)
    vm.claim("entries in registers restrict nothing", lambda now: now.executed.end == End.DONE)


@story(
    source=(
        'commit 6b123c3a89a9 ("KVM: x86/mmu: Reconstruct shadow page root if the guest PDPTEs is changed") '
        "in v5.17"
    ),
    about=("load_pdptrs", "kvm_set_cr3"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "a load of CR3 with the value that it has does nothing with PAE",
            Substitution(
                X86_C,
                "if (cr3 == kvm_read_cr3(vcpu) && !is_pae_paging(vcpu))",
                "if (cr3 == kvm_read_cr3(vcpu))",
                function="kvm_set_cr3",
            ),
            "shadow",
        ),
        Mutant(
            "changed entries in registers leave the root",
            Substitution(
                X86_C,
                "kvm_mmu_free_roots(vcpu->kvm, mmu, KVM_MMU_ROOT_CURRENT);",
                ";",
                function="load_pdptrs",
            ),
            "shadow",
        ),
        Mutant(
            "changed entries in registers leave the root",
            Substitution(
                REGS_C,
                "kvm_mmu_free_roots(vcpu->kvm, &vcpu->arch.root_mmu,",
                ";(void)(vcpu->kvm, &vcpu->arch.root_mmu,",
                "7.3",
                function="load_pdptrs",
            ),
            "shadow",
        ),
    ],
)
def pdptes_change(vm: StoryBuilder) -> None:
    """A PAE guest changes an entry of its top table and loads CR3 with the value that it has.

    That is how such a guest changes the registers: the root of the old entries must go.
    """
    tables = guest(vm, PAE, data=[0x10, 0x11])
    tables.map(VA, 0x10, READY)
    entry = tables.entry(VA, 3)
    old = tables.read(entry)
    tables.run()
    reads(vm, VA, 0x10, "the old page")
    tables.set(entry, 0)
    tables.map(VA, 0x11, READY)
    reads(vm, VA, 0x10, "the registers are as before")
    vm.set_cr3(value=tables.cr3)
    reads(vm, VA, 0x11, "the new page")
    tables.set(entry, old)
    vm.set_cr3(value=tables.cr3)
    reads(vm, VA, 0x10, "the old page again")


@story(
    source=f"{SDM}: PAE paging, reserved bits of PDPTEs; MOV to CR3",
    about=("load_pdptrs", "kvm_set_cr3"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "reserved bits of entries that are loaded are not checked",
            Substitution(
                X86_C,
                "(pdpte[i] & pdptr_rsvd_bits(vcpu))",
                "0",
                function="load_pdptrs",
            ),
            "shadow",
        ),
    ],
)
def reserved_bit_of_a_pdpte(vm: StoryBuilder) -> None:
    """An entry of a PAE guest's top table has a reserved bit: loading CR3 is refused, the registers stay.

    These entries have no R/W bit: a present one with it is #GP when it is loaded, an absent one may have any.
    """
    tables = guest(vm, PAE, data=[0x10, 0x11])
    tables.map(VA, 0x10, READY)
    entry = tables.entry(VA, 3)
    good = tables.read(entry)
    tables.run()
    reads(vm, VA, 0x10, "mapped")
    tables.set(entry, good | RW)
    vm.set_cr3(value=tables.cr3).claim("refused", lambda now: now.outcome == [1])
    reads(vm, VA, 0x10, "the registers are as before")
    tables.set(entry, good & ~P | RW)
    vm.set_cr3(value=tables.cr3).claim("accepted", lambda now: now.outcome == [0])
    vm.execute(address=VA, kind=READ).claim("absent", lambda now: now.exception == (14, 0, VA))


@story(
    source="mmu.c: role.quadrant; Documentation/virt/kvm/x86/mmu.rst: role.quadrant",
    about=("paging32_fetch", "paging32_walk_addr_generic", "get_written_sptes", "kvm_mmu_child_role"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "both halves of a 32-bit table are shadowed as the first",
            Substitution(MMU_C, "role.quadrant = spte_index(sptep) & 1;", "role.quadrant = 0;"),
            "shadow",
        ),
        Mutant(
            "a written entry of the second half is taken for one of the first",
            Substitution(MMU_C, "if (quadrant != sp->role.quadrant)\n\t\t\treturn NULL;", ""),
            "shadow",
        ),
    ],
)
def quadrants_of_32_bit_tables(vm: StoryBuilder) -> None:
    """A table of a 32-bit guest has 1024 entries: two shadow pages for a page table, four for the directory.

    Each shadows a part. A write of the directory zaps the two entries that shadow the one written.
    """
    tables = guest(vm, TWO_LEVELS, data=[0x10, 0x11, 0x12], aliases=4)
    second = VA + 600 * PAGE
    tables.map(VA, 0x10, READY)
    tables.map(second, 0x11, READY)
    pde = tables.entry(VA, 2)
    table = tables.table_of(VA)
    tables.run()
    vm.execute(address=VA, kind=WRITE, value=5).claim("the first half", lambda now: now.value == 5)
    vm.execute(address=second, kind=WRITE, value=6).claim("the second half", lambda now: now.value == 6)
    vm.claim(
        "quadrants of the table", lambda now: [p.role.quadrant for p in now.shadow.pages(table, 1)] == [0, 1]
    )
    vm.claim("entries of 4 bytes", lambda now: all(p.role.has_4_byte_gpte for p in now.shadow.pages(table)))
    vm.execute(address=tables.at(pde), kind=WRITE, value=tables.read(pde))
    vm.claim("emulated", lambda now: now.executed.end == End.EMULATED)
    vm.claim(
        "both entries are zapped", lambda now: now.shadow.leaf(VA) is None and now.shadow.leaf(second) is None
    )
    vm.execute(address=second, kind=READ).claim("mapped again", lambda now: now.value == 6)
    place = tables.entry(second)
    vm.execute(address=tables.at(place), kind=WRITE, value=tables.leaf(0x12, READY))
    vm.claim("both halves are unsync", lambda now: now.shadow.unsync == {table})
    vm.invlpg(address=second)
    reads(vm, second, 0x12, "the new page")


@story(
    source=f"{SDM}: 4-MByte pages, PSE-36",
    about=("paging32_walk_addr_generic", "paging32_page_fault", "paging32_fetch"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "the high address bits of a 4M page are lost",
            Substitution(PAGING_TMPL_H, "gfn += pse36_gfn_delta(pte);", ""),
            "shadow",
        ),
    ],
)
def pages_of_4m(vm: StoryBuilder) -> None:
    """A 32-bit guest maps 4M pages, one of them above 4G: KVM maps them in small pages or in pieces of 2M.

    Bits 16:13 of such an entry are bits 35:32 of the address. The pieces of 2M have the host's size.
    """
    tables = guest(vm, TWO_LEVELS, data=[0x12])
    above = 1 << 20
    memory(vm, slot=1, gfn=above, npages=0x400, page=0x1000, level=HUGE)
    vm.store(gfn=above + 0x212, index=0, value=content(above))
    tables.map(0xC0000000, 0, level=2)
    tables.set(tables.entry(0x80000000, 2), READY | PS | 1 << 13)
    tables.run()
    reads(vm, 0xC0012000, 0x12, "below 4G")
    vm.execute(address=0x80212000, kind=READ).claim(
        "above 4G", lambda now: now.value == content(above) & 0xFFFFFFFF
    )
    vm.claim("2M of it are mapped", lambda now: now.shadow.mapped(0x80212000).level == HUGE)


@story(
    source="mmu.c: nonpaging_page_fault(); Intel SDM vol. 3, 4.1.1: CR0.PG = 0",
    about=("nonpaging_page_fault", "kvm_calc_shadow_mmu_root_page_role", "nonpaging_init_context"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "a guest without paging is shadowed as one with it",
            Substitution(
                MMU_C,
                "role.base.direct = 1;",
                "role.base.direct = 0;",
                function="kvm_calc_cpu_role",
            ),
            "shadow",
        ),
    ],
)
def guest_without_paging(vm: StoryBuilder) -> None:
    """A guest without paging has its physical addresses shadowed by direct pages.

    There are no tables of the guest, and so nothing to write-protect, though KVM runs it with paging.
    """
    memory(vm, gfn=0, npages=0x400)
    vm.store(gfn=5, value=content(5))
    vm.set_sregs(cr0=1, cr4=0, efer=0, cr3=0)
    reads(vm, 0x5000, 5, "physical addresses")
    vm.execute(address=0x5000, kind=WRITE, value=3).claim("may be written", lambda now: now.value == 3)
    vm.claim("all pages are direct", lambda now: all(page.role.direct for page in now.shadow.pages()))
    vm.claim("none is tracked", lambda now: now.shadow.counters.indirect_shadow_pages == 0)
    vm.execute(address=0x1000000, kind=READ).claim("MMIO", lambda now: now.executed.end == End.USERSPACE)


@story(
    source=f"{ROLE}; {SDM}: CR0.WP, CR4.SMEP, CR4.SMAP",
    about=("kvm_calc_cpu_role", "kvm_set_cr0", "kvm_set_cr4", "paging64_page_fault", "permission_fault"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "CR0.WP is not part of the role",
            Substitution(MMU_C, "role.base.cr0_wp = ____is_cr0_wp(regs);", "role.base.cr0_wp = 1;"),
            "shadow",
        ),
        Mutant(
            "a page that the kernel may write without WP stays one of users",
            Substitution(PAGING_TMPL_H, "walker.pte_access &= ~ACC_USER_MASK;", ""),
            "shadow",
        ),
        Mutant(
            "the kernel may execute what it could write without WP",
            Substitution(
                PAGING_TMPL_H,
                "if (is_cr4_smep(vcpu->arch.mmu))\n\t\t\twalker.pte_access &= ~ACC_EXEC_MASK;",
                "",
            ),
            "shadow",
        ),
        Mutant(
            "a new CR0.WP does not change the roles",
            Substitution(
                X86_C,
                "if ((cr0 ^ old_cr0) & KVM_MMU_CR0_ROLE_BITS)\n\t\tkvm_mmu_reset_context(vcpu);",
                "",
                function="kvm_post_set_cr0",
            ),
            "shadow",
        ),
        Mutant(
            "a new CR4.SMEP does not change the roles",
            Substitution(
                X86_C,
                "if ((cr4 ^ old_cr4) & KVM_MMU_CR4_ROLE_BITS)\n\t\tkvm_mmu_reset_context(vcpu);",
                "",
                function="kvm_post_set_cr4",
            ),
            "shadow",
        ),
    ],
)
def wp_smep_smap(vm: StoryBuilder) -> None:
    """CR0.WP, SMEP and SMAP decide what the supervisor may do with pages of users; each has its own roles.

    KVM always runs the guest with WP. A write that WP=0 allows makes the SPTE writable for the supervisor
    alone, so that the user must not use it then, and with SMEP it is not executable.
    """
    tables = guest(vm, data=[0x12])
    page = VA + 2 * PAGE
    tables.map(page, 0x12, P | US)
    tables.run()

    def allowed(*, write: bool, fetch: bool, read: bool) -> None:
        wanted = ((WRITE, 3, write, "write"), (FETCH, 0x11, fetch, "fetch"), (READ, 1, read, "read"))
        for kind, code, allows, name in wanted:
            attempt(kind, code, allows, name)
        vm.execute(address=page, kind=READ, privilege=AC).claim(
            "AC reads", lambda now: now.executed.end == End.DONE
        )
        vm.execute(address=page, kind=READ, privilege=USER).claim(
            "users read", lambda now: now.executed.end == End.DONE
        )
        vm.execute(address=page, kind=WRITE, privilege=USER)
        vm.claim("users do not write", lambda now: now.exception == (14, 7, page))

    def attempt(kind: int, code: int, allows: bool, name: str) -> None:
        vm.execute(address=page, kind=kind, value=1)
        if allows:
            vm.claim(f"{name} allowed", lambda now: now.executed.end == End.DONE)
        else:
            vm.claim(f"{name} refused", lambda now: now.exception == (14, code, page))

    allowed(write=False, fetch=True, read=True)
    vm.set_cr0(value=CR0 & ~WP)
    allowed(write=True, fetch=True, read=True)
    vm.set_cr4(value=CR4 | SMEP)
    allowed(write=True, fetch=False, read=True)
    vm.set_cr4(value=CR4 | SMAP)
    allowed(write=False, fetch=True, read=False)
    vm.set_cr0(value=CR0)
    allowed(write=False, fetch=True, read=False)
    vm.set_cr4(value=CR4 | SMEP)
    allowed(write=False, fetch=False, read=True)
    vm.claim(
        "roots of several roles", lambda now: len({p.role for p in now.shadow.pages(tables.root, 4)}) > 3
    )
    vm.claim("all of them without a complaint", lambda now: not now.events)


@story(
    source=(
        'commit 112022bdb5bc ("KVM: x86/mmu: Treat NX as used (not reserved) for all !TDP shadow MMUs") '
        "in v5.13"
    ),
    about=("set_efer", "kvm_calc_cpu_role", "reset_shadow_zero_bits_mask"),
    modes=SHADOW,
    nx_huge_pages=1,
    mutants=[
        Mutant(
            "EFER.NXE does not change the role",
            Substitution(
                X86_C,
                "if ((efer ^ old_efer) & KVM_MMU_EFER_ROLE_BITS)\n\t\tkvm_mmu_reset_context(vcpu);",
                "",
                function="set_efer",
            ),
            "shadow",
        ),
    ],
)
def efer_nx_toggled(vm: StoryBuilder) -> None:
    """Without EFER.NXE bit 63 of the guest's entries is reserved; KVM itself uses it all the same.

    With the mitigation of multihit a huge page is mapped without execution, whatever the guest's EFER.
    """
    tables = guest(vm, npages=0x800, level=HUGE)
    tables.map(VA, 0x10, READY | NX)
    tables.map(BIG, X2M * 2, READY, level=HUGE)
    tables.run()
    vm.execute(address=VA, kind=FETCH).claim("not executable", lambda now: now.exception == (14, 0x11, VA))
    vm.set_efer(value=EFER & ~NXE)
    vm.execute(address=VA, kind=READ).claim("reserved", lambda now: now.exception == (14, 9, VA))
    vm.execute(address=BIG, kind=WRITE, value=1).claim("2M", lambda now: now.shadow.mapped(BIG).level == HUGE)
    vm.claim("mapped without X", lambda now: not now.shadow.mapped(BIG).executable)
    vm.claim("which is no reserved bit", lambda now: not now.events)
    vm.execute(address=BIG, kind=FETCH).claim("executed in 4K", lambda now: now.shadow.mapped(BIG).level == 1)
    vm.claim(
        "the same role",
        lambda now: {p.role.efer_nx for p in now.shadow.pages()} == {1},
        since=SHADOW_ROLE_HAS_NX,
    )
    vm.set_efer(value=EFER)
    vm.execute(address=VA, kind=READ).claim("not reserved again", lambda now: now.executed.end == End.DONE)


@story(
    source=(
        'commit 5f0b819995e1 ("KVM: MMU: fix reserved bit check for ept=0/CR0.WP=0/CR4.SMEP=1/EFER.NX=0") '
        "in v4.6"
    ),
    about=("paging64_page_fault", "kvm_init_shadow_mmu", "make_spte"),
    modes=SHADOW,
)
def smep_without_wp_and_nx(vm: StoryBuilder) -> None:
    """The guest has SMEP but neither CR0.WP nor EFER.NXE; its supervisor writes a read-only page of users.

    The SPTE becomes the supervisor's, and not executable, as SMEP wants it for a page of users. It has bit 63
    although the guest's own entries must not have it.
    """
    tables = guest(vm, data=[0x10])
    tables.map(VA, 0x10, P | US)
    tables.run(cr0=CR0 & ~WP, cr4=CR4 | SMEP, efer=EFER & ~NXE)
    vm.execute(address=VA, kind=WRITE, value=1).claim("written", lambda now: now.executed.end == End.DONE)
    vm.claim("the supervisor's", lambda now: now.shadow.mapped(VA).writable)
    vm.claim("without X", lambda now: not now.shadow.mapped(VA).executable)
    vm.claim("which is no reserved bit", lambda now: not now.events)
    vm.execute(address=VA, kind=FETCH).claim("SMEP", lambda now: now.exception == (14, 0x11, VA))
    vm.execute(address=VA, kind=READ, privilege=USER).claim("users read", lambda now: now.value == 1)
    vm.execute(address=VA, kind=FETCH, privilege=USER)
    vm.claim("users execute", lambda now: now.executed.end == End.DONE)


@story(
    source='commit 9645bb56b31a ("KVM: MMU: Use different shadows when EFER.NXE changes") in v2.6.21',
    about=("set_efer", "kvm_init_shadow_mmu"),
    modes=SHADOW,
    shows=[
        Fault(
            "an entry with bit 63 that was shadowed with EFER.NXE causes no fault without it",
            f"no fix is known: {SHADOW_ROLE_HAS_NX} undid 9645bb56b31a of v2.6.21",
            since=SHADOW_ROLE_HAS_NX,
        )
    ],
)
def no_execute_entry_outlives_efer_nx(vm: StoryBuilder) -> None:
    """An entry with bit 63 is shadowed with EFER.NXE, and read again without it, where the bit is reserved.

    The processor would fault, at the latest when the TLB is flushed. So does KVM if it has shadow pages for
    each value of EFER.NXE, but not if they serve both.
    """
    tables = guest(vm, data=[0x10, 0x11])
    tables.map(VA, 0x10, READY | NX)
    tables.map(VA + PAGE, 0x11, P | RW | US | NX)
    tables.run()
    reads(vm, VA, 0x10, "shadowed")
    vm.set_efer(value=EFER & ~NXE)
    vm.set_cr3(value=tables.cr3)
    vm.execute(address=VA + PAGE, kind=READ)
    vm.claim("reserved in an entry that is not shadowed", lambda now: now.exception == (14, 9, VA + PAGE))
    vm.execute(address=VA, kind=READ)
    vm.set_efer(value=EFER)
    reads(vm, VA, 0x10, "with EFER.NXE again")


@story(
    source=f"{SDM}: 1-GByte pages, and bits that are reserved in large pages",
    about=(*SHADOW_FAULT, "__reset_rsvds_bits_mask"),
    modes=SHADOW,
)
def guest_pages_of_1g(vm: StoryBuilder) -> None:
    """A guest maps 1G of which the host has some in 2M pages; the first entry with a low address bit faults.

    KVM maps no more than the host does in one piece, and the low bits of a huge page's address are reserved.
    """
    tables = guest(vm)
    start, gfn, address = X1G, X1G + 3, BIG + 3 * PAGE
    memory(vm, slot=1, gfn=start, npages=0x400, page=0x1000, level=HUGE)
    vm.store(gfn=gfn, value=content(gfn))
    tables.map(BIG, start, READY, level=3)
    tables.set(tables.entry(2 * BIG, 3), tables.leaf(start, READY, level=3) | 1 << 13)
    tables.run()
    reads(vm, address, gfn, "read through 1G")
    vm.claim("2M of it are mapped", lambda now: now.shadow.mapped(address).level == HUGE)
    vm.claim("below a direct page", lambda now: [p.role.level for p in now.shadow.pages(direct=1)] == [2])
    vm.execute(address=2 * BIG, kind=READ).claim("reserved", lambda now: now.exception == (14, 9, 2 * BIG))


@story(
    source="paging_tmpl.h: walk_addr_generic(), gpte_access(); flags of all levels are combined",
    about=("paging64_walk_addr_generic", "paging64_gpte_access"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "NX of upper levels does not count",
            Substitution(PAGING_TMPL_H, "walk_nx_mask = 1ULL << PT64_NX_SHIFT;", "walk_nx_mask = 0;"),
            "shadow",
        ),
    ],
)
def nx_in_upper_levels(vm: StoryBuilder) -> None:
    """NX in a page directory makes all below it non-executable; its leaf entries say nothing of it.

    The shadow page of the table lacks execute access in its role.
    """
    tables = guest(vm, data=[0x10])
    tables.map(VA, 0x10, READY, upper=P | RW | US | NX)
    tables.run()
    reads(vm, VA, 0x10, "readable")
    vm.execute(address=VA, kind=FETCH).claim("not executable", lambda now: now.exception == (14, 0x11, VA))
    vm.claim("nor is the SPTE", lambda now: not now.shadow.mapped(VA).executable)
    vm.execute(address=VA, kind=WRITE, value=1).claim("writable", lambda now: now.executed.end == End.DONE)
    vm.claim("no fault of KVM's", lambda now: Exit.FIXED not in now.handled)


@story(
    source="x86.c: kvm_post_set_cr0(), kvm_post_set_cr4(); kvm_mmu_reset_context()",
    about=("kvm_set_cr0", "kvm_set_cr4", "kvm_mmu_reset_context", "kvm_init_mmu"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "the MMU is not set up again when CR4.SMEP changes",
            Substitution(
                X86_C,
                "if ((cr4 ^ old_cr4) & KVM_MMU_CR4_ROLE_BITS)\n\t\tkvm_mmu_reset_context(vcpu);",
                "",
            ),
            "shadow",
        ),
    ],
)
def paging_turned_off_and_on(vm: StoryBuilder) -> None:
    """A 32-bit guest turns paging off and on again: its tables are shadowed as before.

    The shadow pages stay in the cache, by their role; nothing is built twice.
    """
    tables = guest(vm, PAE, data=[0x10])
    tables.map(VA, 0x10, READY)
    tables.run()
    reads(vm, VA, 0x10, "linear")
    vm.claim("shadow pages", lambda now: len(now.shadow.pages(direct=0)) == 2)
    vm.set_cr0(value=CR0 & ~(1 << 31))
    reads(vm, 0x10000, 0x10, "physical")
    vm.claim("direct pages", lambda now: now.shadow.pages(direct=1))
    vm.set_cr0(value=CR0)
    vm.set_cr4(value=CR4 | SMEP)
    vm.execute(address=VA, kind=FETCH).claim("SMEP refuses", lambda now: now.exception == (14, 0x11, VA))
    vm.set_cr4(value=CR4)
    reads(vm, VA, 0x10, "linear again")
    vm.execute(address=VA, kind=FETCH).claim("without SMEP", lambda now: now.executed.end == End.DONE)
    vm.claim("the first ones", lambda now: now.shadow.counters.mmu_shadow_zapped == 0)

# SPDX-License-Identifier: GPL-2.0-only
"""L1 runs a guest of its own: its EPT or nested page tables are shadowed, and their faults are L1's."""

from __future__ import annotations

from conformance.interface.access import End
from conformance.kernels.substitutions import MMU_C, PAGING_TMPL_H, Substitution
from conformance.model.changes import (
    EFER_LMA_IN_ROLE,
    NESTED_ROOTS_KEPT,
    NO_ACCESS_WARNS,
    SHADOW_WALK_VERIFIED,
)
from conformance.scenarios.modes import EPT_MODES, PML_MODES, with_legacy
from conformance.scenarios.stories.guest_tables import (
    CR0,
    EPT,
    EPT_A,
    EPT_D,
    EPT_R,
    EPT_RWX,
    EPT_W,
    EPT_WB,
    EPT_X,
    FIRST_TABLE,
    LONG,
    NXE,
    PAE,
    PAGE,
    READY,
    RW,
    SMEP,
    US,
    A,
    D,
    Entry,
    Format,
    GuestTables,
    P,
    content,
)
from conformance.scenarios.stories.setting import FETCH, HUGE, LOG, READ, WRITE, X2M, memory
from conformance.scenarios.story import Fault, Mutant, StoryBuilder, story

NESTED_EPT = with_legacy(*EPT_MODES)
"""Both are shadow pages then: those of L1, and those of L2."""
NPT = with_legacy("npt")
GPA = 0x5000
"""The guest physical address of L2 that most stories map first."""
BIG = 0x40000000
NESTED_PAGE_TABLES = "Documentation/virt/kvm/x86/mmu.rst: nested paging; Intel SDM vol. 3, 29.3: EPT"
NESTED_FAULT = ("ept_page_fault", "ept_walk_addr_generic", "ept_fetch", "nested_ept_inject_page_fault")


def l1(
    vm: StoryBuilder,
    format: Format = EPT,
    *,
    data: tuple[int, ...] = (),
    npages: int = 0x400,
    level: int = 1,
) -> GuestTables:
    """L1 with one memslot from gfn 0 on, whose pages ``data`` have some content, and empty tables for L2."""
    memory(vm, gfn=0, npages=npages, level=level)
    for gfn in data:
        vm.store(gfn=gfn, value=content(gfn))
    return GuestTables(vm, format, first=FIRST_TABLE)


def enters(vm: StoryBuilder, tables: GuestTables, *, ad: int = 1) -> StoryBuilder:
    """L1 enters L2 with these tables; ``ad``: its EPT has Accessed and Dirty bits."""
    if tables.format is EPT:
        return vm.enter_l2(address=tables.eptp(ad=ad), ad=ad, exec_only=1)
    return vm.enter_l2(address=tables.cr3, ad=0, exec_only=0)


def changes(vm: StoryBuilder, tables: GuestTables, place: Entry, value: int) -> StoryBuilder:
    """L1 changes an entry of its tables; it runs with identical addresses."""
    return vm.execute(address=tables.physical(place), kind=WRITE, value=value)


@story(
    source=NESTED_PAGE_TABLES,
    about=NESTED_FAULT,
    modes=NESTED_EPT,
    mutants=[
        Mutant(
            "a writable entry of L1's EPT is not needed to write",
            Substitution(
                PAGING_TMPL_H, "((gpte & VMX_EPT_WRITABLE_MASK) ? ACC_WRITE_MASK : 0)", "ACC_WRITE_MASK"
            ),
        ),
        Mutant(
            "the qualification lacks the rights of L1's entries",
            Substitution(
                PAGING_TMPL_H,
                "(pte_access & VMX_EPT_RWX_MASK) <<\n\t\t\t\t\t\t EPT_VIOLATION_RWX_SHIFT",
                "0",
            ),
        ),
    ],
)
def faults_of_nested_ept(vm: StoryBuilder) -> None:
    """L2 accesses what L1's EPT does not allow: an EPT violation is delivered to L1, with what L1 allows.

    Reads, writes and fetches each need their own bit. What is allowed is mapped without L1 noticing.
    """
    tables = l1(vm, data=(0x10, 0x11))
    gpa = {"R": 0x6000, "X": 0x7000, "RW": 0x8000}
    tables.map(GPA, 0x10)
    tables.map(gpa["R"], 0x11, EPT_R | EPT_WB)
    tables.map(gpa["X"], 0x11, EPT_X | EPT_WB)
    tables.map(gpa["RW"], 0x11, EPT_R | EPT_W | EPT_WB)
    enters(vm, tables)
    vm.execute(address=GPA, kind=READ).claim("read", lambda now: now.value == content(0x10))
    vm.execute(address=GPA, kind=WRITE, value=5).claim("written", lambda now: now.executed.end == End.DONE)

    def to_l1(address: int, kind: int, access: int, allowed: int) -> None:
        vm.execute(address=address, kind=kind)
        vm.claim("an exit to L1", lambda now: now.exit_to_l1 is not None and now.exit_to_l1[1] == address)
        vm.claim(
            "the qualification has the access, and what is allowed",
            lambda now: now.exit_to_l1 is not None and now.exit_to_l1[2] & 0x3F == access | allowed << 3,
        )

    to_l1(gpa["R"], WRITE, EPT_W, EPT_R)
    to_l1(gpa["R"], FETCH, EPT_X, EPT_R)
    to_l1(gpa["X"], READ, EPT_R, EPT_X)
    to_l1(gpa["RW"], FETCH, EPT_X, EPT_R | EPT_W)
    to_l1(0x9000, READ, EPT_R, 0)
    vm.execute(address=gpa["X"], kind=FETCH).claim("executes", lambda now: now.executed.end == End.DONE)
    vm.claim("without reading", lambda now: now.shadow.vcpu().guest_mode == 1)
    vm.leave_l2().claim("L1 again", lambda now: now.shadow.vcpu().guest_mode == 0)
    vm.execute(address=0x10000, kind=READ).claim("sees the write", lambda now: now.value == 5)


@story(
    source="Intel SDM vol. 3, 29.3.5: accessed and dirty flags for EPT",
    about=("ept_update_accessed_dirty_bits", "ept_protect_clean_gpte", "kvm_init_shadow_ept_mmu"),
    modes=PML_MODES,
    mutants=[
        Mutant(
            "L1's Accessed and Dirty are not part of the role",
            Substitution(
                MMU_C,
                "role.base.ad_disabled = !accessed_dirty;",
                "role.base.ad_disabled = 0;",
                function="kvm_calc_shadow_ept_root_page_role",
            ),
        ),
    ],
)
def accessed_and_dirty_of_l1(vm: StoryBuilder) -> None:
    """With Accessed and Dirty in L1's EPT, KVM sets them as L2 uses memory; without, it sets nothing.

    A clean page is mapped read-only first, as for guests whose tables are shadowed.
    """
    tables = l1(vm, data=(0x10, 0x11))
    first, second = tables.map(GPA, 0x10), tables.map(GPA + PAGE, 0x11)
    enters(vm, tables)
    vm.execute(address=GPA, kind=READ).claim("Accessed", lambda now: now.gpte(first.at, 0x10) & EPT_A)
    vm.claim("clean", lambda now: not now.gpte(first.at, 0x10) & EPT_D)
    vm.claim("mapped read-only", lambda now: not now.shadow.mapped(GPA).writable)
    vm.execute(address=GPA, kind=WRITE, value=1).claim("Dirty", lambda now: now.gpte(first.at, 0x10) & EPT_D)
    vm.claim("writable", lambda now: now.shadow.mapped(GPA).writable)
    vm.leave_l2()
    enters(vm, tables, ad=0)
    vm.execute(address=GPA + PAGE, kind=READ).claim("read", lambda now: now.value == content(0x11))
    vm.claim("nothing is set", lambda now: not now.gpte(second.at, 0x11) & (EPT_A | EPT_D))
    vm.claim("writable at once", lambda now: now.shadow.mapped(GPA + PAGE).writable)
    vm.claim(
        "roles differ", lambda now: {p.role.ad_disabled for p in now.shadow.pages(tables.root, 4)} == {0, 1}
    )


@story(
    source=NESTED_PAGE_TABLES + "; write tracking of gfns in two-dimensional paging",
    about=(
        "kvm_mmu_pte_write",
        "kvm_mmu_track_write",
        "account_shadowed",
        "mmu_try_to_unsync_pages",
        "ept_sync_page",
    ),
    modes=NESTED_EPT,
    mutants=[
        Mutant(
            "the TDP MMU maps tables of L1 writable",
            Substitution(
                MMU_C,
                "if (kvm_slot_page_track_is_active(kvm, slot, gfn, KVM_PAGE_TRACK_WRITE))\n"
                "\t\treturn -EPERM;",
                "",
            ),
        ),
    ],
)
def l1_changes_its_ept(vm: StoryBuilder) -> None:
    """L1 changes a leaf of its EPT, and then a directory: the first is unsync, the second write is emulated.

    L2 may use the old translation until INVEPT, or until L1's directory is written.
    """
    tables = l1(vm, data=(0x10, 0x20))
    pte = tables.map(GPA, 0x10)
    pde = tables.entry(GPA, 2)
    enters(vm, tables)
    vm.execute(address=GPA, kind=READ).claim("the old page", lambda now: now.value == content(0x10))
    vm.leave_l2()
    changes(vm, tables, pte, tables.leaf(0x20)).claim("unsync", lambda now: now.shadow.unsync == {pte.gfn})
    enters(vm, tables)
    vm.execute(address=GPA, kind=READ).claim(
        "old or new", lambda now: now.value in (content(0x10), content(0x20))
    )
    vm.leave_l2()
    vm.invept().claim(
        "the root is dropped", lambda now: not any(p.root_count for p in now.shadow.pages(tables.root))
    )
    enters(vm, tables)
    vm.execute(address=GPA, kind=READ).claim("the new page", lambda now: now.value == content(0x20))
    vm.claim("in sync", lambda now: not now.shadow.unsync)
    vm.leave_l2()
    changes(vm, tables, pde, 0).claim("emulated", lambda now: now.executed.end == End.EMULATED)
    vm.claim("counted", lambda now: now.shadow.grown.mmu_pte_write == 1)
    vm.invept()
    enters(vm, tables)
    vm.execute(address=GPA, kind=READ).claim("absent", lambda now: now.executed.end == End.NESTED_EXIT)


@story(
    source='commit ada51a9de737 ("KVM: x86/mmu: Extend Eager Page Splitting to nested MMUs") in v6.0',
    about=(
        "kvm_tdp_mmu_try_split_huge_pages",
        "make_huge_page_split_spte",
        "make_small_spte",
        "kvm_shadow_mmu_try_split_huge_pages",
        "shadow_mmu_split_huge_page",
        "kvm_mmu_page_get_access",
    ),
    modes=EPT_MODES,
    mutants=[
        Mutant(
            "the small pages of a split page have all access",
            Substitution(
                MMU_C,
                "access = kvm_mmu_page_get_access(huge_sp, spte_index(huge_sptep));",
                "access = ACC_ALL;",
            ),
        ),
        Mutant(
            "a huge page of L2 is not split eagerly",
            Substitution(
                MMU_C,
                "kvm_shadow_mmu_try_split_huge_pages(kvm, memslot, start, end, target_level);",
                "",
                function="kvm_mmu_slot_try_split_huge_pages",
            ),
        ),
    ],
)
def nested_eager_split(vm: StoryBuilder) -> None:
    """L2's huge pages are split when logging is enabled: each small one has the access of L1's entry.

    That access is no longer in any table: it is kept beside the SPTE when it is made.
    """
    rights = (EPT_RWX, EPT_R | EPT_X, EPT_R | EPT_W)
    tables = l1(vm, npages=0x1000, level=HUGE)
    for n, right in enumerate(rights):
        tables.map(n << 21, 0x400 + X2M * n, right | EPT_WB | EPT_A | EPT_D, level=HUGE)
    enters(vm, tables)
    for n in range(len(rights)):
        vm.execute(address=(n << 21) + GPA, kind=READ)
    vm.claim("three of 2M", lambda now: [now.shadow.mapped(n << 21).level for n in range(3)] == [HUGE] * 3)
    vm.set_memory_region(gfn=0, npages=0x1000, page=0, flags=LOG)
    vm.claim(
        "all are 4K", lambda now: [now.shadow.mapped((n << 21) + GPA).level for n in range(3)] == [1] * 3
    )
    vm.claim(
        "executable as L1 says",
        lambda now: [now.shadow.mapped(n << 21).executable for n in range(3)] == [True, True, False],
    )
    vm.claim("none is writable", lambda now: not any(now.shadow.mapped(n << 21).writable for n in range(3)))
    vm.execute(address=GPA, kind=WRITE, value=1).claim("written", lambda now: now.executed.end == End.DONE)
    vm.execute(address=(1 << 21) + GPA, kind=WRITE).claim(
        "not here", lambda now: now.executed.end == End.NESTED_EXIT
    )
    vm.execute(address=(2 << 21) + GPA, kind=FETCH).claim(
        "nor here", lambda now: now.executed.end == End.NESTED_EXIT
    )
    vm.get_dirty_log().claim("the write is logged", lambda now: 0x405 in now.logged)
    vm.set_memory_region(gfn=0, npages=0x1000, page=0, flags=0)
    vm.execute(address=GPA + PAGE, kind=WRITE, value=2).claim(
        "goes on", lambda now: now.executed.end == End.DONE
    )


@story(
    source='commit 9fb3565743d5 ("KVM: x86/mmu: Drop RWX=0 SPTEs during ept_sync_page()") in v5.19',
    about=("ept_sync_page", "ept_sync_spte", "mmu_sync_children"),
    modes=NESTED_EPT,
)
def rwx0_after_sync(vm: StoryBuilder) -> None:
    """Below a directory without execution a leaf becomes execute-only: nothing of its access is left.

    An SPTE without any right would count as not present, and still be in its rmap: it is dropped instead.
    """
    tables = l1(vm, data=(0x10,))
    pte = tables.map(GPA, 0x10, EPT_R | EPT_WB, upper=EPT_R | EPT_W)
    enters(vm, tables, ad=0)
    vm.execute(address=GPA, kind=READ).claim("readable", lambda now: now.value == content(0x10))
    vm.leave_l2()
    changes(vm, tables, pte, tables.leaf(0x10, EPT_X | EPT_WB))
    vm.invept()
    enters(vm, tables, ad=0)
    vm.enter()
    vm.execute(address=0x200000, kind=READ).claim("synchronized", lambda now: not now.shadow.unsync)
    vm.claim("the SPTE is dropped", lambda now: now.shadow.rmap(0x10).sptes == 0, since=NO_ACCESS_WARNS)
    vm.claim("no complaint", lambda now: not now.events)
    vm.execute(address=GPA, kind=READ).claim("L1's business", lambda now: now.executed.end == End.NESTED_EXIT)


@story(
    source="AMD APM vol. 2, 15.25: nested paging; nested page fault's error code",
    about=("paging64_page_fault", "kvm_init_shadow_npt_mmu", "nested_svm_inject_npf_exit"),
    modes=NPT,
)
def faults_of_nested_npt(vm: StoryBuilder) -> None:
    """L2 accesses what L1's nested tables do not allow: a nested page fault is delivered to L1.

    Nested tables look like those of linear addresses, and every access of L2 counts as one of a user.
    """
    tables = l1(vm, LONG, data=(0x10, 0x11))
    pte = tables.map(GPA, 0x10)
    tables.map(0x6000, 0x11, P | US)
    tables.map(0x7000, 0x11, P | RW)
    vm.set_sregs(cr0=CR0, cr4=LONG.cr4, efer=LONG.efer, cr3=0)
    enters(vm, tables)
    vm.execute(address=GPA, kind=READ).claim("read", lambda now: now.value == content(0x10))
    vm.claim("Accessed", lambda now: now.gpte(pte.at, 0x10) & (A | D) == A)
    vm.execute(address=GPA, kind=WRITE, value=1).claim("Dirty", lambda now: now.gpte(pte.at, 0x10) & D)

    def to_l1(address: int, kind: int, code: int) -> None:
        vm.execute(address=address, kind=kind).claim("to L1", lambda now: now.executed.end == End.NESTED_EXIT)
        vm.claim("its error code", lambda now: now.executed.words[0] & 0x1F == code)
        vm.claim("its address", lambda now: now.executed.words[1] == address)

    to_l1(0x6000, WRITE, 7)
    to_l1(0x7000, READ, 5)
    to_l1(0x8000, READ, 4)
    to_l1(0x8000, WRITE, 6)
    vm.leave_l2()
    vm.execute(address=0x10000, kind=READ).claim("L1 sees the write", lambda now: now.value == 1)


@story(
    source=(
        'commit ef318b9edf66 ("KVM: x86/mmu: Use MMU\'s role to detect CR4.SMEP value in nested NPT walk") '
        "in v5.14"
    ),
    about=("paging64_page_fault", "kvm_init_shadow_npt_mmu"),
    modes=NPT,
)
def fetches_by_l2_with_npt(vm: StoryBuilder) -> None:
    """L2 executes what L1's nested tables do not map: L1's registers decide whether it counts as a fetch.

    The error code has I/D if L1 has EFER.NXE or CR4.SMEP. L2, whose CR4 is 0, has neither.
    """
    tables = l1(vm, LONG, data=(0x10,))
    tables.map(GPA, 0x10)

    def fetches(cr4: int, efer: int, code: int, sentence: str) -> None:
        vm.set_sregs(cr0=CR0, cr4=cr4, efer=efer, cr3=0)
        enters(vm, tables)
        vm.execute(address=GPA, kind=FETCH).claim("mapped", lambda now: now.executed.end == End.DONE)
        vm.execute(address=0x8000, kind=FETCH)
        vm.claim("to L1", lambda now: now.executed.end == End.NESTED_EXIT)
        vm.claim(sentence, lambda now: now.executed.words[0] & 0x1F == code)
        vm.leave_l2()

    fetches(LONG.cr4, LONG.efer, 0x14, "a fetch with NX")
    fetches(LONG.cr4 | SMEP, LONG.efer & ~NXE, 0x14, "a fetch with SMEP")
    fetches(LONG.cr4, LONG.efer & ~NXE, 4, "without both it counts as a read")


@story(
    source=(
        'commit 7a2c70e777a0 ("KVM: x86/mmu: Preserve nested TDP shadow page tables if they are used as '
        'roots") in v7.1 (CVE-2026-64561)'
    ),
    about=("mmu_page_zap_pte", "kvm_mmu_prepare_zap_page", "make_mmu_pages_available"),
    modes=NPT,
    since=EFER_LMA_IN_ROLE,
    shows=[
        Fault(
            "a nested table that vCPUs use as root is zapped with a table that points to it",
            NESTED_ROOTS_KEPT,
        )
    ],
    mutants=[
        Mutant(
            "a nested root is zapped with its parent",
            Substitution(
                MMU_C,
                "!child->root_count &&",
                "",
                "7.3",
                function="mmu_page_zap_pte",
            ),
            "npt",
        ),
    ],
)
def nested_root_is_also_a_child(vm: StoryBuilder) -> None:
    """L1's page directory is a root of L2, as L1 uses PAE, and below another root, which is zapped.

    A 64-bit L1 had used the directory as a part of its nested tables. When shadow pages run out, that root is
    zapped, and its children with it, unless a vCPU uses them as roots.
    """
    tables = l1(vm, LONG, data=(0x10,), npages=0x800)
    tables.map(GPA, 0x10)
    for n in range(1, 70):
        tables.map(n << 21, 0x10 + n)
    directory = tables.table_of(GPA, 2)
    pdpt = GuestTables(vm, PAE, first=0x5FF)
    pdpt.share(0, directory, P, level=2)
    vm.set_nr_mmu_pages(n=64)
    vm.set_sregs(cr0=CR0, cr4=LONG.cr4, efer=LONG.efer, cr3=0)
    enters(vm, tables)
    vm.execute(address=GPA, kind=READ).claim("64 bits", lambda now: now.value == content(0x10))
    vm.leave_l2()
    vm.set_sregs(cr0=CR0, cr4=PAE.cr4, efer=NXE, cr3=0)
    enters(vm, pdpt)
    for n in range(1, 66):
        vm.execute(address=n << 21, kind=READ)
    vm.claim("pages were recycled", lambda now: now.shadow.counters.mmu_recycled > 0)
    vm.claim("no complaint", lambda now: not now.events)
    vm.execute(address=GPA, kind=READ).claim("goes on", lambda now: now.executed.end == End.DONE)
    vm.leave_l2()


@story(
    source="AMD APM vol. 2, 15.25.4: an L1 without long mode has PAE nested tables",
    about=("mmu_alloc_shadow_roots", "kvm_init_shadow_npt_mmu", "mmu_alloc_special_roots"),
    modes=NPT,
    mutants=[
        Mutant(
            "the entries above PAE tables of L1 are read-only",
            Substitution(
                MMU_C,
                "pm_mask |= PT_ACCESSED_MASK | PT_WRITABLE_MASK | PT_USER_MASK;",
                ";",
                function="mmu_alloc_shadow_roots",
            ),
            "npt",
        ),
    ],
)
def nested_tables_of_a_pae_l1(vm: StoryBuilder) -> None:
    """An L1 with PAE has nested tables of three levels, shadowed by tables of the host's four.

    The levels above are not the guest's: KVM makes tables of its own for them.
    """
    tables = l1(vm, PAE, data=(0x10, 0x11))
    tables.map(GPA, 0x10, READY)
    tables.map(0x80000000, 0x11, READY)
    vm.set_sregs(cr0=CR0, cr4=PAE.cr4, efer=NXE, cr3=0)
    enters(vm, tables)
    vm.execute(address=GPA, kind=READ).claim("the first entry", lambda now: now.value == content(0x10))
    vm.execute(address=0x80000000, kind=READ).claim("the third", lambda now: now.value == content(0x11))
    vm.execute(address=0x40000000, kind=READ).claim("absent", lambda now: now.executed.end == End.NESTED_EXIT)
    vm.claim("shadowed at level 2", lambda now: now.shadow.pages(tables.table_of(GPA, 2), 2))


@story(
    source="paging_tmpl.h: FNAME(fetch) WARNs where the root has no table for an entry that the walk found",
    about=("paging64_fetch",),
    modes=NPT,
    shows=[
        Fault(
            "an L1 with PAE that fills an entry of its top nested table while L2 runs crashes KVM",
            SHADOW_WALK_VERIFIED,
            fatal=True,
        ),
        Fault(
            "an L1 with PAE that fills an entry of its top nested table while L2 runs causes a WARN",
            "no release has a fix; one was posted in 2022: 'KVM: X86/MMU: Verify PDPTE for nested NPT in PAE"
            " paging mode when page fault', https://lore.kernel.org/r/20220521131700.3661-2-jiangshanlai@gmail.com",
            since=SHADOW_WALK_VERIFIED,
        ),
    ],
)
def nested_pdpte_written_while_l2_runs(vm: StoryBuilder) -> None:
    """An L1 with PAE fills an empty entry of its top nested table while L2 runs, and KVM warns.

    KVM reads these entries from memory at each walk, but makes the four entries of its own root when that is
    loaded. L2's access finds L1's new entry and no table of KVM's for it: a WARN that L1 causes. Userspace
    gets an error.
    """
    tables = l1(vm, PAE, data=(0x10, 0x11))
    tables.map(GPA, 0x10, READY)
    vm.set_sregs(cr0=CR0, cr4=PAE.cr4, efer=NXE, cr3=0)
    enters(vm, tables)
    vm.execute(address=GPA, kind=READ).claim("the first entry", lambda now: now.value == content(0x10))
    tables.map(0x40000000, 0x11, READY)
    vm.execute(address=0x40000000, kind=READ)
    vm.claim("KVM warns", lambda now: any("fetch" in event for event in now.events))
    vm.claim("userspace gets an error", lambda now: now.executed.end == End.FAILED)
    vm.leave_l2()
    enters(vm, tables)
    vm.execute(address=0x40000000, kind=READ)
    vm.claim("a new root has the entry", lambda now: now.value == content(0x11))


@story(
    source="mmu.c: kvm_mmu_page_ad_need_write_protect(); L2 is logged by write protection, even with PML",
    about=("kvm_mmu_slot_leaf_clear_dirty", "kvm_arch_mmu_enable_log_dirty_pt_masked", "make_spte"),
    modes=PML_MODES,
    pml=1,
    mutants=[
        Mutant(
            "L2's pages are logged by their Dirty bits although PML does not log them",
            Substitution(
                "arch/x86/kvm/mmu/mmu_internal.h",
                "return kvm_x86_ops.cpu_dirty_log_size && sp->role.guest_mode;",
                "return false;",
            ),
        ),
    ],
)
def l2_is_logged_by_write_protection(vm: StoryBuilder) -> None:
    """With page modification logging the processor logs L1's writes; L2's are caught by write protection.

    The processor would log L2's guest physical addresses, which are not L1's.
    """
    tables = l1(vm, data=(0x10, 0x11))
    tables.map(GPA, 0x10, EPT_RWX | EPT_WB | EPT_A | EPT_D)
    vm.set_memory_region(gfn=0, npages=0x400, page=0, flags=LOG)
    vm.get_dirty_log()
    enters(vm, tables)
    vm.execute(address=GPA, kind=WRITE, value=1)
    vm.claim("a fault", lambda now: now.handled)
    vm.claim("logged", lambda now: 0x10 in now.dirty())
    vm.get_dirty_log().claim("it is", lambda now: 0x10 in now.logged)
    vm.claim("protected again", lambda now: not now.shadow.mapped(GPA).writable)
    vm.execute(address=GPA, kind=WRITE, value=2).claim("another fault", lambda now: now.handled)
    vm.get_dirty_log().claim("logged again", lambda now: 0x10 in now.logged)


@story(
    source=NESTED_PAGE_TABLES + "; mmu.c: kvm_mmu_new_pgd() of the nested MMU",
    about=("kvm_mmu_new_pgd", "kvm_init_shadow_ept_mmu", "kvm_mmu_load"),
    modes=NESTED_EPT,
    mutants=[
        Mutant(
            "a cached root is not loaded",
            Substitution(
                MMU_C,
                "kvm_make_request(KVM_REQ_LOAD_MMU_PGD, vcpu);",
                "",
                function="kvm_mmu_new_pgd",
            ),
        ),
    ],
)
def two_nested_guests(vm: StoryBuilder) -> None:
    """L1 switches between two guests of its own: each has its root, and keeps it.

    Entering the first again needs no fault.
    """
    first = l1(vm, data=(0x10, 0x11))
    second = first.another(0x240)
    first.map(GPA, 0x10)
    second.map(GPA, 0x11)
    enters(vm, first)
    vm.execute(address=GPA, kind=READ).claim("the first", lambda now: now.value == content(0x10))
    vm.leave_l2()
    enters(vm, second)
    vm.execute(address=GPA, kind=READ).claim("the second", lambda now: now.value == content(0x11))
    vm.leave_l2()
    vm.execute(address=0x10000, kind=READ).claim("L1", lambda now: now.value == content(0x10))
    enters(vm, first)
    vm.execute(address=GPA, kind=READ).claim("no fault", lambda now: not now.handled)
    vm.claim("the first again", lambda now: now.value == content(0x10))
    vm.claim(
        "two roots", lambda now: all(now.shadow.page(tables.root, 4).root_count for tables in (first, second))
    )


@story(
    source=NESTED_PAGE_TABLES + "; MMU notifiers reach shadow pages of L2 by rmap",
    about=("kvm_unmap_gfn_range", "kvm_age_gfn", "kvm_handle_gfn_range"),
    modes=EPT_MODES,
    mutants=[
        Mutant(
            "aging does not reach L2",
            Substitution(
                MMU_C,
                "young = kvm_handle_gfn_range(kvm, range, kvm_age_rmap);",
                ";",
                function="kvm_age_gfn",
            ),
        ),
    ],
)
def host_changes_under_a_nested_guest(vm: StoryBuilder) -> None:
    """The host ages and discards a page that L1 and L2 use: the mappings of both follow, one in each MMU.

    A use by either counts.
    """
    tables = l1(vm, data=(0x10,))
    tables.map(GPA, 0x10, EPT_RWX | EPT_WB | EPT_A | EPT_D)
    vm.execute(address=0x10000, kind=WRITE, value=1).claim("L1's", lambda now: now.mapped(0x10).writable)
    enters(vm, tables)
    vm.execute(address=GPA, kind=WRITE, value=2).claim("L2's", lambda now: now.shadow.mapped(GPA).writable)
    vm.claim("in the rmap once", lambda now: now.shadow.rmap(0x10).sptes == 1)
    vm.clear_flush_young(page=0x10).claim("young", lambda now: now.outcome == [1])
    vm.claim("old in both", lambda now: not now.mapped(0x10).accessed and not now.shadow.mapped(GPA).accessed)
    vm.test_young(page=0x10).claim("old", lambda now: now.outcome == [0])
    vm.execute(address=GPA, kind=READ).claim("L2 uses it", lambda now: now.value == 2)
    vm.madvise_dontneed(page=0x10)
    vm.claim("unmapped in both", lambda now: now.leaf(0x10) is None and now.shadow.leaf(GPA) is None)


@story(
    source="mmu.c: kvm_mmu_reset_context(), nested exits",
    about=("kvm_mmu_load", "kvm_mmu_free_roots", "mmu_free_root_page"),
    modes=NESTED_EPT,
    vcpus=2,
    mutants=[
        Mutant(
            "a root is dropped by the first of its users",
            Substitution(
                MMU_C,
                "else if (!--sp->root_count && sp->role.invalid)",
                "else if (--sp->root_count, sp->role.invalid)",
                function="mmu_free_root_page",
            ),
        ),
        Mutant(
            "obsolete roots of L2 are kept",
            Substitution(
                MMU_C,
                "__kvm_mmu_free_obsolete_roots(vcpu->kvm, &vcpu->arch.guest_mmu);",
                "",
                function="kvm_mmu_free_obsolete_roots",
            ),
        ),
    ],
)
def l2_on_two_vcpus(vm: StoryBuilder) -> None:
    """Two vCPUs run L2 with the same EPT: they share its shadow pages; a memslot's deletion drops them all.

    Both go on in new roots.
    """
    tables = l1(vm, data=(0x10,))
    memory(vm, slot=1, gfn=0x1000, npages=16, page=0x1000)
    tables.map(GPA, 0x10)
    for vcpu in (0, 1):
        vm.enter_l2(vcpu=vcpu, address=tables.eptp(), ad=1, exec_only=1)
        vm.execute(vcpu=vcpu, address=GPA, kind=READ)
    vm.claim("one root, two users", lambda now: now.shadow.page(tables.root, 4).root_count == 2)
    vm.set_memory_region(slot=1, gfn=0x1000, npages=0, page=0x1000)
    vm.claim("nothing maps the page", lambda now: not now.shadow.mapping(0x10))
    for vcpu in (0, 1):
        vm.execute(vcpu=vcpu, address=GPA, kind=READ).claim("goes on", lambda now: now.value == content(0x10))
    vm.claim("in a new root", lambda now: now.shadow.page(tables.root, 4, invalid=0).root_count == 2)
    vm.leave_l2(vcpu=1).claim("one is still inside", lambda now: now.shadow.vcpu(0).guest_mode == 1)

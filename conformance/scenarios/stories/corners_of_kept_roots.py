# SPDX-License-Identifier: GPL-2.0-only
"""More corners that random mutants showed: roots of a guest outside of its memory, or kept for later."""

from __future__ import annotations

from conformance.interface.access import End
from conformance.kernels.substitutions import MMU_C, Substitution
from conformance.model.changes import (
    CACHE_OF_ALL_ROOTS,
    DUMMY_ROOT,
    OBSOLETE_ROOTS_DROPPED,
    PDPTRS_CHECKED_FIRST,
)
from conformance.scenarios.stories.guest_roots import INVPCID, NO_FLUSH, PCIDS, SDM_PCID
from conformance.scenarios.stories.guest_tables import (
    LONG,
    PAE,
    READY,
    SHADOW,
    VA,
    Entry,
    P,
    content,
    guest,
    reads,
    writes,
)
from conformance.scenarios.stories.nested_guests import GPA, NESTED_EPT, NPT, enters, l1
from conformance.scenarios.stories.setting import READ
from conformance.scenarios.story import Mutant, StoryBuilder, story

NOWHERE = 0x600
"""A gfn without memory."""
DESCRIPTOR = 0x30
"""The gfn of the operand of INVPCID."""
OPERAND = VA + (1 << 21)
"""Where it is mapped."""


@story(
    source=SDM_PCID,
    about=("kvm_handle_invpcid", "kvm_invalidate_pcid", "kvm_mmu_free_roots"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "nothing is freed if all previous roots are",
            Substitution(
                MMU_C,
                "VALID_PAGE(mmu->prev_roots[i].hpa))\n\t\t\t\tbreak;",
                "VALID_PAGE(mmu->prev_roots[i].hpa))\n\t\t\t\tcontinue;\n\t\t\telse\n\t\t\t\tbreak;",
                "6.1",
                function="kvm_mmu_free_roots",
            ),
            "shadow",
        ),
    ],
)
def three_roots_of_one_pcid(vm: StoryBuilder) -> None:
    """A guest has used three roots with one PCID, runs with another one, and flushes the first: all three go.

    The current root stays, as it belongs to the other PCID.
    """
    tables = guest(vm, data=[0x10])
    roots = [tables, *(tables.another(first) for first in (0x220, 0x240, 0x260))]
    for root in roots:
        root.map(VA, 0x10, READY)
        root.map(OPERAND, DESCRIPTOR, READY)
    vm.store(gfn=DESCRIPTOR, value=1)
    tables.run(cr4=PCIDS)
    for root, pcid in zip(roots, (1, 1, 1, 2), strict=True):
        vm.set_cr3(value=root.cr3 | pcid | NO_FLUSH)
        reads(vm, VA, 0x10, "the page")
    vm.claim("three are kept", lambda now: all(root for root, _ in now.shadow.vcpu().prev_roots))
    vm.invpcid(type=INVPCID["context"], address=OPERAND)
    vm.claim("none is kept", lambda now: not any(root for root, _ in now.shadow.vcpu().prev_roots))
    vm.claim("but the current one", lambda now: now.shadow.vcpu().root)


@story(
    source=SDM_PCID,
    about=("kvm_handle_invpcid", "kvm_mmu_invpcid_gva"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "the oldest root is not looked at",
            Substitution(
                MMU_C,
                "for (i = 0; i < KVM_MMU_NUM_PREV_ROOTS; i++) {\n"
                "\t\tif (VALID_PAGE(mmu->prev_roots[i].hpa) &&\n\t\t    pcid ==",
                "for (i = 0; i < 2; i++) {\n\t\tif (VALID_PAGE(mmu->prev_roots[i].hpa) &&\n\t\t    pcid ==",
                "6.1",
                function="kvm_mmu_invpcid_gva",
            ),
            "shadow",
        ),
    ],
)
def invpcid_of_an_address_three_roots_ago(vm: StoryBuilder) -> None:
    """INVPCID of an address concerns the oldest of the roots that are kept, and there an unsync table.

    The entry that the guest has changed there is not used any more, though nothing else of the table is read.
    """
    tables = guest(vm, data=[0x10, 0x20], aliases=12)
    others = [tables.another(first) for first in (0x220, 0x240, 0x260)]
    for root in (tables, *others):
        root.map(OPERAND, DESCRIPTOR, READY)
    pte = tables.map(VA, 0x10, READY)
    vm.store(gfn=DESCRIPTOR, index=0, value=1).store(gfn=DESCRIPTOR, index=1, value=VA)
    tables.run(cr4=PCIDS)
    vm.set_cr3(value=tables.cr3 | 1)
    reads(vm, VA, 0x10, "with PCID 1")
    writes(vm, tables, pte, tables.leaf(0x20, READY)).claim(
        "unsync", lambda now: now.shadow.unsync == {pte.gfn}
    )
    for pcid, other in enumerate(others, 2):
        vm.set_cr3(value=other.cr3 | pcid)
        vm.execute(address=OPERAND, kind=READ)
    vm.claim("mapped still", lambda now: now.shadow.rmap(0x10).sptes == 1)
    vm.invpcid(type=INVPCID["address"], address=OPERAND)
    vm.claim("no longer", lambda now: now.shadow.rmap(0x10).sptes == 0)
    vm.set_cr3(value=tables.cr3 | 1 | NO_FLUSH)
    reads(vm, VA, 0x20, "the new page")


@story(
    source="mmu.c: cached_root_find_without_current()",
    about=("kvm_mmu_new_pgd", "fast_pgd_switch", "cached_root_find_without_current"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "the last of the previous roots is there twice",
            Substitution(
                MMU_C,
                "mmu->prev_roots[i].hpa = INVALID_PAGE;",
                ";",
                "6.1",
                function="cached_root_find_without_current",
            ),
            "shadow",
        ),
    ],
)
def cr3_written_back_with_three_roots_kept(vm: StoryBuilder) -> None:
    """A guest with four roots writes a new one to CR3, and the one of before again: three are left.

    The root that it takes back leaves its place among the previous ones, and those behind it move up.
    """
    first = guest(vm, data=[0x10])
    roots = [first, *(first.another(0x220 + 0x20 * n) for n in range(4))]
    for root in roots:
        root.map(VA, 0x10, READY)
    first.run(cr4=PCIDS)
    values = [root.cr3 | number + 1 for number, root in enumerate(roots)]
    for value in values[:4]:
        vm.set_cr3(value=value)
        reads(vm, VA, 0x10, "the page")
    vm.set_cr3(value=values[4])
    vm.claim("three are kept", lambda now: [pgd for _, pgd in now.shadow.vcpu().prev_roots] == values[3:0:-1])
    vm.set_cr3(value=values[3] | NO_FLUSH)
    vm.claim(
        "two are kept",
        lambda now: [pgd for root, pgd in now.shadow.vcpu().prev_roots if root] == values[2:0:-1],
    )
    reads(vm, VA, 0x10, "the page again")
    vm.set_cr3(value=values[0])
    vm.set_cr3(value=values[1] | NO_FLUSH)
    vm.claim(
        "the oldest is taken back",
        lambda now: [pgd for root, pgd in now.shadow.vcpu().prev_roots if root] == values[3:1:-1],
        since=CACHE_OF_ALL_ROOTS,
    )
    reads(vm, VA, 0x10, "the page by the oldest root")


@story(
    source="Intel SDM vol. 3, 4.4: PAE paging; mmu.c: mmu_alloc_shadow_roots()",
    about=("mmu_alloc_shadow_roots", "mmu_check_root", "load_pdptrs"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "the table of a PDPTE is not looked for",
            Substitution(
                MMU_C, "if (mmu_check_root(vcpu, pdptrs[i] >> PAGE_SHIFT))", "if (0)", "6.1",
                function="mmu_alloc_shadow_roots",
            ),
            "shadow",
        ),
    ],
)  # fmt: skip
def directory_outside_of_memory(vm: StoryBuilder) -> None:
    """One of a PAE guest's four directories lies where no memory is: there is nothing to shadow.

    Since v6.6 the guest's accesses by it fault; before, the vCPU shuts down. Until v5.13 the roots of the
    directories before it were leaked then.
    """
    tables = guest(vm, PAE, data=[0x10])
    tables.map(VA, 0x10, READY)
    tables.set(Entry(tables.root, 3), tables.link(NOWHERE, P))
    tables.run()
    vm.execute(address=VA, kind=READ).claim("no shadow page", lambda now: not now.shadow.pages(NOWHERE))
    reads(vm, VA, 0x10, "by another directory", since=DUMMY_ROOT)
    vm.destroy().claim("nothing leaked", lambda now: now.leaks == (0, 0, 0), since=PDPTRS_CHECKED_FIRST)


@story(
    source="mmu.c: mmu_alloc_shadow_roots(): the guest's root has to be in its memory",
    about=("mmu_alloc_shadow_roots", "mmu_check_root"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "the table at gfn 0 is looked for instead",
            Substitution(
                MMU_C, "if (mmu_check_root(vcpu, root_gfn))", "if (mmu_check_root(vcpu, 0))", "6.1",
                function="mmu_alloc_shadow_roots",
            ),
            "shadow",
        ),
    ],
)  # fmt: skip
def root_outside_of_memory(vm: StoryBuilder) -> None:
    """The root of a guest lies where no memory is: nothing is shadowed, and the guest cannot go on.

    Since v6.6 each access faults; before, the vCPU shuts down.
    """
    tables = guest(vm, data=[0x10])
    tables.map(VA, 0x10, READY)
    tables.run()
    reads(vm, VA, 0x10, "by a root in memory")
    vm.set_cr3(value=NOWHERE << 12)
    vm.execute(address=VA, kind=READ).claim("no shadow page", lambda now: not now.shadow.pages(NOWHERE))
    vm.claim("a page fault", lambda now: now.exception == (14, 0, VA), since=DUMMY_ROOT)


@story(
    source="mmu.c: kvm_init_shadow_npt_mmu(): the root of these nested tables is looked for",
    about=("kvm_init_shadow_npt_mmu", "kvm_mmu_new_pgd", "fast_pgd_switch"),
    modes=NPT,
    mutants=[
        Mutant(
            "the root of other tables is looked for",
            Substitution(
                MMU_C,
                "kvm_mmu_new_pgd(vcpu, nested_cr3);",
                "kvm_mmu_new_pgd(vcpu, 0);",
                "6.1",
                function="kvm_init_shadow_npt_mmu",
            ),
            "npt",
        ),
    ],
)
def l2_of_npt_runs_again(vm: StoryBuilder) -> None:
    """L1 with NPT runs its guest twice with the same tables: the same root is used, and no other is kept.

    Each root that is kept for nothing takes the place of one that could be used again.
    """
    tables = l1(vm, LONG, data=(0x10,))
    tables.map(GPA, 0x10, READY)
    for _ in range(2):
        enters(vm, tables)
        vm.execute(address=GPA, kind=READ).claim("read", lambda now: now.value == content(0x10))
        vm.claim("no other root", lambda now: not any(root for root, _ in now.shadow.vcpu().prev_roots))
        vm.leave_l2()


@story(
    source="mmu.c: mmu_alloc_direct_roots(): the PGD of a direct root is 0",
    about=("kvm_mmu_free_obsolete_roots", "kvm_mmu_new_pgd"),
    modes=NESTED_EPT,
    mutants=[
        Mutant(
            "a direct root keeps the PGD of the root before",
            Substitution(
                MMU_C,
                "/* root.pgd is ignored for direct MMUs. */\n\tmmu->root.pgd = 0;",
                ";",
                "6.1",
                function="mmu_alloc_direct_roots",
            ),
        ),
    ],
)
def root_of_l1_is_obsolete_after_l2(vm: StoryBuilder) -> None:
    """All roots become obsolete, and L1 enters L2 and leaves it before it runs: it gets a new root.

    When L2 is left, the root of before is looked at, and is not usable any more.
    """
    tables = l1(vm, data=(0x10,))
    tables.map(GPA, 0x10)
    vm.execute(address=0x10 << 12, kind=READ).claim(
        "by the first root", lambda now: now.executed.end == End.DONE
    )
    vm.set_nx_huge_pages(on=1)
    enters(vm, tables)
    vm.leave_l2()
    vm.execute(address=0x10 << 12, kind=READ).claim("by a new root", lambda now: now.value == content(0x10))
    vm.claim("whose PGD is 0", lambda now: now.shadow.vcpu().pgd == 0)


@story(
    source="mmu.c: __kvm_mmu_free_obsolete_roots(): each of the previous roots by itself",
    about=("__kvm_mmu_free_obsolete_roots", "is_obsolete_root", "detect_write_flooding"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "the oldest root is not looked at",
            Substitution(
                MMU_C,
                "for (i = 0; i < KVM_MMU_NUM_PREV_ROOTS; i++) {\n\t\tif (is_obsolete_root(",
                "for (i = 0; i < KVM_MMU_NUM_PREV_ROOTS - 1; i++) {\n\t\tif (is_obsolete_root(",
                "6.1",
                function="__kvm_mmu_free_obsolete_roots",
            ),
            "shadow",
        ),
    ],
)
def flooded_oldest_root(vm: StoryBuilder) -> None:
    """The guest writes the top table of the oldest of its four roots again and again: that root alone goes.

    The two roots in between stay, as does the current one.
    """
    tables = guest(vm, data=[0x10], aliases=16)
    oldest = tables.another(0x20A)
    others = [tables.another(first) for first in (0x240, 0x260)]
    for root in (tables, oldest, *others):
        root.map(VA, 0x10, READY)
    tables.run(cr4=PCIDS)
    for pcid, root in enumerate((oldest, *others, tables), 1):
        vm.set_cr3(value=root.cr3 | pcid | NO_FLUSH)
        reads(vm, VA, 0x10, "the page")
    for _ in range(3):
        writes(vm, tables, Entry(oldest.root, 0x1F0), 0)
    vm.enter().claim(
        "two are kept",
        lambda now: [bool(root) for root, _ in now.shadow.vcpu().prev_roots] == [True, True, False],
        since=OBSOLETE_ROOTS_DROPPED,
    )
    reads(vm, VA, 0x10, "the page still")

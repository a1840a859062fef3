# SPDX-License-Identifier: GPL-2.0-only
"""More corners that random mutants showed: roots that are kept, freed or found again."""

from __future__ import annotations

from conformance.interface.access import End
from conformance.kernels.substitutions import MMU_C, Substitution
from conformance.model.changes import PAGE_STATISTICS, SYNC_SAYS_WHETHER_TO_FLUSH
from conformance.scenarios.modes import EPT_MODES
from conformance.scenarios.stories.functions import MMIO
from conformance.scenarios.stories.guest_roots import INVPCID, NO_FLUSH, PCIDS, SDM_PCID, two_roots
from conformance.scenarios.stories.guest_tables import (
    PAE,
    PAGE,
    READY,
    SHADOW,
    VA,
    Entry,
    guest,
    reads,
    writes,
)
from conformance.scenarios.stories.nested_guests import GPA, enters, l1
from conformance.scenarios.stories.setting import READ, WRITE, X2M, memory
from conformance.scenarios.story import Mutant, StoryBuilder, story

DEVICE = 0xFEC00
DESCRIPTOR = 0x30
"""The gfn of the operand of INVPCID."""
OPERAND = VA + (1 << 21)
"""Where it is mapped."""


@story(
    source=SDM_PCID,
    about=("kvm_mmu_invpcid_gva", "kvm_handle_invpcid", "kvm_invalidate_pcid", "kvm_mmu_free_roots"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "INVPCID of an address concerns all cached roots",
            Substitution(
                MMU_C,
                "if (VALID_PAGE(mmu->prev_roots[i].hpa) &&\n\t\t    pcid ==",
                "if (VALID_PAGE(mmu->prev_roots[i].hpa) ||\n\t\t    pcid ==",
                "6.1",
                function="kvm_mmu_invpcid_gva",
            ),
            "shadow",
        ),
        Mutant(
            "the oldest root is not freed alone",
            Substitution(
                MMU_C,
                "if (i == KVM_MMU_NUM_PREV_ROOTS)",
                "if (i == KVM_MMU_NUM_PREV_ROOTS - 1)",
                "6.1",
                function="kvm_mmu_free_roots",
            ),
            "shadow",
        ),
    ],
)
def invpcid_of_the_oldest_of_four(vm: StoryBuilder) -> None:
    """A guest has four PCIDs, and flushes an address of one, and then all of the one that it used first.

    The latter has an unsync table, which is not read before that. The others are left alone.
    """
    tables = guest(vm, data=[0x10, 0x20], aliases=16)
    tables.map(VA, 0x10, READY)
    others = [tables.another(first) for first in (0x208, 0x240, 0x260)]
    for other in others:
        other.map(OPERAND, DESCRIPTOR, READY)
    pte = others[0].map(VA, 0x10, READY)
    vm.store(gfn=DESCRIPTOR, index=0, value=1).store(gfn=DESCRIPTOR, index=1, value=VA)
    tables.run(cr4=PCIDS)
    vm.set_cr3(value=others[0].cr3 | 2)
    reads(vm, VA, 0x10, "with PCID 2")
    vm.set_cr3(value=tables.cr3 | 1)
    reads(vm, VA, 0x10, "with PCID 1")
    writes(vm, tables, pte, tables.leaf(0x20, READY)).claim(
        "unsync", lambda now: pte.gfn in now.shadow.unsync
    )
    vm.set_cr3(value=others[1].cr3 | 3 | NO_FLUSH)
    vm.invpcid(type=INVPCID["address"], address=OPERAND).claim("accepted", lambda now: now.outcome == [1])
    vm.claim("both map the old page still", lambda now: now.shadow.rmap(0x10).sptes == 2)
    vm.set_cr3(value=others[2].cr3 | 4 | NO_FLUSH)
    vm.enter().claim("three are kept", lambda now: all(root for root, _ in now.shadow.vcpu().prev_roots))
    vm.store(gfn=DESCRIPTOR, value=2).invpcid(type=INVPCID["context"], address=OPERAND).claim(
        "that one goes",
        lambda now: [bool(root) for root, _ in now.shadow.vcpu().prev_roots].count(True) == 2,
    )


@story(
    source="mmu.c: cached_root_find_without_current()",
    about=("kvm_mmu_new_pgd", "fast_pgd_switch", "cached_root_find_without_current"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "the most recent of the previous roots is not looked at",
            Substitution(
                MMU_C,
                "for (i = 0; i < KVM_MMU_NUM_PREV_ROOTS; i++)\n\t\tif (is_root_usable(",
                "for (i = 1; i < KVM_MMU_NUM_PREV_ROOTS; i++)\n\t\tif (is_root_usable(",
                "6.1",
                function="cached_root_find_without_current",
            ),
            "shadow",
        ),
    ],
)
def cr3_written_twice(vm: StoryBuilder) -> None:
    """CR3 is written, and written back before the vCPU enters again: the root of before is found again.

    There is no current root in between, as that of the first value has not been made yet.
    """
    tables, other, _ = two_roots(vm, cr4=PCIDS)
    vm.set_cr3(value=tables.cr3 | 1)
    reads(vm, VA, 0x10, "by the first root")
    vm.set_cr3(value=other.cr3 | 2 | NO_FLUSH).claim("no root", lambda now: not now.shadow.vcpu().root)
    vm.set_cr3(value=tables.cr3 | 1 | NO_FLUSH).claim("the first root", lambda now: now.shadow.vcpu().root)
    vm.claim("it is no previous one", lambda now: not any(root for root, _ in now.shadow.vcpu().prev_roots))
    reads(vm, VA, 0x10, "by the first root again")


@story(
    source="mmu.c: kvm_mmu_new_pgd() clears what is cached of the last MMIO access",
    about=(*MMIO, "kvm_mmu_new_pgd"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "the device of another root stays cached",
            Substitution(
                MMU_C, "vcpu_clear_mmio_info(vcpu, MMIO_GVA_ANY);", ";", "6.1", function="kvm_mmu_new_pgd"
            ),
            "shadow",
        ),
    ],
)
def one_address_two_devices(vm: StoryBuilder) -> None:
    """By two roots an address leads to two devices; the guest switches without flushes, and reaches both.

    KVM keeps where the last emulated access went: that is not valid with another root.
    """
    tables = guest(vm)
    tables.map(VA, DEVICE, READY)
    other = tables.another(0x240)
    other.map(VA, DEVICE + 1, READY)
    tables.run(cr4=PCIDS)
    for root, pcid, device in ((tables, 1, DEVICE), (other, 2, DEVICE + 1), (tables, 1, DEVICE)):
        vm.set_cr3(value=root.cr3 | pcid | NO_FLUSH)
        vm.execute(address=VA, kind=READ).claim("MMIO", lambda now: now.executed.end == End.USERSPACE)
        vm.claim(
            f"of the device at {device:#x}",
            lambda now, device=device: now.executed.words[1] == device << 12,  # type: ignore[misc]
        )


@story(
    source="mmu.c: is_obsolete_root(), detect_write_flooding()",
    about=("__kvm_mmu_free_obsolete_roots", "is_obsolete_root", "detect_write_flooding"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "every root counts as obsolete",
            Substitution(
                MMU_C,
                "return !sp || is_obsolete_sp(kvm, sp);",
                "return true;",
                "6.1",
                function="is_obsolete_root",
            ),
            "shadow",
        ),
    ],
)
def flooded_previous_root(vm: StoryBuilder) -> None:
    """The guest writes the table of a previous root until KVM no longer shadows it: the current root stays.

    All vCPUs are asked to let obsolete roots go, and only that one is.
    """
    tables = guest(vm, data=[0x10], aliases=16)
    tables.map(VA, 0x10, READY)
    other = tables.another(0x208)
    other.map(VA, 0x10, READY)
    tables.run(cr4=PCIDS)
    vm.set_cr3(value=other.cr3 | 2)
    reads(vm, VA, 0x10, "by the other root")
    vm.set_cr3(value=tables.cr3 | 1 | NO_FLUSH)
    reads(vm, VA, 0x10, "by the first root")
    for number in range(3):
        writes(vm, tables, Entry(other.root, 0x1FF - number), 0)
    vm.claim("flooded", lambda now: now.shadow.grown.mmu_flooded == 1)
    vm.enter().claim("none is kept", lambda now: not any(root for root, _ in now.shadow.vcpu().prev_roots))
    vm.claim("the current one is not loaded again", lambda now: now.grown.flushes == 0)
    reads(vm, VA, 0x10, "by the first root still")


@story(
    source="mmu.c: kvm_zap_obsolete_pages(), BATCH_ZAP_PAGES",
    about=("kvm_mmu_zap_all_fast", "kvm_zap_obsolete_pages"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "it does not yield",
            Substitution(MMU_C, "batch += nr_zapped;", "batch -= nr_zapped;", "6.1"),
            "shadow",
        ),
        Mutant(
            "it yields a page later",
            Substitution(MMU_C, "if (batch >= BATCH_ZAP_PAGES &&", "if (batch > BATCH_ZAP_PAGES &&", "6.1"),
            "shadow",
        ),
    ],
)
def obsolete_pages_are_zapped_in_batches(vm: StoryBuilder) -> None:
    """A memslot is deleted while there are fourteen tables: KVM zaps ten of them, and lets others run.

    The host discards a page then that one of the other four maps.
    """
    memory(vm, gfn=0, npages=14 * X2M)
    memory(vm, slot=1, gfn=0x10000, npages=16, page=0x10000)
    vm.set_sregs(cr0=1, cr4=0, efer=0, cr3=0)
    for number in range(14):
        vm.execute(address=number * X2M * PAGE, kind=WRITE, value=1)
    vm.delete_while_unmapping(slot=1, page=13 * X2M)
    vm.claim("the host came in between", lambda now: now.unmapping[:2] == (0, 1))
    vm.claim(
        "three pages were mapped then", lambda now: now.unmapping[2:] == (3, 0, 0), since=PAGE_STATISTICS
    )


@story(
    source="mmu.c: kvm_mmu_zap_all(): zapping children makes the list unstable",
    about=("kvm_mmu_zap_all", "mmu_zap_unsync_children"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "the walk goes on at a page that has been zapped",
            Substitution(
                MMU_C,
                "if (__kvm_mmu_prepare_zap_page(kvm, sp, &invalid_list, &ign))",
                "if (!__kvm_mmu_prepare_zap_page(kvm, sp, &invalid_list, &ign))",
                "6.1",
                function="kvm_mmu_zap_all",
            ),
            "shadow",
        ),
    ],
)
def destroyed_with_an_unsync_table(vm: StoryBuilder) -> None:
    """The VM of a PAE guest is destroyed while a table is unsync: that of the newest root, and next to it.

    Zapping the root zaps the table as well, which was the next one in the list.
    """
    tables = guest(vm, PAE, data=[0x10, 0x20], aliases=6)
    pte = tables.map(VA, 0x10, READY)
    other = tables.another(0x240)
    other.share(VA, pte.gfn)
    tables.run()
    vm.execute(address=tables.at(pte), kind=READ)
    reads(vm, VA, 0x10, "the old page")
    writes(vm, tables, pte, tables.leaf(0x20, READY)).claim(
        "unsync", lambda now: now.shadow.unsync == {pte.gfn}
    )
    vm.set_cr3(value=other.cr3)
    reads(vm, VA, 0x20, "the new page, by the other root")
    vm.claim("unsync still", lambda now: now.shadow.unsync == {pte.gfn}, since=SYNC_SAYS_WHETHER_TO_FLUSH)
    vm.destroy().claim("no complaint", lambda now: not now.events)


@story(
    source="mmu.c: mmu_first_shadow_root_alloc(): the memslots of every address space",
    about=("mmu_first_shadow_root_alloc", "kvm_unmap_gfn_range"),
    modes=EPT_MODES,
    mutants=[
        Mutant(
            "memslots of SMM get no rmaps",
            Substitution(
                MMU_C,
                "slots = __kvm_memslots(kvm, i);",
                "slots = __kvm_memslots(kvm, 0);",
                "6.1",
                function="mmu_first_shadow_root_alloc",
            ),
        ),
    ],
)
def memory_of_smm_beside_l2(vm: StoryBuilder) -> None:
    """There is a memslot of SMM when L1 first runs a guest; the host discards a page of it.

    From then on KVM also looks for SPTEs of shadow pages that map it.
    """
    tables = l1(vm, data=(0x10,))
    memory(vm, slot=1, as_id=1, gfn=0x1000, npages=16, page=0x1000)
    tables.map(GPA, 0x10)
    enters(vm, tables)
    vm.execute(address=GPA, kind=READ).claim("read", lambda now: now.executed.end == End.DONE)
    vm.touch(page=0x1001, write=1)
    vm.madvise_dontneed(page=0x1001).claim("no complaint", lambda now: not now.events)

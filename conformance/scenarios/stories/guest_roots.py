# SPDX-License-Identifier: GPL-2.0-only
"""Roots of shadowed guests: the cache of previous roots, PCIDs, several vCPUs, SMM."""

from __future__ import annotations

from conformance.interface.access import End
from conformance.kernels.substitutions import MMU_C, X86_C, Substitution
from conformance.model.changes import (
    CACHED_WITHOUT_PCID,
    DUMMY_ROOT,
    DUMMY_ROOT_NOT_WALKED,
    PCID_INVALIDATED,
    WRITE_TRACKED_IN_ALL_ADDRESS_SPACES,
)
from conformance.scenarios.stories.functions import SYNC
from conformance.scenarios.stories.guest_tables import (
    CR4,
    PCIDE,
    PGE,
    READY,
    SHADOW,
    US,
    VA,
    Entry,
    GuestTables,
    P,
    content,
    guest,
    reads,
    writes,
)
from conformance.scenarios.stories.setting import READ, WRITE, memory
from conformance.scenarios.story import Fault, Mutant, StoryBuilder, story

NO_FLUSH = 1 << 63
PCIDS = CR4 | PCIDE
SDM_PCID = "Intel SDM vol. 3, 4.10.1 and 4.10.4: PCIDs, MOV to CR3, INVPCID"
INVPCID = {"address": 0, "context": 1, "all+global": 2, "all": 3}


def two_roots(vm: StoryBuilder, **given: int) -> tuple[GuestTables, GuestTables, Entry]:
    """A guest with two roots; both map VA by the same page table, and reach the tables of both."""
    tables = guest(vm, data=[0x10, 0x20, 0x21], aliases=8)
    pte = tables.map(VA, 0x10, READY)
    other = tables.another(0x240)
    other.set(other.entry(VA, 4), tables.read(tables.entry(VA, 4)))
    tables.run(**given)
    return tables, other, pte


@story(
    source="mmu.c: fast_pgd_switch(), KVM_MMU_NUM_PREV_ROOTS",
    about=("kvm_mmu_new_pgd", "fast_pgd_switch", "cached_root_find_and_keep_current", "is_root_usable"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "a cached root of another CR3 is used",
            Substitution(
                MMU_C,
                "return (role.direct || pgd == root->pgd) &&",
                "return (role.direct || pgd != root->pgd) &&",
            ),
            "shadow",
        ),
        Mutant(
            "no previous root is found again",
            Substitution(
                MMU_C,
                "swap(mmu->root, mmu->prev_roots[i]);\n"
                "\t\tif (is_root_usable(&mmu->root, new_pgd, new_role))\n\t\t\treturn true;",
                "swap(mmu->root, mmu->prev_roots[i]);",
            ),
            "shadow",
        ),
        Mutant(
            "bit 63 of a new CR3 stays in it",
            Substitution(
                X86_C,
                "cr3 &= ~X86_CR3_PCID_NOFLUSH;",
                "",
                function="kvm_set_cr3",
            ),
            "shadow",
        ),
    ],
)
def root_cache(vm: StoryBuilder) -> None:
    """A guest switches between five page tables: the current root and the three before it are kept.

    A switch back finds its root with all that it maps, and needs neither a fault nor a flush. The oldest one
    is dropped, but its shadow pages stay for as long as there is room.
    """
    first = guest(vm, data=range(0x10, 0x15))
    roots = [first, *(first.another(0x240 + 0x10 * n) for n in range(4))]
    for n, tables in enumerate(roots):
        tables.map(VA, 0x10 + n, READY)
    first.run(cr4=PCIDS)
    values = [tables.cr3 | n + 1 for n, tables in enumerate(roots)]
    for n, value in enumerate(values):
        vm.set_cr3(value=value)
        reads(vm, VA, 0x10 + n, f"page {n}")
    vm.claim(
        "the three before are kept, newest first",
        lambda now: [pgd for _, pgd in now.shadow.vcpu().prev_roots] == [values[3], values[2], values[1]],
    )
    vm.claim("the oldest is not in use", lambda now: now.shadow.page(roots[0].root, 4).root_count == 0)
    vm.set_cr3(value=values[1] | NO_FLUSH)
    vm.claim(
        "the kept root again", lambda now: now.shadow.vcpu().root == now.shadow.page(roots[1].root, 4).serial
    )
    vm.execute(address=VA, kind=READ).claim(
        "no exit", lambda now: not now.handled and now.value == content(0x11)
    )
    vm.set_cr3(value=values[0] | NO_FLUSH)
    reads(vm, VA, 0x10, "the oldest comes back")
    vm.claim("its shadow page was still there", lambda now: now.shadow.grown.mmu_shadow_zapped == 0)


@story(
    source=(
        'commit 07ffaf343e34 ("KVM: nVMX: Sync all PGDs on nested transition with shadow paging") in v5.14'
    ),
    about=("kvm_mmu_sync_prev_roots", "kvm_vcpu_flush_tlb_guest", "kvm_mmu_sync_roots"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "CR4.PGE flushes nothing",
            Substitution(
                X86_C,
                "((cr4 ^ old_cr4) & X86_CR4_PGE) ||",
                "",
                function="kvm_post_set_cr4",
            ),
            "shadow",
        ),
        Mutant(
            "a guest's flush does not synchronize cached roots",
            Substitution(
                X86_C,
                "kvm_mmu_sync_prev_roots(vcpu);",
                "",
                function="kvm_vcpu_flush_tlb_guest",
            ),
            "shadow",
        ),
        Mutant(
            "a guest's flush does not synchronize its root",
            Substitution(
                X86_C,
                "kvm_mmu_sync_roots(vcpu);",
                "",
                function="kvm_vcpu_flush_tlb_guest",
            ),
            "shadow",
        ),
    ],
)
def prev_roots_unsync(vm: StoryBuilder) -> None:
    """A flush of all the guest's translations synchronizes the tables of cached roots, too.

    The guest toggles CR4.PGE, which flushes every PCID. It may then load the other CR3 without a flush.
    """
    tables, other, pte = two_roots(vm, cr4=PCIDS)
    vm.set_cr3(value=tables.cr3 | 1)
    reads(vm, VA, 0x10, "the old page")
    vm.set_cr3(value=other.cr3 | 2)
    vm.execute(address=VA, kind=READ)
    writes(vm, tables, pte, tables.leaf(0x20, READY)).claim(
        "unsync below both roots",
        lambda now: all(now.shadow.page(root, 4).unsync_children for root in (tables.root, other.root)),
    )
    vm.set_cr4(value=PCIDS | PGE)
    vm.enter().claim("nothing is unsync", lambda now: not now.shadow.unsync)
    vm.set_cr3(value=tables.cr3 | 1 | NO_FLUSH)
    reads(vm, VA, 0x20, "the new page")


@story(
    source=SDM_PCID,
    about=("kvm_set_cr3", "kvm_invalidate_pcid", "kvm_mmu_new_pgd"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "a load of CR3 flushes if bit 63 says that it must not",
            Substitution(
                X86_C,
                "if (!skip_tlb_flush)",
                "if (skip_tlb_flush)",
                function="kvm_set_cr3",
            ),
            "shadow",
        ),
        Mutant(
            "a load of CR3 with a flush does not synchronize",
            Substitution(
                X86_C,
                "kvm_make_request(KVM_REQ_MMU_SYNC, vcpu);",
                "",
                function="kvm_invalidate_pcid",
            ),
            "shadow",
        ),
    ],
)
def translations_of_two_pcids(vm: StoryBuilder) -> None:
    """A guest switches between two PCIDs without flushes: the translations of both stay in the TLB.

    Each is used with its own PCID only, and may be stale. A load with a flush brings in the new entry.
    """
    tables, other, pte = two_roots(vm, cr4=PCIDS)
    vm.set_cr3(value=tables.cr3 | 1)
    reads(vm, VA, 0x10, "with PCID 1")
    vm.set_cr3(value=other.cr3 | 2)
    reads(vm, VA, 0x10, "with PCID 2")
    vm.set_cr3(value=tables.cr3 | 1 | NO_FLUSH)
    reads(vm, VA, 0x10, "with PCID 1 again")
    vm.claim("both are cached", lambda now: now.shadow.cached(VA, pcid=1) and now.shadow.cached(VA, pcid=2))
    vm.set_cr3(value=other.cr3 | 2 | NO_FLUSH)
    writes(vm, tables, pte, tables.leaf(0x21, READY))
    vm.set_cr3(value=tables.cr3 | 1 | NO_FLUSH)
    vm.execute(address=VA, kind=READ).claim("may be stale", lambda now: not now.handled)
    vm.set_cr3(value=tables.cr3 | 1)
    reads(vm, VA, 0x21, "new after the flush")


@story(
    source=(
        'commit 21823fbda552 ("KVM: x86: Invalidate all PGDs for the current PCID on MOV CR3 w/ flush") '
        "in v5.14"
    ),
    about=("kvm_invalidate_pcid", "kvm_set_cr3"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "a flush of a PCID leaves cached roots of it",
            Substitution(
                X86_C,
                "if (kvm_get_pcid(vcpu, mmu->prev_roots[i].pgd) == pcid)\n"
                "\t\t\troots_to_free |= KVM_MMU_ROOT_PREVIOUS(i);",
                ";",
                function="kvm_invalidate_pcid",
            ),
            "shadow",
        ),
        Mutant(
            "a load of CR3 keeps the root that is loaded",
            Substitution(
                X86_C,
                "if (cr3 != kvm_read_cr3(vcpu))\n\t\tkvm_mmu_new_pgd(vcpu, cr3);",
                "",
                function="kvm_set_cr3",
            ),
            "shadow",
        ),
    ],
    shows=[Fault("a root of the PCID that MOV CR3 flushes is loaded again as it was", PCID_INVALIDATED)],
)
def two_directories_one_pcid(vm: StoryBuilder) -> None:
    """Two page tables share a PCID, and one is loaded with a flush: the other's cached root goes.

    The flush is of the PCID, whatever tables it had: loading the other without a flush must not bring back
    entries from before.
    """
    tables, other, pte = two_roots(vm, cr4=PCIDS)
    vm.set_cr3(value=tables.cr3 | 1)
    reads(vm, VA, 0x10, "the old page")
    vm.set_cr3(value=other.cr3 | 1 | NO_FLUSH)
    vm.execute(address=VA, kind=READ)
    writes(vm, tables, pte, tables.leaf(0x21, READY))
    vm.set_cr3(value=other.cr3 | 1).claim(
        "no root of the PCID is cached",
        lambda now: not any(root for root, _ in now.shadow.vcpu().prev_roots),
        since=PCID_INVALIDATED,
    )
    vm.set_cr3(value=tables.cr3 | 1 | NO_FLUSH)
    reads(vm, VA, 0x21, "the new page")


@story(
    source=SDM_PCID,
    about=("kvm_handle_invpcid", "kvm_mmu_invpcid_gva", "kvm_invalidate_pcid"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "INVPCID of an address flushes nothing",
            Substitution(
                MMU_C,
                "if (mmu->invlpg)\n\t\t\tmmu->invlpg(vcpu, gva, mmu->root.hpa);\n\t\ttlb_flush = true;",
                "",
                function="kvm_mmu_invpcid_gva",
            ),
            "shadow",
        ),
        Mutant(
            "INVPCID of a PCID flushes nothing",
            Substitution(
                X86_C,
                "kvm_invalidate_pcid(vcpu, operand.pcid);",
                "",
                function="kvm_handle_invpcid",
            ),
            "shadow",
        ),
        Mutant(
            "INVPCID of all PCIDs does not synchronize",
            Substitution(
                X86_C,
                "kvm_make_request(KVM_REQ_TLB_FLUSH_GUEST, vcpu);",
                "kvm_make_request(KVM_REQ_TLB_FLUSH_CURRENT, vcpu);",
                function="kvm_handle_invpcid",
            ),
            "shadow",
        ),
    ],
)
def invpcid_of_each_type(vm: StoryBuilder) -> None:
    """INVPCID flushes one address, one PCID, or all of them; the guest's new entry is used after each.

    Its descriptor is read from memory at a linear address: the PCID, then the address.
    """
    tables, _, pte = two_roots(vm, cr4=PCIDS)
    descriptor = 0x30
    vm.store(gfn=descriptor, index=0, value=1).store(gfn=descriptor, index=1, value=VA)
    tables.map(VA + (1 << 21), descriptor, READY)
    vm.set_cr3(value=tables.cr3 | 1)
    for n, (name, number) in enumerate(INVPCID.items()):
        vm.execute(address=VA, kind=READ)
        gfn = 0x20 + n % 2
        writes(vm, tables, pte, tables.leaf(gfn, READY))
        vm.invpcid(type=number, address=VA + (1 << 21)).claim("accepted", lambda now: now.outcome == [1])
        reads(vm, VA, gfn, f"new after {name}")


@story(
    source=SDM_PCID,
    about=("kvm_mmu_invpcid_gva", "kvm_handle_invpcid"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "INVPCID of an address leaves it in cached roots",
            Substitution(
                MMU_C, "mmu->invlpg(vcpu, gva, mmu->prev_roots[i].hpa);", ";", function="kvm_mmu_invpcid_gva"
            ),
            "shadow",
        ),
        Mutant(
            "INVPCID of an address leaves it in cached roots",
            Substitution(
                MMU_C, "roots |= KVM_MMU_ROOT_PREVIOUS(i);", ";", "7.3", function="kvm_mmu_invpcid_gva"
            ),
            "shadow",
        ),
    ],
)
def invpcid_of_another_pcid(vm: StoryBuilder) -> None:
    """The guest flushes an address of a PCID that it does not use now: it may return to it without a flush.

    The address is invalidated below the cached root of that PCID.
    """
    tables = guest(vm, data=[0x10, 0x20], aliases=8)
    pte = tables.map(VA, 0x10, READY)
    other = tables.another(0x240)
    other.map(VA, 0x10, READY)
    descriptor = 0x30
    vm.store(gfn=descriptor, index=0, value=1).store(gfn=descriptor, index=1, value=VA)
    other.map(VA + (1 << 21), descriptor, READY)
    tables.run(cr4=PCIDS)
    vm.set_cr3(value=tables.cr3 | 1)
    reads(vm, VA, 0x10, "with PCID 1")
    writes(vm, tables, pte, tables.leaf(0x20, READY)).claim(
        "unsync", lambda now: now.shadow.unsync == {pte.gfn}
    )
    vm.set_cr3(value=other.cr3 | 2)
    reads(vm, VA, 0x10, "with PCID 2")
    vm.invpcid(type=INVPCID["address"], address=VA + (1 << 21)).claim(
        "accepted", lambda now: now.outcome == [1]
    )
    vm.set_cr3(value=tables.cr3 | 1 | NO_FLUSH)
    reads(vm, VA, 0x20, "the new page")


@story(
    source='commit 9f46c187e2e6 ("KVM: x86/mmu: fix NULL pointer dereference on guest INVPCID") in v5.19',
    about=("kvm_mmu_invpcid_gva", "kvm_handle_invpcid"),
    modes=SHADOW,
)
def invpcid_without_paging(vm: StoryBuilder) -> None:
    """A guest without paging executes INVPCID of an address: there is nothing to synchronize.

    KVM has no function for INVLPG then, as no table of the guest is shadowed.
    """
    memory(vm, gfn=0, npages=0x40)
    vm.store(gfn=0x30, index=1, value=0x5000)
    vm.set_sregs(cr0=1, cr4=0, efer=0, cr3=0)
    vm.execute(address=0x5000, kind=WRITE, value=9).claim("memory", lambda now: now.executed.end == End.DONE)
    vm.invpcid(type=INVPCID["address"], address=0x30000).claim("it goes on", lambda now: now.outcome == [1])
    vm.claim("no complaint", lambda now: not now.events)
    vm.execute(address=0x5000, kind=READ).claim("and reads", lambda now: now.value == 9)


@story(
    source="Documentation/virt/kvm/x86/mmu.rst: synchronized and unsynchronized pages",
    about=(*SYNC, "kvm_mmu_invlpg", "kvm_mmu_sync_roots"),
    modes=SHADOW,
    vcpus=2,
    mutants=[
        Mutant(
            "INVLPG flushes no TLB",
            Substitution(
                MMU_C,
                "static_call(kvm_x86_flush_tlb_gva)(vcpu, gva);",
                "",
                function="kvm_mmu_invalidate_gva",
            ),
            "shadow",
        ),
    ],
)
def two_vcpus_one_syncs(vm: StoryBuilder) -> None:
    """One vCPU changes an entry; each uses the old translation until it flushes for itself.

    The shadow page is the same for both: INVLPG on one vCPU drops the SPTE, and flushes the other's TLB where
    KVM needs that; synchronizing on one leaves nothing to do for the other.
    """
    tables = guest(vm, data=[0x10, 0x20, 0x21], aliases=8)
    pte = tables.map(VA, 0x10, READY)
    for vcpu in (0, 1):
        tables.run(vcpu)
        reads(vm, VA, 0x10, "the old page", vcpu=vcpu)
    vm.claim("one root for both", lambda now: now.shadow.page(tables.root, 4).root_count == 2)
    writes(vm, tables, pte, tables.leaf(0x20, READY))
    reads(vm, VA, 0x10, "stale on 1", vcpu=1)
    vm.invlpg(vcpu=1, address=VA)
    reads(vm, VA, 0x20, "new on 1", vcpu=1)
    vm.set_cr3(vcpu=0, value=tables.cr3)
    reads(vm, VA, 0x20, "new on 0", vcpu=0)
    vm.claim("in sync", lambda now: not now.shadow.unsync)
    writes(vm, tables, pte, tables.leaf(0x21, READY), vcpu=1).claim(
        "unsync for both", lambda now: now.shadow.unsync == {pte.gfn}
    )
    vm.invlpg(vcpu=0, address=VA)
    reads(vm, VA, 0x21, "new on 0 again", vcpu=0)


@story(
    source="Documentation/virt/kvm/x86/mmu.rst: role.smm",
    about=("kvm_mmu_reset_context", "kvm_vcpu_gfn_to_memslot", "kvm_calc_cpu_role"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "SMM is not part of the role",
            Substitution(
                MMU_C,
                "role.base.smm = is_smm(vcpu);",
                "role.base.smm = 0;",
                function="kvm_calc_cpu_role",
            ),
            "shadow",
        ),
    ],
)
def roots_in_and_out_of_smm(vm: StoryBuilder) -> None:
    """In SMM the same page tables lead to other memory: their shadow pages have a role of their own.

    The guest's tables are read from the memory of SMM, too.
    """
    tables = guest(vm, data=[0x10])
    tables.map(VA, 0x10, READY)
    memory(vm, slot=1, as_id=1, gfn=0, npages=0x400, page=0x1000)
    tables.run()
    reads(vm, VA, 0x10, "memory")
    vm.smm(on=1)
    vm.execute(address=VA, kind=READ).claim("SMM has no tables", lambda now: now.exception == (14, 0, VA))
    vm.claim("its root is another one", lambda now: now.shadow.page(tables.root, 4, smm=1).root_count == 1)
    vm.smm(on=0)
    reads(vm, VA, 0x10, "back again")
    vm.claim("nothing was zapped", lambda now: now.shadow.counters.mmu_shadow_zapped == 0)


@story(
    source='commit 0f38453cdb2e ("KVM: x86/mmu: Check write tracking in all address spaces") in v7.2',
    about=("mmu_try_to_unsync_pages", "kvm_gfn_is_write_tracked", "account_shadowed"),
    modes=SHADOW,
    shows=[
        Fault(
            "SMM's write to a directory that is shadowed outside of SMM goes unseen, with a WARN; then INVLPG"
            " hangs",
            WRITE_TRACKED_IN_ALL_ADDRESS_SPACES,
        )
    ],
)
def directory_written_from_smm(vm: StoryBuilder) -> None:
    """SMM, whose memslot has the same memory, clears an entry of a directory that it does not use itself.

    The directory is write-tracked in the other address space. Mapped writable, it would be an upper table
    that is unsync: INVLPG would make KVM go round for ever in mmu_unsync_walk().
    """
    tables = guest(vm, data=[0x10], aliases=8)
    tables.map(VA, 0x10, READY)
    place = tables.entry(VA, 2)
    vm.set_memory_region(slot=1, as_id=1, gfn=0x100, npages=0x300, page=0x100)
    tables.run()
    reads(vm, VA, 0x10, "mapped")
    vm.smm(on=1)
    writes(vm, tables, place, 0)
    vm.claim("not SMM's table", lambda now: not now.shadow.pages(place.gfn, 2, smm=1))
    vm.claim("written", lambda now: now.executed.end in (End.DONE, End.EMULATED))


@story(
    source="Documentation/virt/kvm/x86/mmu.rst: role.smm; kvm_memslots_for_spte_role()",
    about=("kvm_mmu_get_shadow_page", "rmap_add", "kvm_unmap_gfn_range"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "an SPTE of SMM is looked for in the rmap of other memory",
            Substitution(
                MMU_C,
                "slots = kvm_memslots_for_spte_role(kvm, sp->role);",
                "slots = __kvm_memslots(kvm, 0);",
                function="rmap_remove",
            ),
            "shadow",
        ),
    ],
)
def page_mapped_in_and_out_of_smm(vm: StoryBuilder) -> None:
    """Both address spaces have the same memory: a page that is mapped in and out of SMM is in two rmaps.

    An rmap belongs to a memslot, and each address space has its own. An unmap reaches both.
    """
    tables = guest(vm, data=[0x10])
    tables.map(VA, 0x10, READY)
    vm.set_memory_region(slot=1, as_id=1, gfn=0, npages=0x400, page=0)
    tables.run()
    reads(vm, VA, 0x10, "memory")
    vm.smm(on=1)
    reads(vm, VA, 0x10, "the same in SMM")
    vm.claim(
        "in an rmap of each", lambda now: [now.shadow.rmap(0x10, as_id=n).sptes for n in (0, 1)] == [1, 1]
    )
    vm.madvise_dontneed(page=0x10).claim("both are unmapped", lambda now: not now.shadow.mapping(0x10))
    vm.execute(address=VA, kind=READ).claim("a new page", lambda now: now.value == 0)
    vm.smm(on=0)
    vm.execute(address=VA, kind=READ).claim("the same outside", lambda now: now.value == 0)
    vm.set_memory_region(slot=1, as_id=1, gfn=0, npages=0, page=0)
    vm.claim("no complaint", lambda now: not now.events)


@story(
    source="mmu.c: kvm_mmu_new_pgd() clears write_flooding_count of the root that it finds",
    about=("kvm_mmu_new_pgd", "__clear_sp_write_flooding_count", "kvm_mmu_pte_write", "kvm_mmu_track_write"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "a switch to a cached root is no use of it",
            Substitution(
                MMU_C,
                "if (!new_role.direct)\n\t\t__clear_sp_write_flooding_count(",
                "if (0)\n\t\t__clear_sp_write_flooding_count(",
                function="kvm_mmu_new_pgd",
            ),
            "shadow",
        ),
    ],
)
def switch_to_a_written_root(vm: StoryBuilder) -> None:
    """The guest writes an entry of its root, leaves it and comes back: the write no longer counts.

    A table that is written again and again without a use is taken for a page of data. Loading it is a use.
    """
    tables, other, _ = two_roots(vm, cr4=PCIDS)
    vm.set_cr3(value=tables.cr3 | 1)
    reads(vm, VA, 0x10, "with the first")
    writes(vm, tables, (tables.root, 0x100), 0).claim(
        "the write counts", lambda now: now.shadow.page(tables.root, 4).write_flooding_count == 1
    )
    vm.set_cr3(value=other.cr3 | 2)
    reads(vm, VA, 0x10, "with the other")
    vm.set_cr3(value=tables.cr3 | 1 | NO_FLUSH).claim(
        "no longer", lambda now: now.shadow.page(tables.root, 4).write_flooding_count == 0
    )
    reads(vm, VA, 0x10, "with the first again")


@story(
    source=f"{SDM_PCID}; x86.c: kvm_post_set_cr4()",
    about=("kvm_set_cr4", "kvm_mmu_unload", "kvm_vcpu_flush_tlb_guest"),
    modes=SHADOW,
    mutants=[
        Mutant(
            "clearing CR4.PCIDE flushes nothing",
            Substitution(
                X86_C,
                "(!(cr4 & X86_CR4_PCIDE) && (old_cr4 & X86_CR4_PCIDE))",
                "0",
                function="kvm_post_set_cr4",
            ),
            "shadow",
        ),
        Mutant(
            "roots from before CR4.PCIDE was set are found",
            Substitution(
                X86_C,
                "kvm_mmu_unload(vcpu);",
                ";",
                function="kvm_post_set_cr4",
            ),
            "shadow",
        ),
    ],
)
def pcids_turned_on_and_off(vm: StoryBuilder) -> None:
    """CR4.PCIDE is set, and cleared with another PCID in CR3: no root and no translation of before is used.

    Setting it flushes nothing, but from then on a load of CR3 need not flush, so that roots from before must
    not be found. Clearing it flushes all PCIDs.
    """
    tables, other, pte = two_roots(vm)
    reads(vm, VA, 0x10, "the old page")
    vm.set_cr3(value=other.cr3)
    reads(vm, VA, 0x10, "with the other root")
    writes(vm, tables, pte, tables.leaf(0x20, READY))
    vm.set_cr4(value=PCIDS).claim(
        "no root is cached",
        lambda now: not any(root for root, _ in now.shadow.vcpu().prev_roots),
        since=CACHED_WITHOUT_PCID,
    )
    vm.set_cr3(value=tables.cr3 | NO_FLUSH)
    vm.execute(address=VA, kind=READ)
    vm.set_cr3(value=tables.cr3 | 1)
    reads(vm, VA, 0x20, "the new page")
    writes(vm, tables, pte, tables.leaf(0x21, READY))
    vm.set_cr3(value=tables.cr3 | NO_FLUSH)
    vm.set_cr4(value=CR4)
    reads(vm, VA, 0x21, "flushed")


@story(
    source=(
        'commit b6249c1d5665 ("KVM: x86/mmu: Bail from shadow walks if the root is invalid or a dummy") in '
        "v7.3"
    ),
    about=("shadow_walk_init_using_root", "kvm_mmu_get_dummy_root", "kvm_mmu_invalidate_addr"),
    modes=SHADOW,
    since=DUMMY_ROOT,
    shows=[
        Fault(
            "a protection fault of a guest whose root has got its memslot dereferences a null pointer",
            DUMMY_ROOT_NOT_WALKED,
            fatal=True,
        )
    ],
    mutants=[
        Mutant(
            "the dummy root is walked",
            Substitution(
                MMU_C,
                "if (WARN_ON_ONCE(!VALID_PAGE(root)) || kvm_mmu_is_dummy_root(root)) {",
                "if (WARN_ON_ONCE(!VALID_PAGE(root))) {",
                "7.3",
            ),
            "shadow",
        ),
    ],
)
def root_gets_a_memslot(vm: StoryBuilder) -> None:
    """A guest's root lies outside of its memory, and userspace adds the memslot while the vCPU runs.

    The vCPU keeps the dummy root until its next fault that KVM mends. A protection fault comes before: its
    address is invalidated in a root that is no shadow page.
    """
    tables = guest(vm, data=[0x10])
    tables.map(VA, 0x10, P | US)
    vm.set_memory_region(slot=0, gfn=0, npages=0, page=0)
    tables.run()
    vm.execute(address=VA, kind=READ)
    vm.claim("the guest has no tables", lambda now: now.exception == (14, 0, VA))
    vm.claim("its root is no shadow page", lambda now: not now.shadow.pages())
    vm.set_memory_region(slot=0, gfn=0, npages=0x400, page=0)
    vm.execute(address=VA, kind=WRITE, value=1)
    vm.claim("the page is read-only", lambda now: now.exception == (14, 3, VA))
    vm.claim("still no shadow page", lambda now: not now.shadow.pages())
    reads(vm, VA, 0x10, "read by the guest's own tables")
    vm.claim("its root is shadowed", lambda now: now.shadow.page(tables.root, 4).root_count == 1)


@story(
    source="mmu.c: mmu_alloc_shadow_roots() returns before it notes the PGD of a dummy root",
    about=("mmu_alloc_shadow_roots", "kvm_mmu_get_dummy_root", "cached_root_find_and_keep_current"),
    modes=SHADOW,
    since=DUMMY_ROOT,
    mutants=[
        Mutant(
            "the PGD of a dummy root is noted",
            Substitution(
                MMU_C,
                "mmu->root.hpa = kvm_mmu_get_dummy_root();\n\t\treturn 0;",
                "mmu->root.hpa = kvm_mmu_get_dummy_root();\n\t\tgoto set_root_pgd;",
                "7.3",
            ),
            "shadow",
        ),
    ],
)
def cr3_outside_of_memory(vm: StoryBuilder) -> None:
    """A guest loads CR3 with a root outside of its memory, and then with the old one again.

    The dummy root keeps the PGD of the slot of prev_roots that the first load made current: none was there.
    """
    tables = guest(vm, data=[0x10])
    tables.map(VA, 0x10, READY)
    tables.run()
    reads(vm, VA, 0x10, "read by tables in memory")
    vm.set_cr3(value=0x800000)
    vm.execute(address=VA, kind=READ).claim("no tables", lambda now: now.exception == (14, 0, VA))
    vm.set_cr3(value=tables.cr3)
    reads(vm, VA, 0x10, "read by tables in memory again")

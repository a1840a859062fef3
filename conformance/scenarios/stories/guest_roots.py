# SPDX-License-Identifier: GPL-2.0-only
"""Roots of shadowed guests: the cache of previous roots, PCIDs, several vCPUs, SMM."""

from __future__ import annotations

from conformance.interface.access import End
from conformance.kernels.substitutions import MMU_C, Substitution
from conformance.model.changes import WRITE_TRACKED_IN_ALL_ADDRESS_SPACES
from conformance.scenarios.stories.functions import SYNC
from conformance.scenarios.stories.guest_tables import (
    CR4,
    PCIDE,
    PGE,
    READY,
    SHADOW,
    VA,
    Entry,
    GuestTables,
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
        "no root of the PCID is cached", lambda now: not any(root for root, _ in now.shadow.vcpu().prev_roots)
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
                "mmu->invlpg(vcpu, gva, mmu->root.hpa);\n\t\ttlb_flush = true;",
                "",
                function="kvm_mmu_invpcid_gva",
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
    vm.set_memory_region(slot=1, as_id=1, gfn=0, npages=0x400, page=0)
    tables.run()
    reads(vm, VA, 0x10, "mapped")
    vm.smm(on=1)
    writes(vm, tables, place, 0)
    vm.claim("not SMM's table", lambda now: not now.shadow.pages(place.gfn, 2, smm=1))
    vm.claim("written", lambda now: now.executed.end in (End.DONE, End.EMULATED))

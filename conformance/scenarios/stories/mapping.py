# SPDX-License-Identifier: GPL-2.0-only
"""Faults that map: the first touch of pages, what a read maps, and what cannot be mapped."""

from __future__ import annotations

from conformance.interface.access import End, Exit
from conformance.model.changes import FAULT_STATISTICS, FLUSH_REQUEST_STATISTICS, PAGE_STATISTICS
from conformance.scenarios.naming import ZERO_PFN
from conformance.scenarios.stories.functions import FAULT
from conformance.scenarios.stories.setting import FETCH, READ, READONLY, WRITE, memory
from conformance.scenarios.stories.sources import LIVE, WRITABLE_BITS
from conformance.scenarios.story import StoryBuilder, story

GFN = 0x100


@story(source=LIVE, about=FAULT)
def first_read(vm: StoryBuilder) -> None:
    """The first read of a page that the host has not populated maps the zero page.

    The host answers a read with its zero page, read-only; KVM may not let the guest write to it, now or
    by fast_page_fault(), so neither Host-writable nor MMU-writable nor W may be set.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=READ)
    vm.claim("one exit was enough", lambda now: now.outcome == [Exit.FIXED, End.DONE])
    vm.claim("the zero page is mapped", lambda now: now.mapped(GFN).pfn == ZERO_PFN)
    vm.claim("nothing allows to write to it", lambda now: not now.mapped(GFN).host_writable)
    vm.claim("nor does W", lambda now: not now.mapped(GFN).writable and not now.mapped(GFN).mmu_writable)
    vm.claim(
        "tables of levels 3, 2 and 1 were made", lambda now: all(now.has_table(n, GFN) for n in (1, 2, 3))
    )


@story(source=LIVE, about=("kvm_tdp_mmu_map", "tdp_mmu_zap_leafs", "hva_to_pfn_slow"))
def read_then_write_of_a_zero_page(vm: StoryBuilder) -> None:
    """A write to a page mapped as the zero page makes the host copy it, and KVM map the copy.

    The host's copy invalidates the SPTE while KVM handles the fault, so the first exit ends in a retry; only
    the second maps the new page.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=READ).claim("mapped read-only", lambda now: not now.mapped(GFN).writable)
    vm.access(gfn=GFN, kind=WRITE)
    vm.claim("first a retry, then fixed", lambda now: now.outcome == [Exit.RETRY, Exit.FIXED, End.DONE])
    vm.claim("another page is mapped, writable", lambda now: now.mapped(GFN).writable)
    vm.claim("it is not the zero page", lambda now: now.mapped(GFN).pfn != ZERO_PFN)
    vm.claim("the host's invalidation was seen", lambda now: now.grown.invalidate_seq > 0)


@story(source=LIVE, about=FAULT)
def first_write(vm: StoryBuilder) -> None:
    """The first write to an unpopulated page maps a new page, writable and dirty.

    Nothing was mapped before, so nothing needs a flush.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN + 3, kind=WRITE)
    vm.claim("one exit was enough", lambda now: now.outcome == [Exit.FIXED, End.DONE])
    vm.claim("the page is writable", lambda now: now.mapped(GFN + 3).writable)
    vm.claim("and MMU-writable", lambda now: now.mapped(GFN + 3).mmu_writable)
    vm.claim("and dirty", lambda now: now.mapped(GFN + 3).dirty)
    vm.claim(
        "no flush was asked for", lambda now: now.grown.flush_requests == 0, since=FLUSH_REQUEST_STATISTICS
    )
    vm.claim("one 4K page is counted", lambda now: now.state.pages_4k == 1, since=PAGE_STATISTICS)


@story(
    source='virt/kvm/kvm_main.c: hva_to_pfn_slow(), "map read fault as writable if possible"',
    about=("kvm_tdp_mmu_map", "hva_to_pfn_fast"),
)
def read_of_a_populated_page(vm: StoryBuilder) -> None:
    """A read of a page that the host could write maps it writable at once.

    It saves the exit of a later write; the page has not been written, but its SPTE is dirty.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.touch(page=2, write=1)
    vm.access(gfn=GFN + 2, kind=READ).claim("it is writable", lambda now: now.mapped(GFN + 2).writable)
    vm.access(gfn=GFN + 2, kind=WRITE).claim("a write needs no exit", lambda now: now.outcome == [End.DONE])


@story(
    source="Documentation/virt/kvm/x86/mmu.rst: the TDP MMU maps gfns in tables of 512 entries",
    about=("kvm_tdp_mmu_map", "tdp_mmu_alloc_sp", "tdp_mmu_init_child_sp", "tdp_mmu_link_sp"),
)
def neighbours_share_tables(vm: StoryBuilder) -> None:
    """Pages next to each other share their tables, pages 2M apart do not.

    A fault must reuse existing tables, and fill the entry of its own gfn.
    """
    memory(vm, gfn=0x1F0, npages=64)
    vm.access(gfn=0x1FE, kind=WRITE)
    vm.access(gfn=0x1FF, kind=WRITE).claim("both are mapped", lambda now: len(now.leaves()) == 2)
    vm.claim(
        "there is one table of level 1",
        lambda now: sum(e.level == 2 and e.child > 0 for e in now.entries()) == 1,
    )
    vm.access(gfn=0x200, kind=WRITE)
    vm.claim("now there are two", lambda now: sum(e.level == 2 and e.child > 0 for e in now.entries()) == 2)


@story(source=LIVE, about=("kvm_tdp_mmu_get_vcpu_root_hpa", "kvm_tdp_mmu_alloc_root"), vcpus=2)
def two_vcpus_share_a_root(vm: StoryBuilder) -> None:
    """A page that one vCPU faulted in is accessed by the other without an exit.

    vCPUs with the same role use one root; each holds a reference.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(vcpu=0, gfn=GFN, kind=WRITE)
    vm.access(vcpu=1, gfn=GFN, kind=READ).claim("no exit", lambda now: now.outcome == [End.DONE])
    vm.claim("there is one root", lambda now: len(now.roots) == 1)
    vm.claim("both vCPUs have it in their TLBs", lambda now: now.cached(GFN, 0) and now.cached(GFN, 1))


@story(
    source="arch/x86/kvm/mmu/mmu.c: kvm_tdp_page_fault() and the processor's TLB",
    about=("kvm_tdp_page_fault",),
)
def repeated_access(vm: StoryBuilder) -> None:
    """An access to a mapped and cached page takes no exit, whatever its kind.

    The statistics of page faults do not change.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=WRITE)
    for kind in (READ, WRITE, FETCH):
        vm.access(gfn=GFN, kind=kind).claim("no exit", lambda now: now.outcome == [End.DONE])
        vm.claim("no fault is counted", lambda now: now.grown.pf_taken == 0, since=FAULT_STATISTICS)


@story(
    source="virt/kvm/kvm_main.c: hva_to_pfn() without a VMA",
    about=("hva_to_pfn", "kvm_handle_bad_page", "kvm_handle_error_pfn"),
)
def memslot_without_a_host_mapping(vm: StoryBuilder) -> None:
    """A memslot without host memory: the fault ends in an error, and nothing is mapped.

    Userspace gets -EFAULT.
    """
    vm.set_memory_region(gfn=GFN, npages=16, page=0x1000)
    vm.access(gfn=GFN, kind=READ)
    vm.claim("the access ends in an error", lambda now: now.end == End.FAILED)
    vm.claim("nothing is mapped", lambda now: now.leaf(GFN) is None)


@story(
    source="Documentation/virt/kvm/api.rst: KVM_MEM_READONLY",
    about=("kvm_handle_bad_page", "kvm_handle_error_pfn", "memslot_is_readonly"),
)
def read_only_memslot(vm: StoryBuilder) -> None:
    """In a read-only memslot reads are mapped without Host-writable, and writes are emulated.

    A write must not reach the page, so KVM exits to userspace with it, as for MMIO.
    """
    memory(vm, gfn=GFN, npages=16, flags=READONLY)
    vm.touch(page=0, write=1)
    vm.access(gfn=GFN, kind=READ).claim("mapped without W", lambda now: not now.mapped(GFN).writable)
    vm.claim("and not Host-writable", lambda now: not now.mapped(GFN).host_writable)
    vm.access(gfn=GFN, kind=WRITE).claim("the write is emulated", lambda now: now.end == End.EMULATED)
    vm.claim("still read-only", lambda now: not now.mapped(GFN).writable)
    vm.access(gfn=GFN + 1, kind=WRITE).claim(
        "so is one to an unmapped page", lambda now: now.end == End.EMULATED
    )


@story(
    source=WRITABLE_BITS + ": case 3, memory backed by a read-only VMA",
    about=("hva_to_pfn", "vma_is_valid", "make_spte"),
)
def read_only_host_mapping(vm: StoryBuilder) -> None:
    """Where the host may not write, the guest may not either.

    Reads map without Host-writable; a write ends in -EFAULT for userspace.
    """
    memory(vm, gfn=GFN, npages=16, writable=0)
    vm.access(gfn=GFN, kind=READ).claim("not Host-writable", lambda now: not now.mapped(GFN).host_writable)
    vm.access(gfn=GFN, kind=WRITE).claim("the write fails", lambda now: now.end == End.FAILED)


@story(
    source=WRITABLE_BITS + ": Host-writable is set only when an SPTE is faulted in",
    about=("tdp_mmu_map_handle_target_level", "make_spte"),
)
def read_only_host_mapping_upgraded(vm: StoryBuilder) -> None:
    """A page that the host made read-only is mapped so, and writable again after the next write fault.

    The page is not shared, so the host makes its mapping writable in place, without an invalidation;
    KVM must replace a present read-only SPTE by a writable one for the same page.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=WRITE)
    vm.wrprotect(page=0).claim("the mapping is gone", lambda now: now.leaf(GFN) is None)
    vm.access(gfn=GFN, kind=READ).claim("a read maps it read-only", lambda now: not now.mapped(GFN).writable)
    vm.access(gfn=GFN, kind=WRITE)
    vm.claim("a write is fixed at once", lambda now: now.outcome == [Exit.FIXED, End.DONE])
    vm.claim("it is the same page", lambda now: now.mapped(GFN).pfn == now.before.mapped(GFN).pfn)
    vm.claim("writable now", lambda now: now.mapped(GFN).writable and now.mapped(GFN).host_writable)

# SPDX-License-Identifier: GPL-2.0-only
"""The host changes its mappings under a running guest: MMU notifiers, and faults that meet them."""

from __future__ import annotations

from conformance.interface.access import End, Exit
from conformance.kernels.substitutions import MMU_C, TDP_C, Substitution
from conformance.model.changes import (
    FLUSH_REQUEST_STATISTICS,
    INVALIDATION_RANGE,
    NO_CHANGE_PTE,
    PAGE_STATISTICS,
)
from conformance.scenarios.stories.functions import IN_PROGRESS, INVALIDATE, UNMAP
from conformance.scenarios.stories.setting import HUGE, READ, WRITE, X2M, memory
from conformance.scenarios.stories.sources import CHANGE_PTE
from conformance.scenarios.story import Mutant, StoryBuilder, story

GFN = 0x100
RANGE_START = "virt/kvm/kvm_main.c: kvm_mmu_notifier_invalidate_range_start()"


@story(
    source=RANGE_START,
    about=(*INVALIDATE, *UNMAP),
    mutants=[
        Mutant(
            "a missing flush after leaves were zapped",
            Substitution(
                TDP_C,
                "tdp_mmu_set_spte(kvm, &iter, 0);\n\t\tflush = true;",
                "tdp_mmu_set_spte(kvm, &iter, 0);",
            ),
        ),
        Mutant(
            "a missing flush after leaves were zapped",
            Substitution(TDP_C, "if (!root->role.invalid)\n\t\t\tflush = true;", "", "7.3"),
        ),
    ],
)
def unmap_one_page(vm: StoryBuilder) -> None:
    """The host discards one page: its SPTE is zapped, its neighbours' stay.

    The TLBs are flushed before the host may reuse the page, and a later access faults in a new one.
    """
    memory(vm, gfn=GFN, npages=16)
    for gfn in (GFN, GFN + 1, GFN + 2):
        vm.access(gfn=gfn, kind=WRITE)
    vm.madvise_dontneed(page=1)
    vm.claim("the page is unmapped", lambda now: now.leaf(GFN + 1) is None)
    vm.claim("its neighbours are not", lambda now: now.leaf(GFN) and now.leaf(GFN + 2))
    vm.claim(
        "a flush was asked for", lambda now: now.grown.flush_requests == 1, since=FLUSH_REQUEST_STATISTICS
    )
    vm.claim("no invalidation is left under way", lambda now: now.state.invalidate_in_progress == 0)
    vm.access(gfn=GFN + 1, kind=WRITE).claim(
        "a new page is mapped", lambda now: now.outcome == [Exit.FIXED, End.DONE]
    )
    vm.claim("another one", lambda now: now.mapped(GFN + 1).pfn != now.before.before.mapped(GFN + 1).pfn)


@story(
    source=RANGE_START,
    about=(*INVALIDATE, *UNMAP),
    mutants=[
        Mutant(
            "the last gfn of an unmapped range is left mapped",
            Substitution(
                TDP_C,
                "for_each_tdp_pte_min_level(iter, root, PG_LEVEL_4K, start, end) {",
                "for_each_tdp_pte_min_level(iter, root, PG_LEVEL_4K, start, end - 1) {",
            ),
        ),
    ],
)
def unmap_a_range(vm: StoryBuilder) -> None:
    """The host discards a range across two tables: it is unmapped, the pages before and after stay.

    Tables stay, even empty ones: only leaves are zapped.
    """
    memory(vm, gfn=0, npages=0x400)
    for gfn in (0x1EF, 0x1F0, 0x1FF, 0x200, 0x20F, 0x210):
        vm.access(gfn=gfn, kind=WRITE)
    vm.madvise_dontneed(page=0x1F0, npages=0x20)
    vm.claim("those in the range are gone", lambda now: [leaf.gfn for leaf in now.leaves()] == [0x1EF, 0x210])
    vm.claim("the tables stay", lambda now: now.has_table(1, 0) and now.has_table(1, X2M))
    vm.claim(
        "one flush was asked for", lambda now: now.grown.flush_requests == 1, since=FLUSH_REQUEST_STATISTICS
    )


@story(source=RANGE_START, about=(*INVALIDATE, "kvm_tdp_mmu_unmap_gfn_range"))
def unmap_of_what_is_not_mapped(vm: StoryBuilder) -> None:
    """An invalidation of pages that the guest never touched flushes nothing.

    It is counted all the same: a fault in progress must see that something changed.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=WRITE)
    vm.touch(page=9, write=1)
    vm.madvise_dontneed(page=9)
    vm.claim("no flush", lambda now: now.grown.flush_requests == 0, since=FLUSH_REQUEST_STATISTICS)
    vm.claim("the sequence moved", lambda now: now.grown.invalidate_seq > 0)
    vm.claim("what was mapped stays", lambda now: now.leaf(GFN))


@story(
    source="virt/kvm/kvm_main.c: __kvm_handle_hva_range() visits the memslots that a range meets",
    about=(*INVALIDATE, "__kvm_handle_hva_range"),
)
def unmap_outside_of_memslots(vm: StoryBuilder) -> None:
    """The host changes memory that no memslot uses: KVM has nothing to do.

    Only a range that overlaps a memslot takes mmu_lock and advances the sequence.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=WRITE)
    vm.mmap(page=0x1000, npages=16)
    vm.touch(page=0x1000, write=1)
    vm.madvise_dontneed(page=0x1000, npages=16)
    vm.claim("no flush", lambda now: now.grown.flush_requests == 0, since=FLUSH_REQUEST_STATISTICS)
    vm.claim("the mapping stays", lambda now: now.leaf(GFN))


@story(
    source="virt/kvm/kvm_main.c and mmu.c: mmu_invalidate_retry_hva(), is_page_fault_stale()",
    about=IN_PROGRESS,
    mutants=[
        Mutant(
            "the stale check forced off",
            Substitution(
                MMU_C,
                "return fault->slot &&\n"
                "\t       mmu_invalidate_retry_hva(vcpu->kvm, fault->mmu_seq, fault->hva);",
                "return false;",
            ),
        ),
    ],
)
def fault_during_an_invalidation(vm: StoryBuilder) -> None:
    """While the host invalidates a range, a fault in it must be retried and map nothing.

    The page that it would map may be about to go. After the invalidation the fault is handled as usual.
    """
    memory(vm, gfn=GFN, npages=64)
    vm.access(gfn=GFN + 8, kind=WRITE)
    vm.notifier_start(page=8, npages=4).claim("the mapping is gone", lambda now: now.leaf(GFN + 8) is None)
    vm.claim("an invalidation is under way", lambda now: now.state.invalidate_in_progress == 1)
    vm.access(gfn=GFN + 8, kind=WRITE).claim("the guest gets nowhere", lambda now: now.end == End.GAVE_UP)
    vm.claim("each exit is a retry", lambda now: set(now.exits) == {Exit.RETRY})
    vm.claim("nothing was mapped", lambda now: now.leaf(GFN + 8) is None)
    vm.notifier_end(page=8, npages=4)
    vm.access(gfn=GFN + 8, kind=WRITE).claim("now it is", lambda now: now.outcome == [Exit.FIXED, End.DONE])


@story(
    source='commit 4a42d848db95 ("KVM: x86/mmu: Consider the hva in mmu_notifier retry") in v5.12',
    about=IN_PROGRESS,
    mutants=[
        Mutant(
            "every fault is stale while any range is invalidated",
            Substitution(
                MMU_C,
                "mmu_invalidate_retry_hva(vcpu->kvm, fault->mmu_seq, fault->hva)",
                "mmu_invalidate_retry(vcpu->kvm, fault->mmu_seq)",
            ),
        ),
    ],
)
def fault_beside_an_invalidation(vm: StoryBuilder) -> None:
    """A fault outside of the range that is being invalidated need not wait.

    Only while two invalidations are in progress is the range widened to cover both.
    """
    memory(vm, gfn=GFN, npages=64)
    vm.notifier_start(page=8, npages=4)
    vm.access(gfn=GFN + 12, kind=WRITE).claim(
        "beside it all is well", lambda now: now.outcome == [Exit.FIXED, End.DONE], since=INVALIDATION_RANGE
    )
    vm.notifier_start(page=32, npages=4)
    vm.access(gfn=GFN + 20, kind=WRITE).claim("between two it waits", lambda now: now.end == End.GAVE_UP)
    vm.notifier_end(page=8, npages=4)
    vm.notifier_end(page=32, npages=4)
    vm.access(gfn=GFN + 20, kind=WRITE).claim("until both are over", lambda now: now.end == End.DONE)


@story(source=CHANGE_PTE, about=("kvm_mmu_notifier_change_pte",), until=NO_CHANGE_PTE)
def change_pte_changes_nothing(vm: StoryBuilder) -> None:
    """.change_pte() between start and end of an invalidation finds nothing to change.

    The invalidation has zapped the SPTE that it was meant to update, so it neither maps nor flushes.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=WRITE).access(gfn=GFN + 1, kind=WRITE)
    vm.change_pte(page=0).claim("the mapping is gone", lambda now: now.leaf(GFN) is None)
    vm.claim("the neighbour's is not", lambda now: now.leaf(GFN + 1))
    vm.claim(
        "only the invalidation flushed",
        lambda now: now.grown.flush_requests == 1,
        since=FLUSH_REQUEST_STATISTICS,
    )
    vm.access(gfn=GFN, kind=READ).claim(
        "the guest faults it in again", lambda now: now.outcome == [Exit.FIXED, End.DONE]
    )


@story(source=CHANGE_PTE, about=(*INVALIDATE, "tdp_mmu_zap_leafs"))
def merged_by_ksm(vm: StoryBuilder) -> None:
    """KSM merges a page: the guest reads the shared copy, and its write gets a private page again.

    The shared page must never be mapped writable.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=WRITE)
    vm.ksm_merge(page=0).claim("the mapping is gone", lambda now: now.leaf(GFN) is None)
    vm.access(gfn=GFN, kind=READ).claim(
        "the shared page is read-only", lambda now: not now.mapped(GFN).writable
    )
    vm.claim("and not MMU-writable", lambda now: not now.mapped(GFN).mmu_writable)
    vm.access(gfn=GFN, kind=WRITE).claim("a write gets through", lambda now: now.end == End.DONE)
    vm.claim("to a page of its own", lambda now: now.mapped(GFN).pfn != now.before.mapped(GFN).pfn)


@story(
    source="mm/mremap.c: move_ptes() invalidates the old addresses, and nothing at the new ones",
    about=(*INVALIDATE, "tdp_mmu_zap_leafs"),
)
def moved_by_mremap(vm: StoryBuilder) -> None:
    """The host moves a page to another address of its own: one gfn loses its frame, another one has it.

    KVM follows addresses of the host, not frames, so the same frame appears at another gfn.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=WRITE)
    vm.mremap(page=0, to=8).claim("the mapping is gone", lambda now: now.leaf(GFN) is None)
    vm.access(gfn=GFN + 8, kind=READ).claim(
        "another gfn has the frame",
        lambda now: now.mapped(GFN + 8).pfn == now.before.before.mapped(GFN).pfn,
    )
    vm.access(gfn=GFN, kind=WRITE).claim(
        "the first gets a new one", lambda now: now.mapped(GFN).pfn != now.mapped(GFN + 8).pfn
    )


@story(
    source="mm/huge_memory.c: __split_huge_pmd() invalidates its whole 2M",
    about=("tdp_mmu_zap_leafs", "host_pfn_mapping_level"),
)
def host_gives_back_part_of_a_huge_page(vm: StoryBuilder) -> None:
    """The host splits a huge page to discard one of its pages: the guest's huge mapping is zapped.

    The rest of the memory stays where it is and is mapped in small pages.
    """
    memory(vm, gfn=X2M, npages=X2M, level=HUGE)
    vm.access(gfn=X2M, kind=WRITE).claim("2M are mapped", lambda now: now.mapped(X2M).level == HUGE)
    vm.madvise_dontneed(page=5).claim("all of it is gone", lambda now: now.leaf(X2M) is None)
    vm.access(gfn=X2M + 4, kind=WRITE).claim("now in 4K", lambda now: now.mapped(X2M + 4).level == 1)
    vm.claim(
        "at the same place", lambda now: now.mapped(X2M + 4).pfn == now.before.before.mapped(X2M).pfn + 4
    )
    vm.access(gfn=X2M + 5, kind=READ).claim("what was given back is new", lambda now: now.end == End.DONE)


@story(
    source="mm/memory.c: copy_present_pte() write-protects for fork()",
    about=(*INVALIDATE, "tdp_mmu_zap_leafs", "kvm_vcpu_flush_tlb_all"),
    vcpus=2,
)
def host_forks(vm: StoryBuilder) -> None:
    """fork() write-protects all of the guest's memory: nothing writable may stay mapped or cached.

    Every vCPU has to flush before it enters the guest again.
    """
    memory(vm, gfn=0, npages=X2M + 32)
    for vcpu in (0, 1):
        for gfn in (0, 0x1FF, 0x200):
            vm.access(vcpu=vcpu, gfn=gfn, kind=WRITE)
    vm.wrprotect(page=0, npages=X2M + 32).claim("nothing is mapped", lambda now: not now.leaves())
    vm.claim("one flush for all", lambda now: now.grown.flush_requests == 1, since=FLUSH_REQUEST_STATISTICS)
    vm.enter(vcpu=1).claim("no TLB has it", lambda now: now.cached(0, 1) is None)
    vm.access(vcpu=0, gfn=0x1FF, kind=WRITE).claim(
        "it comes back writable", lambda now: now.mapped(0x1FF).writable
    )


@story(source="mm/mmu_notifier.c: invalidations of one range may nest", about=IN_PROGRESS)
def nested_invalidations(vm: StoryBuilder) -> None:
    """Two invalidations of the same range: a fault has to wait for the end of both.

    The count is that of the invalidations in progress; the sequence advances with each end.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=WRITE)
    vm.notifier_start(page=0, npages=16)
    vm.notifier_start(page=0, npages=4).claim("two", lambda now: now.state.invalidate_in_progress == 2)
    vm.notifier_end(page=0, npages=16)
    vm.access(gfn=GFN, kind=WRITE).claim("still waiting", lambda now: now.end == End.GAVE_UP)
    vm.notifier_end(page=0, npages=4).claim("none", lambda now: now.state.invalidate_in_progress == 0)
    vm.access(gfn=GFN, kind=WRITE).claim("mapped", lambda now: now.outcome == [Exit.FIXED, End.DONE])


@story(
    source=RANGE_START,
    about=("tdp_mmu_zap_leafs", "tdp_mmu_iter_cond_resched"),
    mutants=[
        Mutant(
            "a zap yields forever",
            Substitution(TDP_C, "if (iter->next_last_level_gfn == iter->yielded_gfn)\n\t\treturn false;", ""),
        ),
    ],
)
def unmap_while_yielding(vm: StoryBuilder) -> None:
    """Unmapping a long range yields when it must, and still unmaps all of it.

    A walk that yields continues where it was; since commit 3a0f64de479c it must not skip an entry.
    """
    memory(vm, gfn=0, npages=0x800)
    for gfn in (0, 1, 0x1FF, 0x200, 0x3FF, 0x400, 0x7FF):
        vm.access(gfn=gfn, kind=WRITE)
    vm.resched(on=1)
    vm.madvise_dontneed(page=0, npages=0x800).claim("nothing is left", lambda now: not now.leaves())
    vm.claim("nor counted", lambda now: now.state.pages_4k == 0, since=PAGE_STATISTICS)
    vm.resched(on=0)
    vm.access(gfn=0x200, kind=WRITE).claim("the guest goes on", lambda now: now.end == End.DONE)

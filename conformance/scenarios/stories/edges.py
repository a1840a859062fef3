# SPDX-License-Identifier: GPL-2.0-only
"""Where one thing ends and the next begins: ranges, memslots and roots that touch or overlap.

Each story finds a boundary that is off by one, or a result that is lost between one part and the next.
"""

from __future__ import annotations

from collections.abc import Callable

from conformance.interface.access import End, Exit
from conformance.kernels.substitutions import KVM_MAIN_C, MMU_C, TDP_C, Substitution
from conformance.model.changes import (
    FLUSH_REQUEST_STATISTICS,
    INVALIDATION_RANGE,
    UNRELATED_INVALIDATIONS_IGNORED,
)
from conformance.scenarios.stories.functions import (
    COLLAPSE,
    IN_PROGRESS,
    INVALIDATE,
    NX_RECOVERY,
    UNMAP,
    ZAP_ROOTS,
)
from conformance.scenarios.stories.setting import FETCH, HUGE, LOG, READ, WRITE, X2M, memory
from conformance.scenarios.story import Mutant, StoryBuilder, story
from conformance.scenarios.view import View

GFN, OTHER = 0x100, 0x200
HVA_RANGE = "virt/kvm/kvm_main.c: the memslots' part of a notifier's range of host addresses"


def _mapped_at(gfn: int, level: int) -> Callable[[View], bool]:
    """A claim that ``gfn`` is mapped by an SPTE of ``level``."""
    return lambda now: now.mapped(gfn).level == level


@story(
    source=HVA_RANGE,
    about=UNMAP,
    mutants=[
        Mutant(
            "the flush that one memslot needs is lost with the next one",
            Substitution(
                KVM_MAIN_C,
                "ret |= range->handler(kvm, &gfn_range);",
                "ret = range->handler(kvm, &gfn_range);",
            ),
        ),
    ],
)
def flush_across_memslots(vm: StoryBuilder) -> None:
    """One host page under two memslots: unmapping it flushes, whichever of them mapped it.

    The flush that the first memslot needs must not be lost with the second, which needs none.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.set_memory_region(slot=1, gfn=OTHER, npages=16, page=0)
    for gfn in (GFN, OTHER):
        vm.access(gfn=gfn, kind=WRITE).claim("mapped", _mapped_at(gfn, 1))
        vm.madvise_dontneed(page=0).claim("unmapped", lambda now: not now.leaves())
        vm.claim(
            "a flush was asked for", lambda now: now.grown.flush_requests == 1, since=FLUSH_REQUEST_STATISTICS
        )


@story(
    source="tdp_mmu.c: kvm_tdp_mmu_unmap_gfn_range(), which walks every root",
    about=UNMAP,
    vcpus=2,
    mutants=[
        Mutant(
            "the flush that one root needs is lost with the next one",
            Substitution(TDP_C, "range->may_block, flush);", "range->may_block, false);"),
        ),
    ],
)
def flush_across_roots(vm: StoryBuilder) -> None:
    """Two roots, one of them invalid and empty: unmapping flushes for the one that had the page.

    A vCPU that has not entered since a memslot was deleted holds the old root.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.set_memory_region(slot=1, gfn=OTHER, npages=16, page=0)
    vm.access(vcpu=0, gfn=GFN, kind=WRITE).access(vcpu=1, gfn=GFN, kind=WRITE)
    vm.set_memory_region(slot=1, gfn=OTHER, npages=0, page=0)
    vm.access(vcpu=0, gfn=GFN, kind=WRITE).claim("two roots", lambda now: len(now.roots) == 2)
    vm.madvise_dontneed(page=0).claim("unmapped", lambda now: now.leaf(GFN) is None)
    vm.claim(
        "a flush was asked for", lambda now: now.grown.flush_requests == 1, since=FLUSH_REQUEST_STATISTICS
    )


@story(
    source=HVA_RANGE,
    about=UNMAP,
    mutants=[
        Mutant(
            "a range that ends behind a memslot reaches its neighbour's gfns",
            Substitution(
                KVM_MAIN_C,
                "hva_end = min(range->end, slot->userspace_addr +\n"
                "\t\t\t\t\t\t  (slot->npages << PAGE_SHIFT));",
                "hva_end = range->end;",
            ),
        ),
    ],
)
def range_over_the_end_of_a_memslot(vm: StoryBuilder) -> None:
    """A range of the host begins in a memslot and ends behind it: only the memslot's part is unmapped.

    The next memslot's gfns are adjacent, but its memory is elsewhere.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.mmap(page=0x10, npages=16)
    memory(vm, slot=1, gfn=GFN + 16, npages=16, page=0x1000)
    vm.access(gfn=GFN + 15, kind=WRITE).access(gfn=GFN + 16, kind=WRITE)
    vm.clear_flush_young(page=0, npages=0x20).claim("young", lambda now: now.outcome == [1])
    vm.claim("aged", lambda now: not now.mapped(GFN + 15).accessed)
    vm.claim("the neighbour is not", lambda now: now.mapped(GFN + 16).accessed)
    vm.madvise_dontneed(page=0, npages=0x20)
    vm.claim("only the neighbour is left", lambda now: [leaf.gfn for leaf in now.leaves()] == [GFN + 16])


@story(
    source=HVA_RANGE,
    about=(*INVALIDATE, "__kvm_handle_hva_range"),
    mutants=[
        Mutant(
            "a range that ends where a memslot begins counts as overlapping it",
            Substitution(KVM_MAIN_C, "range->start, range->end - 1)", "range->start, range->end)"),
        ),
    ],
)
def range_beside_a_memslot(vm: StoryBuilder) -> None:
    """Ranges that end where a memslot begins, or begin where it ends, do not concern it.

    The sequence count does not change either, so no fault has to be retried.
    """
    vm.mmap(page=0, npages=0x40)
    vm.set_memory_region(gfn=GFN, npages=16, page=0x10)
    vm.access(gfn=GFN, kind=WRITE).access(gfn=GFN + 15, kind=WRITE)
    for page in (0, 0x20):
        vm.madvise_dontneed(page=page, npages=16).claim("still mapped", lambda now: len(now.leaves()) == 2)
        vm.claim(
            "nothing was counted",
            lambda now: now.grown.invalidate_seq == 0,
            since=UNRELATED_INVALIDATIONS_IGNORED,
        )


@story(
    source="virt/kvm/kvm_main.c: the range that is being invalidated",
    about=IN_PROGRESS,
    mutants=[
        Mutant(
            "a second invalidation shortens the first",
            Substitution(KVM_MAIN_C, "max(kvm->mmu_invalidate_range_end, end);", "end;"),
        ),
    ],
)
def invalidations_side_by_side(vm: StoryBuilder) -> None:
    """Three invalidations in progress: faults between them must wait, those outside need not.

    KVM keeps one range, from the first page of all to the last one, until all have ended.
    """
    memory(vm, gfn=GFN, npages=0x40)
    ranges = ((6, 2), (9, 1), (4, 1))
    for page, npages in ranges:
        vm.notifier_start(page=page, npages=npages)
    for offset in (4, 5, 8, 9):
        vm.access(gfn=GFN + offset, kind=WRITE).claim(
            "wait", lambda now: now.outcome == [Exit.RETRY, End.GAVE_UP]
        )
    for offset in (3, 10):
        vm.access(gfn=GFN + offset, kind=WRITE).claim(
            "no need to wait", lambda now: now.end == End.DONE, since=INVALIDATION_RANGE
        )
    for page, npages in ranges:
        vm.access(gfn=GFN + 8, kind=WRITE).claim("still wait", lambda now: now.end == End.GAVE_UP)
        vm.notifier_end(page=page, npages=npages)
    vm.access(gfn=GFN + 8, kind=WRITE).claim("over", lambda now: now.end == End.DONE)


@story(
    source="virt/kvm/kvm_main.c: the range that is being invalidated",
    about=(*IN_PROGRESS, "kvm_mmu_invalidate_range_add"),
)
def invalidation_under_two_memslots(vm: StoryBuilder) -> None:
    """A host page under two memslots is invalidated, while a third lies between them in the guest.

    A fault on the third need not wait, but since v6.8 it does: KVM keeps the range in gfns, from the first
    of all to the last.
    """
    vm.mmap(page=0, npages=0x40)
    for slot, (gfn, page) in enumerate(((GFN, 0), (OTHER, 0), (GFN + 0x40, 0x20))):
        vm.set_memory_region(slot=slot, gfn=gfn, npages=16, page=page)
    vm.notifier_start(page=3, npages=2)
    for gfn in (GFN + 3, OTHER + 4):
        vm.access(gfn=gfn, kind=WRITE).claim("wait", lambda now: now.outcome == [Exit.RETRY, End.GAVE_UP])
    for gfn in (GFN + 2, OTHER + 5):
        vm.access(gfn=gfn, kind=WRITE).claim(
            "outside", lambda now: now.end == End.DONE, since=INVALIDATION_RANGE
        )
    vm.access(gfn=GFN + 0x40, kind=WRITE).claim("elsewhere", lambda now: now.end in (End.DONE, End.GAVE_UP))
    vm.notifier_end(page=3, npages=2)
    vm.access(gfn=GFN + 0x40, kind=WRITE).claim("over", lambda now: now.end == End.DONE)


@story(source="mmu.c: memslots are not aligned to huge pages", about=COLLAPSE, eager_page_split=1)
def rebuilt_in_an_unaligned_memslot(vm: StoryBuilder) -> None:
    """Logging ends on a memslot with edges inside huge pages: only whole ones are mapped huge again.

    Where the memslot covers a part of 2M only, nothing huge may be mapped.
    """
    gfn, npages = 0x3F0, 0x420
    vm.mmap(page=X2M, npages=4 * X2M, level=HUGE)
    vm.set_memory_region(gfn=gfn, npages=npages, page=gfn, flags=LOG)
    for written in (gfn, 0x400, 0x80F):
        vm.access(gfn=written, kind=WRITE).claim("4K", _mapped_at(written, 1))
    vm.set_memory_region(gfn=gfn, npages=npages, page=gfn)
    vm.access(gfn=0x400, kind=WRITE).claim("2M", _mapped_at(0x400, HUGE))
    for edge in (gfn, 0x80F):
        vm.access(gfn=edge, kind=WRITE).claim("4K", _mapped_at(edge, 1))


@story(
    source="Documentation/virt/kvm/x86/mmu.rst: NX huge pages", about=NX_RECOVERY, nx_huge_pages=1, vcpus=2
)
def recovery_while_yielding(vm: StoryBuilder) -> None:
    """The recovery worker yields after each table: it flushes before, and misses no table.

    A translation of a zapped page must not outlive the lock under which it was zapped.
    """
    memory(vm, gfn=2 * X2M, npages=2 * X2M, page=2 * X2M, level=HUGE)
    for vcpu, gfn in ((0, 2 * X2M), (1, 3 * X2M)):
        vm.access(vcpu=vcpu, gfn=gfn, kind=READ).access(vcpu=vcpu, gfn=gfn, kind=FETCH)
    vm.claim("two are split", lambda now: now.state.nx_lpage_splits == 2)
    vm.resched(on=1).recover_nx_huge_pages()
    vm.claim("none is left", lambda now: now.state.nx_lpage_splits == 0)
    vm.claim(
        "a flush was asked for", lambda now: now.grown.flush_requests > 0, since=FLUSH_REQUEST_STATISTICS
    )


@story(
    source="Documentation/virt/kvm/api.rst: KVM_SET_USER_MEMORY_REGION; -EEXIST",
    about=("__kvm_set_memory_region", "kvm_set_memory_region", "kvm_check_memslot_overlap"),
    mutants=[
        Mutant(
            "memslots may overlap by one page",
            Substitution(KVM_MAIN_C, "base_gfn, base_gfn + npages))", "base_gfn, base_gfn + npages - 1))"),
        ),
    ],
)
def memslots_overlap_by_one_page(vm: StoryBuilder) -> None:
    """Memslots may touch, but not overlap, not even by one page at either end.

    A gfn would otherwise have two host pages.
    """
    exists = [-17]
    memory(vm, gfn=GFN, npages=16)
    vm.mmap(page=0x100, npages=0x40)
    vm.set_memory_region(slot=1, gfn=GFN - 8, npages=9, page=0x100)
    vm.claim("overlaps the first page", lambda now: now.outcome == exists)
    vm.set_memory_region(slot=1, gfn=GFN - 8, npages=8, page=0x100)
    vm.claim("touches it", lambda now: now.outcome == [0])
    vm.set_memory_region(slot=2, gfn=GFN + 15, npages=2, page=0x120)
    vm.claim("overlaps the last page", lambda now: now.outcome == exists)
    vm.set_memory_region(slot=2, gfn=GFN + 16, npages=2, page=0x120)
    vm.claim("touches that", lambda now: now.outcome == [0])
    vm.set_memory_region(slot=2, gfn=GFN + 15, npages=2, page=0x120)
    vm.claim("cannot be moved over it either", lambda now: now.outcome == exists)


@story(
    source="Documentation/virt/kvm/x86/mmu.rst: MMIO generation; address spaces",
    about=("kvm_mmu_invalidate_mmio_sptes", "kvm_mmu_zap_all_fast", "kvm_arch_memslots_updated"),
    mutants=[
        Mutant(
            "the generation of SMM's memslots never wraps",
            Substitution(MMU_C, "gen &= ~((u64)KVM_ADDRESS_SPACE_NUM - 1);", ""),
        ),
    ],
)
def generation_wraps_in_smm(vm: StoryBuilder) -> None:
    """The generation of SMM's memslots wraps: no MMIO SPTE of any earlier one may survive.

    Each address space counts for itself.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.set_memory_region(slot=0, as_id=1, gfn=GFN, npages=16, page=0)
    vm.smm(on=1).access(gfn=0x500, kind=READ)
    vm.claim("MMIO", lambda now: now.mmio_generation(0x500, 1) is not None)
    vm.set_generation(value=(1 << 19) - 4).access(gfn=0x500, kind=READ)
    for slot in (1, 2, 3):
        vm.set_memory_region(slot=slot, as_id=1, gfn=0x100 * (slot + 1), npages=16, page=0).enter()
    vm.claim("it is gone", lambda now: now.mmio_generation(0x500, 1) is None)


@story(
    source="tdp_mmu.c: kvm_tdp_mmu_invalidate_all_roots()",
    about=ZAP_ROOTS,
    vcpus=2,
    mutants=[
        Mutant(
            "an invalid root is invalidated again, and its reference is dropped twice",
            Substitution(
                TDP_C,
                "if (!root->role.invalid) {\n\t\t\troot->tdp_mmu_scheduled_root_to_zap",
                "if (true) {\n\t\t\troot->tdp_mmu_scheduled_root_to_zap",
            ),
        ),
    ],
)
def roots_invalidated_twice(vm: StoryBuilder) -> None:
    """Two memslots are deleted while a vCPU still holds the root from before the first.

    A root is invalidated, zapped and released once, whatever happens afterwards.
    """
    memory(vm, gfn=GFN, npages=48)
    for slot, gfn in ((1, OTHER), (2, 2 * OTHER)):
        vm.set_memory_region(slot=slot, gfn=gfn, npages=16, page=0)
    for vcpu in (0, 1):
        vm.access(vcpu=vcpu, gfn=GFN, kind=WRITE)
    for slot, gfn in ((1, OTHER), (2, 2 * OTHER)):
        vm.set_memory_region(slot=slot, gfn=gfn, npages=0, page=0)
        vm.claim("no root is valid", lambda now: not now.valid_roots())
        vm.access(vcpu=0, gfn=GFN, kind=WRITE).claim("a new one", lambda now: len(now.valid_roots()) == 1)
    vm.enter(vcpu=1).claim("only that is left", lambda now: len(now.roots) == 1)

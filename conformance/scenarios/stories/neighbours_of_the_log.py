# SPDX-License-Identifier: GPL-2.0-only
"""What lies beside a memslot, or is due beside a walk, when its dirty log is switched on and off.

A walk must change what is in the memslot and nothing else, flush once, and miss nothing if it yields.
"""

from __future__ import annotations

from conformance.model.changes import FLUSH_REQUEST_STATISTICS
from conformance.scenarios.modes import TDP_MODES, with_legacy
from conformance.scenarios.stories.dirty_logging import log
from conformance.scenarios.stories.functions import (
    CLEAR_LOG,
    COLLAPSE,
    LOG_BY_PROCESSOR,
    READ_LOG,
    SPLIT,
    WRITE_PROTECT,
    ZAP_ROOTS,
)
from conformance.scenarios.stories.setting import GIGANTIC, HUGE, LOG, WRITE, X1G, X2M, memory
from conformance.scenarios.story import StoryBuilder, story

GFN = 0x100


def _three_memslots(vm: StoryBuilder) -> None:
    """Three memslots side by side, the first and the last page of each written."""
    vm.mmap(page=0, npages=48)
    for slot in (0, 1, 2):
        vm.set_memory_region(slot=slot, gfn=GFN + 16 * slot, npages=16, page=16 * slot)
    for slot in (0, 1, 2):
        vm.access(gfn=GFN + 16 * slot, kind=WRITE).access(gfn=GFN + 16 * slot + 15, kind=WRITE)


@story(
    source="arch/x86/kvm/mmu/tdp_mmu.c: clear_dirty_gfn_range()",
    about=LOG_BY_PROCESSOR,
    modes=with_legacy("ept-ad"),
    pml=1,
)
def neighbours_of_what_the_processor_logs(vm: StoryBuilder) -> None:
    """Logging by Dirty bits begins in the second of three memslots: only its SPTEs lose Dirty.

    A neighbour that lost Dirty would be logged by the processor, and marked in the host, without need.
    """
    _three_memslots(vm)
    log(vm, slot=1, gfn=GFN + 16, npages=16, page=16)
    vm.claim(
        "Dirty is clear in the second only",
        lambda now: {leaf.gfn for leaf in now.leaves() if not leaf.dirty} == {GFN + 16, GFN + 31},
    )
    log(vm, slot=2, gfn=GFN + 32, npages=16, page=32)
    vm.claim("nor in the first", lambda now: now.mapped(GFN).dirty and now.mapped(GFN + 15).dirty)
    vm.access(gfn=GFN + 16, kind=WRITE).access(gfn=GFN + 47, kind=WRITE)
    vm.get_dirty_log(slot=1).claim("the second has its write", lambda now: now.logged == {0})
    vm.get_dirty_log(slot=2).claim("and the third its own", lambda now: now.logged == {15})


@story(source="arch/x86/kvm/mmu/tdp_mmu.c: wrprot_gfn_range()", about=WRITE_PROTECT)
def neighbours_of_what_is_logged(vm: StoryBuilder) -> None:
    """Logging begins in the second of three memslots: only its pages lose W.

    A neighbour that lost W would fault at its next write without need.
    """
    _three_memslots(vm)
    log(vm, slot=1, gfn=GFN + 16, npages=16, page=16)
    vm.claim(
        "the second is protected, the others are not",
        lambda now: {leaf.gfn for leaf in now.leaves() if not leaf.writable} == {GFN + 16, GFN + 31},
    )


@story(
    source="arch/x86/kvm/mmu/tdp_mmu.c: clear_dirty_gfn_range()",
    about=LOG_BY_PROCESSOR,
    modes=with_legacy("ept-ad"),
    vcpus=2,
    pml=1,
)
def log_of_the_processor_in_smm(vm: StoryBuilder) -> None:
    """Logging by Dirty bits begins in a memslot of SMM, and then in the one that others see.

    Each address space has its own tables for the same gfn.
    """
    vm.mmap(page=0, npages=32)
    vm.set_memory_region(slot=0, gfn=GFN, npages=16, page=0)
    vm.set_memory_region(slot=1, as_id=1, gfn=GFN, npages=16, page=16)
    vm.access(gfn=GFN, kind=WRITE)
    vm.smm(vcpu=1, on=1).access(vcpu=1, gfn=GFN, kind=WRITE)
    vm.set_memory_region(slot=1, as_id=1, gfn=GFN, npages=16, page=16, flags=LOG)
    vm.claim("Dirty is clear in SMM", lambda now: not now.mapped(GFN, as_id=1).dirty)
    vm.claim("but not outside of it", lambda now: now.mapped(GFN).dirty)
    vm.access(vcpu=1, gfn=GFN, kind=WRITE)
    vm.get_dirty_log(slot=1, as_id=1).claim("logged", lambda now: now.logged == {0})
    log(vm, gfn=GFN, npages=16).claim("now there, too", lambda now: not now.mapped(GFN).dirty)


@story(
    source="arch/x86/kvm/mmu/tdp_mmu.c: clear_dirty_gfn_range(), tdp_mmu_iter_cond_resched()",
    about=(*LOG_BY_PROCESSOR, "tdp_mmu_iter_cond_resched"),
    modes=("ept-ad",),
    pml=1,
)
def log_of_the_processor_while_yielding(vm: StoryBuilder) -> None:
    """Dirty bits are cleared by a walk that yields as often as it can, and each is cleared.

    The flush comes after the walk, so that yielding needs none.
    """
    vm.mmap(page=0, npages=3 * X2M)
    vm.set_memory_region(slot=0, gfn=0, npages=3 * X2M, page=0)
    written = (0, 1, X2M - 1, X2M, 2 * X2M, 3 * X2M - 1)
    for gfn in written:
        vm.access(gfn=gfn, kind=WRITE)
    vm.resched(on=1)
    log(vm, gfn=0, npages=3 * X2M).claim("all clean", lambda now: not any(one.dirty for one in now.leaves()))
    vm.claim("one flush", lambda now: now.grown.flush_requests <= 1, since=FLUSH_REQUEST_STATISTICS)
    vm.resched(on=0)
    for gfn in written:
        vm.access(gfn=gfn, kind=WRITE)
    vm.get_dirty_log().claim("all are logged", lambda now: now.logged == set(written))


@story(
    source="arch/x86/kvm/mmu/tdp_mmu.c: wrprot_gfn_range(), tdp_mmu_iter_cond_resched()",
    about=(*WRITE_PROTECT, *COLLAPSE, "tdp_mmu_iter_cond_resched"),
    modes=TDP_MODES,
    eager_page_split=0,
)
def log_on_and_off_while_yielding(vm: StoryBuilder) -> None:
    """Pages are protected, and later made huge again, by walks that yield as often as they can.

    Each walk goes on in the tables as they are then, and neither skips a page nor flushes more than once.
    """
    vm.mmap(page=0, npages=4 * X2M, level=HUGE)
    vm.set_memory_region(slot=0, gfn=0, npages=4 * X2M, page=0)
    for gfn in (0, X2M, 2 * X2M, 3 * X2M):
        vm.access(gfn=gfn, kind=WRITE)
    vm.resched(on=1)
    log(vm, gfn=0, npages=4 * X2M)
    vm.claim("all are protected", lambda now: not any(leaf.writable for leaf in now.leaves()))
    vm.claim("one flush", lambda now: now.grown.flush_requests <= 1, since=FLUSH_REQUEST_STATISTICS)
    for gfn in (1, 2, X2M - 1, X2M + 3, 2 * X2M):
        vm.access(gfn=gfn, kind=WRITE)
    log(vm, gfn=0, npages=4 * X2M, on=False)
    vm.claim("what stayed huge is still mapped", lambda now: now.mapped(3 * X2M).level == HUGE)
    vm.claim("none of 4K is left", lambda now: all(leaf.level == HUGE for leaf in now.leaves()))
    vm.resched(on=0)
    vm.access(gfn=1, kind=WRITE).claim("2M", lambda now: now.mapped(1).level == HUGE)


@story(source="arch/x86/kvm/mmu/tdp_mmu.c: clear_dirty_pt_masked()", about=READ_LOG)
def log_of_a_memslot_at_an_odd_gfn(vm: StoryBuilder) -> None:
    """The log of a memslot that begins at an odd gfn is read: each page in it is protected again.

    Bits of the log count from the memslot's first page, whatever its number.
    """
    vm.mmap(page=0, npages=128)
    vm.set_memory_region(slot=0, gfn=GFN + 3, npages=128, page=0, flags=LOG)
    written = {*range(0, 12), 33, 62, 63, 64, 65, 127}
    for offset in sorted(written):
        vm.access(gfn=GFN + 3 + offset, kind=WRITE)
    vm.get_dirty_log().claim("all that was written", lambda now: now.logged == written)
    vm.claim("nothing is writable", lambda now: not any(leaf.writable for leaf in now.leaves()))


@story(
    source="arch/x86/kvm/mmu/mmu.c: kvm_arch_mmu_enable_log_dirty_pt_masked()",
    about=CLEAR_LOG,
    modes=TDP_MODES,
    manual_protect=3,
)
def split_for_the_first_two_pages(vm: StoryBuilder) -> None:
    """The log is cleared for the first two pages of a huge page, which is split for that: both are clear.

    To split a page is no write to it.
    """
    memory(vm, gfn=X2M, npages=X2M, level=HUGE)
    vm.access(gfn=X2M, kind=WRITE)
    log(vm, gfn=X2M, npages=X2M).claim("still 2M", lambda now: now.mapped(X2M).level == HUGE)
    vm.clear_dirty_log(first=0, npages=64, mask=3)
    vm.claim("split", lambda now: now.mapped(X2M + 9).level == 1)
    vm.claim("both are clear", lambda now: now.dirty() == set(range(2, X2M)))
    vm.claim("and protected", lambda now: not now.mapped(X2M).writable)


@story(
    source="arch/x86/kvm/mmu/tdp_mmu.c: zap_collapsible_spte_range()",
    about=COLLAPSE,
    modes=TDP_MODES,
    eager_page_split=0,
)
def neighbour_of_what_becomes_huge(vm: StoryBuilder) -> None:
    """Logging ends in one of two memslots side by side: small pages of the other one stay small.

    What is known of huge pages is kept for each memslot, and must not be read beyond its end.
    """
    vm.mmap(page=0, npages=4 * X2M, level=HUGE)
    for slot, first, size in ((0, 0, 1), (1, 1, 2), (2, 3, 1)):
        gfn, page = X2M * (first + 1), X2M * first
        vm.set_memory_region(slot=slot, gfn=gfn, npages=size * X2M, page=page, flags=LOG)
        vm.access(gfn=gfn, kind=WRITE).access(gfn=gfn + 7, kind=WRITE)
    vm.touch(page=2 * X2M, write=1)
    log(vm, slot=1, gfn=2 * X2M, npages=2 * X2M, page=X2M, on=False)
    vm.claim("the first stays small", lambda now: now.mapped(X2M).level == 1)
    vm.claim("the last, too", lambda now: now.mapped(4 * X2M).level == 1)
    vm.claim("what only the host uses is not mapped", lambda now: now.leaf(3 * X2M) is None)
    vm.access(gfn=2 * X2M, kind=WRITE).claim("2M", lambda now: now.mapped(2 * X2M).level == HUGE)


@story(
    source="arch/x86/kvm/mmu/tdp_mmu.c: zap_collapsible_spte_range()",
    about=COLLAPSE,
    modes=TDP_MODES,
    eager_page_split=0,
)
def gigantic_page_after_logging(vm: StoryBuilder) -> None:
    """Logging ends over a page of 1G of which two parts were written: it is mapped whole again.

    Tables of both levels below it go at once.
    """
    vm.mmap(page=0, npages=X1G, level=GIGANTIC)
    vm.set_memory_region(slot=0, gfn=X1G, npages=X1G, page=0, flags=LOG)
    vm.access(gfn=X1G, kind=WRITE).access(gfn=X1G + 0x12345, kind=WRITE)
    vm.claim("4K while logging", lambda now: {leaf.level for leaf in now.leaves()} == {1})
    log(vm, gfn=X1G, npages=X1G, on=False)
    vm.access(gfn=X1G + 1, kind=WRITE).claim("1G", lambda now: now.mapped(X1G + 1).level == GIGANTIC)


@story(
    source="arch/x86/kvm/mmu/tdp_mmu.c: tdp_mmu_split_huge_page()",
    about=SPLIT,
    modes=TDP_MODES,
)
def split_beside_another_table(vm: StoryBuilder) -> None:
    """Two huge pages are split, and one of them again: its new table lies before that of the other one.

    A table has 512 entries, and the word behind it belongs to another one.
    """
    vm.mmap(page=0, npages=2 * X2M, level=HUGE)
    for slot in (0, 1):
        gfn, page = X2M * (slot + 1), X2M * slot
        vm.set_memory_region(slot=slot, gfn=gfn, npages=X2M, page=page)
        vm.access(gfn=gfn, kind=WRITE)
        log(vm, slot=slot, gfn=gfn, npages=X2M, page=page)
    vm.claim("both are split", lambda now: {leaf.level for leaf in now.leaves()} == {1})
    log(vm, gfn=X2M, npages=X2M, on=False).grace_period()
    vm.access(gfn=X2M, kind=WRITE).claim("2M", lambda now: now.mapped(X2M).level == HUGE)
    log(vm, gfn=X2M, npages=X2M).claim("split again", lambda now: now.mapped(X2M).level == 1)
    vm.claim("the other one has its pages", lambda now: now.mapped(2 * X2M).pfn == now.mapped(X2M).pfn + X2M)


@story(
    source="arch/x86/kvm/mmu/tdp_mmu.c: __tdp_mmu_zap_root(), tdp_mmu_iter_cond_resched()",
    about=(*ZAP_ROOTS, "tdp_mmu_iter_cond_resched"),
    modes=TDP_MODES,
)
def memslot_deleted_while_yielding(vm: StoryBuilder) -> None:
    """A logged memslot is deleted beside two others, far apart, by a walk that yields as often as it can.

    The roots are zapped part by part, and a flush is not due at each of them.
    """
    vm.mmap(page=0, npages=48)
    for slot in (0, 1, 2):
        vm.set_memory_region(slot=slot, gfn=X1G * slot + GFN, npages=16, page=16 * slot, flags=LOG)
        vm.access(gfn=X1G * slot + GFN, kind=WRITE)
    vm.resched(on=1)
    vm.set_memory_region(slot=1, gfn=X1G + GFN, npages=0, page=16)
    vm.claim("nothing is mapped", lambda now: not now.leaves())
    vm.resched(on=0)
    vm.access(gfn=GFN, kind=WRITE).access(gfn=2 * X1G + GFN, kind=WRITE)
    vm.claim("the others are mapped again", lambda now: len(now.leaves()) == 2)
    vm.claim("and still logged", lambda now: now.dirty(slot=2) == {0})

# SPDX-License-Identifier: GPL-2.0-only
"""The marks on the host's pages: KVM reports what the guest wrote, or the host may drop it.

The host writes a page back only if it is marked dirty. Until v6.13 KVM marks it when an SPTE loses Dirty, or
W where the processor has no Dirty; since then as soon as it has mapped the page.
"""

from __future__ import annotations

from conformance.kernels.substitutions import TDP_C, Substitution
from conformance.scenarios.modes import TDP_MODES, with_legacy
from conformance.scenarios.stories.dirty_logging import log
from conformance.scenarios.stories.functions import (
    AGING,
    CLEAR_LOG,
    INVALIDATE,
    LOG_BY_PROCESSOR,
    UNMAP,
    WRITE_PROTECT,
)
from conformance.scenarios.stories.setting import HUGE, LOG, READ, WRITE, X2M, memory
from conformance.scenarios.story import Mutant, StoryBuilder, story
from conformance.scenarios.view import View

GFN = 0x100
DIRTY = 1
SPTE_LOST = "arch/x86/kvm/mmu: kvm_set_pfn_dirty() where Dirty is lost, until v6.13"
SET_DIRTY = "kvm_set_pfn_dirty(spte_to_pfn(old_spte));"


def _unmap(vm: StoryBuilder, npages: int = 16) -> None:
    """The host invalidates pages, and keeps them."""
    vm.notifier_start(page=0, npages=npages)
    vm.notifier_end(page=0, npages=npages)


def _ever_dirty(now: View, *steps: int) -> bool:
    """Whether the page was marked dirty when its marks were taken, so many steps before this one."""
    for back in range(max(steps) + 1):
        if back in steps and now.outcome[0] & DIRTY:
            return True
        if back < max(steps):
            now = now.before
    return False


def _written(vm: StoryBuilder, page: int = 0) -> None:
    """The page is marked dirty, now or when its marks were taken before the last two steps."""
    vm.take_marks(page=page).claim("marked dirty by now", lambda now: _ever_dirty(now, 0, 3))


def _clean(now: View) -> bool:
    return now.outcome[0] & DIRTY == 0


@story(
    source=SPTE_LOST,
    about=(*INVALIDATE, *UNMAP),
    mutants=[Mutant("a written page is zapped and not marked", Substitution(TDP_C, SET_DIRTY, ";", "6.1"))],
)
def marks_of_an_unmapped_page(vm: StoryBuilder) -> None:
    """The host invalidates a page that the guest wrote: by then it is marked dirty.

    Otherwise reclaim would drop it without writing it back, and the guest would lose what it wrote.
    """
    memory(vm, gfn=GFN, npages=16)
    for page in (0, 2, 9):
        vm.touch(page=page, write=1)
    vm.access(gfn=GFN, kind=WRITE).access(gfn=GFN + 2, kind=READ)
    vm.take_marks(page=2)
    vm.take_marks(page=0)
    _unmap(vm)
    _written(vm)
    vm.take_marks(page=9).claim("what the guest never used has no mark", lambda now: now.outcome == [0])
    vm.take_marks(page=2)
    vm.take_marks(page=0).claim("marks are taken once", lambda now: now.outcome == [0])
    vm.take_marks(page=15).claim("the host has no such page", lambda now: now.outcome == [-22])


@story(source=SPTE_LOST, about=(*INVALIDATE, *UNMAP))
def marks_of_a_page_only_read(vm: StoryBuilder) -> None:
    """A page that the host maps read-only is never marked dirty, however it was used and unmapped.

    To write back what was not written costs time only, but much of it.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.touch(page=0, write=1).touch(page=1, write=1)
    vm.wrprotect(page=0, npages=2)
    vm.access(gfn=GFN, kind=READ).access(gfn=GFN + 1, kind=READ)
    vm.take_marks(page=0).claim("not dirty", _clean)
    vm.take_marks(page=1)
    vm.clear_young(page=1).claim("it was young", lambda now: now.outcome == [1])
    vm.take_marks(page=1).claim("not dirty", _clean)
    _unmap(vm)
    vm.take_marks(page=0).claim("not dirty", _clean)
    vm.take_marks(page=1).claim("aged, and so not used", lambda now: now.outcome == [0])


@story(source=SPTE_LOST, about=(*INVALIDATE, *AGING))
def marks_after_aging(vm: StoryBuilder) -> None:
    """A written page is aged and then unmapped: the write is not forgotten with the use.

    Without Dirty bits an SPTE that is not accessed is not writable either, so that aging marks the page.
    """
    memory(vm, gfn=GFN, npages=16)
    for offset in (0, 1):
        vm.access(gfn=GFN + offset, kind=WRITE)
    for page in (0, 1):
        vm.take_marks(page=page)
    vm.clear_young(page=0, npages=2)
    vm.take_marks(page=0)
    vm.access(gfn=GFN, kind=WRITE)
    vm.take_marks(page=0)
    _unmap(vm)
    vm.take_marks(page=0)
    vm.take_marks(page=1).claim("the host has the page", lambda now: now.outcome[0] >= 0)
    vm.access(gfn=GFN, kind=WRITE)
    vm.take_marks(page=0)
    _unmap(vm)
    _written(vm)


@story(source=SPTE_LOST, about=WRITE_PROTECT)
def marks_while_logging(vm: StoryBuilder) -> None:
    """Logging takes W from pages and gives it back: a page is marked when Dirty is lost, and not else.

    Where there is no Dirty bit, W takes its place.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=WRITE)
    vm.take_marks(page=0)
    log(vm, gfn=GFN, npages=16).claim("protected", lambda now: not now.mapped(GFN).writable)
    vm.take_marks(page=0)
    vm.access(gfn=GFN, kind=WRITE)
    vm.take_marks(page=0)
    vm.get_dirty_log().claim("logged", lambda now: now.logged == {0})
    vm.take_marks(page=0)
    _unmap(vm)
    vm.take_marks(page=0)
    vm.access(gfn=GFN, kind=WRITE)
    vm.take_marks(page=0)
    _unmap(vm)
    _written(vm)


@story(source=SPTE_LOST, about=LOG_BY_PROCESSOR, modes=with_legacy("ept-ad"), pml=1)
def marks_while_the_processor_logs(vm: StoryBuilder) -> None:
    """Logging clears Dirty in the SPTEs: until v6.13 each cleared bit is passed on to the host.

    The bit in the log is for userspace, the mark is for the host's own memory management.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=WRITE).access(gfn=GFN + 1, kind=WRITE)
    for page in (0, 1):
        vm.take_marks(page=page)
    log(vm, gfn=GFN, npages=16).claim("D is clear", lambda now: not now.mapped(GFN).dirty)
    for page in (0, 1):
        vm.take_marks(page=page)
    vm.access(gfn=GFN, kind=WRITE).get_dirty_log()
    vm.claim("logged", lambda now: now.logged == {0})
    for page in (0, 1):
        vm.take_marks(page=page)
    vm.access(gfn=GFN, kind=WRITE)
    _unmap(vm)
    for page in (0, 1):
        vm.take_marks(page=page)
    vm.claim("it was clean when it was unmapped", _clean)


@story(source=SPTE_LOST, about=("tdp_mmu_split_huge_page", "zap_collapsible_spte_range"), modes=TDP_MODES)
def marks_of_a_huge_page(vm: StoryBuilder) -> None:
    """A huge page is split for the log, written in part, mapped whole again and unmapped with its memslot.

    Its marks are one, whatever part of it was written, and each way to lose an SPTE has to leave them.
    """
    memory(vm, gfn=X2M, npages=X2M, level=HUGE)
    vm.access(gfn=X2M, kind=WRITE)
    vm.take_marks(page=0)
    log(vm, gfn=X2M, npages=X2M).claim("split", lambda now: now.mapped(X2M).level == 1)
    vm.take_marks(page=0)
    vm.access(gfn=X2M + 5, kind=WRITE)
    vm.take_marks(page=7)
    log(vm, gfn=X2M, npages=X2M, on=False).take_marks(page=0)
    vm.access(gfn=X2M + 5, kind=WRITE)
    vm.take_marks(page=0)
    vm.set_memory_region(slot=0, gfn=X2M, npages=0, page=0)
    vm.claim("nothing is mapped", lambda now: not now.leaves())
    vm.take_marks(page=0).claim("marked dirty by now", lambda now: _ever_dirty(now, *range(0, 12, 2)))


@story(source=SPTE_LOST, about=("kvm_mmu_zap_all_fast",), vcpus=2)
def marks_when_a_memslot_goes(vm: StoryBuilder) -> None:
    """A memslot is deleted: what was written through it is marked, in every page and of both address spaces.

    All tables go at once, and each SPTE in them is looked at once more.
    """
    memory(vm, gfn=GFN, npages=16)
    memory(vm, gfn=GFN, npages=16, page=0x1000, slot=1, as_id=1)
    vm.access(gfn=GFN, kind=WRITE).access(gfn=GFN + 3, kind=WRITE)
    vm.smm(vcpu=1, on=1).access(vcpu=1, gfn=GFN, kind=WRITE)
    for page in (0, 3, 0x1000):
        vm.take_marks(page=page)
    vm.set_memory_region(slot=0, gfn=GFN, npages=0, page=0)
    for page in (3, 0x1000):
        vm.take_marks(page=page)
    vm.take_marks(page=0).claim(
        "marked dirty by now",
        lambda now: _ever_dirty(now, 0, 6),
    )


@story(source=SPTE_LOST, about=CLEAR_LOG, manual_protect=1)
def marks_when_the_log_is_cleared(vm: StoryBuilder) -> None:
    """KVM_CLEAR_DIRTY_LOG takes W from one page of two: it is marked then or before, the other one stays.

    A page that is cleared and not written again must not be marked a second time.
    """
    memory(vm, gfn=GFN, npages=64, flags=LOG)
    for offset in (0, 1):
        vm.access(gfn=GFN + offset, kind=WRITE)
    for page in (0, 1):
        vm.take_marks(page=page)
    vm.get_dirty_log().clear_dirty_log(first=0, npages=64, mask=1)
    for page in (0, 1):
        vm.take_marks(page=page)
    vm.claim("still writable", lambda now: now.mapped(GFN + 1).writable)
    _unmap(vm, 64)
    for page in (0, 1):
        vm.take_marks(page=page)

# SPDX-License-Identifier: GPL-2.0-only
"""Stories that are told for one fix only, where none of the scenarios has its bug in it.

They have no golden transcripts: kernel and model without the fix, or with it, are what they are held against.
"""

from __future__ import annotations

from collections.abc import Callable

from conformance.interface.options import check_options
from conformance.scenarios.stories.setting import FETCH, HUGE, LOG, READ, READONLY, WRITE, X2M, memory
from conformance.scenarios.story import Script, StoryBuilder

__all__ = ["TOLD"]

GFN = 0x10
"""A gfn that no memslot has at first."""


def protected_while_aged(vm: StoryBuilder) -> None:
    """A huge page whose W is clear because it was aged is protected for the log, and must lose MMU-writable.

    Otherwise the next access gives it back W, and writes to 2M go unrecorded.
    """
    memory(vm, gfn=X2M, npages=X2M, level=HUGE)
    vm.access(gfn=X2M, kind=WRITE)
    vm.clear_young(page=0, npages=X2M)
    vm.set_memory_region(slot=0, gfn=X2M, npages=X2M, page=0, flags=LOG)
    vm.clear_dirty_log(first=0, npages=64, mask=1 << 5)


def split_for_the_first_page(vm: StoryBuilder) -> None:
    """Only the first page of a huge page is cleared: what is to be split ends where it begins."""
    memory(vm, gfn=X2M, npages=X2M, level=HUGE)
    vm.access(gfn=X2M, kind=WRITE)
    vm.set_memory_region(slot=0, gfn=X2M, npages=X2M, page=0, flags=LOG)
    vm.clear_dirty_log(first=0, npages=64, mask=1)


def huge_again_under_the_mitigation(vm: StoryBuilder) -> None:
    """Small pages become a huge one on the host; none was ever executed, so nothing speaks against it."""
    memory(vm, gfn=X2M, npages=X2M)
    vm.access(gfn=X2M, kind=READ).collapse(page=0).access(gfn=X2M, kind=READ)


def executed_before_it_was_huge(vm: StoryBuilder) -> None:
    """The same, but executed while they were small: the table must stay."""
    memory(vm, gfn=X2M, npages=X2M)
    vm.access(gfn=X2M, kind=FETCH).collapse(page=0).access(gfn=X2M, kind=READ)


def executed_after_it_was_aged(vm: StoryBuilder) -> None:
    """A huge page is split to be executed; the small one that the fault is for then allows that already."""
    memory(vm, gfn=X2M, npages=X2M, level=HUGE)
    vm.access(gfn=X2M, kind=WRITE).clear_young(page=0).access(gfn=X2M, kind=FETCH)


def write_to_read_only_memory_during_an_invalidation(vm: StoryBuilder) -> None:
    """A write that would be emulated, on what the host is just taking back."""
    memory(vm, gfn=GFN, npages=16, flags=READONLY)
    vm.notifier_start(page=0, npages=4).access(gfn=GFN, kind=WRITE).notifier_end(page=0, npages=4)


def zapped_page_by_page(vm: StoryBuilder) -> None:
    """Zapping a root gives way for the first time: after its first page, or after its first 1 GiB."""
    memory(vm, gfn=0, npages=16)
    memory(vm, slot=1, gfn=X2M, npages=16, page=X2M)
    vm.access(gfn=0, kind=WRITE).access(gfn=5, kind=WRITE).delete_while_unmapping(slot=1, page=3)


def memory_of_smm_where_mmio_was(vm: StoryBuilder) -> None:
    """In SMM memory appears where the vCPU has just emulated MMIO."""
    memory(vm, gfn=X2M, npages=16)
    memory(vm, gfn=X2M, npages=16, page=X2M, as_id=1)
    vm.smm(on=1).access(gfn=GFN, kind=READ)
    memory(vm, slot=1, gfn=GFN, npages=16, page=2 * X2M, as_id=1)
    vm.access(gfn=GFN, kind=READ)


def entered_without_memory(vm: StoryBuilder) -> None:
    """A vCPU enters before the VM has any memory."""
    vm.enter()


def _told(tell: Callable[[StoryBuilder], None], **options: int) -> Script:
    """What a story comes to, with the VM's end."""
    vm = StoryBuilder(check_options(options))
    tell(vm)
    vm.destroy()
    return Script(tuple(vm.steps), check_options(options))


TOLD = {
    "protected_while_aged": _told(protected_while_aged, manual_protect=3, eager_page_split=0),
    "split_for_the_first_page": _told(split_for_the_first_page, manual_protect=3),
    "huge_again_under_the_mitigation": _told(huge_again_under_the_mitigation, nx_huge_pages=1),
    "executed_before_it_was_huge": _told(executed_before_it_was_huge, nx_huge_pages=1),
    "executed_after_it_was_aged": _told(executed_after_it_was_aged, nx_huge_pages=1),
    "write_to_read_only_memory_during_an_invalidation": _told(
        write_to_read_only_memory_during_an_invalidation
    ),
    "zapped_page_by_page": _told(zapped_page_by_page),
    "memory_of_smm_where_mmio_was": _told(memory_of_smm_where_mmio_was),
    "entered_without_memory": _told(entered_without_memory),
}
"""Every such story by name."""

# SPDX-License-Identifier: GPL-2.0-only
"""Stories for a single fix, whose bug no scenario triggers.

They have no golden transcripts: the kernel is compared with the model with the fix, and with one without.
"""

from __future__ import annotations

from collections.abc import Callable

from conformance.interface.options import check_options
from conformance.scenarios.stories.setting import FETCH, HUGE, LOG, READ, READONLY, WRITE, X2M, memory
from conformance.scenarios.story import Script, StoryBuilder

__all__ = ["EXTRA_STORIES"]

GFN = 0x10
"""A gfn that no memslot has at first."""


def protected_while_aged(vm: StoryBuilder) -> None:
    """A huge page whose W is clear because it was aged is write-protected, and must lose MMU-writable.

    Otherwise the next access sets W again, and writes to 2 MiB are missing from the dirty log.
    """
    memory(vm, gfn=X2M, npages=X2M, level=HUGE)
    vm.access(gfn=X2M, kind=WRITE)
    vm.clear_young(page=0, npages=X2M)
    vm.set_memory_region(slot=0, gfn=X2M, npages=X2M, page=0, flags=LOG)
    vm.clear_dirty_log(first=0, npages=64, mask=1 << 5)


def huge_again_under_the_mitigation(vm: StoryBuilder) -> None:
    """Small pages become a huge page on the host; none was ever executed, so it may be mapped as huge."""
    memory(vm, gfn=X2M, npages=X2M)
    vm.access(gfn=X2M, kind=READ).collapse(page=0).access(gfn=X2M, kind=READ)


def executed_before_it_was_huge(vm: StoryBuilder) -> None:
    """The same, but the small pages were executed: the table must stay."""
    memory(vm, gfn=X2M, npages=X2M)
    vm.access(gfn=X2M, kind=FETCH).collapse(page=0).access(gfn=X2M, kind=READ)


def executed_after_it_was_aged(vm: StoryBuilder) -> None:
    """A huge page is split to be executed; the small SPTE that the fault is for then allows it already."""
    memory(vm, gfn=X2M, npages=X2M, level=HUGE)
    vm.access(gfn=X2M, kind=WRITE).clear_young(page=0).access(gfn=X2M, kind=FETCH)


def write_to_read_only_memory_during_an_invalidation(vm: StoryBuilder) -> None:
    """A write that would be emulated, to a page that the host is reclaiming."""
    memory(vm, gfn=GFN, npages=16, flags=READONLY)
    vm.notifier_start(page=0, npages=4).access(gfn=GFN, kind=WRITE).notifier_end(page=0, npages=4)


def zapped_page_by_page(vm: StoryBuilder) -> None:
    """Zapping a root yields for the first time: after its first page, or after its first 1 GiB."""
    memory(vm, gfn=0, npages=16)
    memory(vm, slot=1, gfn=X2M, npages=16, page=X2M)
    vm.access(gfn=0, kind=WRITE).access(gfn=5, kind=WRITE).delete_while_unmapping(slot=1, page=3)


def entered_without_memory(vm: StoryBuilder) -> None:
    """A vCPU enters before the VM has any memory."""
    vm.enter()


def _script(story: Callable[[StoryBuilder], None], **options: int) -> Script:
    """The steps of a story, the destruction of the VM included."""
    vm = StoryBuilder(check_options(options))
    story(vm)
    vm.destroy()
    return Script(tuple(vm.steps), check_options(options))


EXTRA_STORIES = {
    "protected_while_aged": _script(protected_while_aged, manual_protect=3, eager_page_split=0),
    "huge_again_under_the_mitigation": _script(huge_again_under_the_mitigation, nx_huge_pages=1),
    "executed_before_it_was_huge": _script(executed_before_it_was_huge, nx_huge_pages=1),
    "executed_after_it_was_aged": _script(executed_after_it_was_aged, nx_huge_pages=1),
    "write_to_read_only_memory_during_an_invalidation": _script(
        write_to_read_only_memory_during_an_invalidation
    ),
    "zapped_page_by_page": _script(zapped_page_by_page),
    "entered_without_memory": _script(entered_without_memory),
}
"""Every such story by name."""

# SPDX-License-Identifier: GPL-2.0-only
"""Where the dirty log begins and ends: first and last pages, words, huge pages, memslots, processors."""

from __future__ import annotations

from conformance.kernels.substitutions import KVM_MAIN_C, MMU_C, Substitution
from conformance.model.changes import FLUSH_REQUEST_STATISTICS, HUGE_PAGES_PROTECTED_LAZILY
from conformance.scenarios.modes import with_legacy
from conformance.scenarios.stories.functions import CLEAR_LOG, LOG_BY_PROCESSOR, READ_LOG, WRITE_PROTECT_HUGE
from conformance.scenarios.stories.setting import HUGE, LOG, READ, READONLY, WRITE, X2M, memory
from conformance.scenarios.story import Mutant, StoryBuilder, story

GFN, OTHER = 0x100, 0x200
ALL = (1 << 64) - 1
PML = "Documentation/virt/kvm/api.rst: KVM_GET_DIRTY_LOG; page modification logging"


@story(source="Documentation/virt/kvm/api.rst: KVM_GET_DIRTY_LOG", about=READ_LOG)
def last_page_of_the_log(vm: StoryBuilder) -> None:
    """The last page of a memslot, and pages on both sides of a word of the log, are protected and logged.

    Each is written twice, since the second round depends on the protection that the first restored.
    """
    memory(vm, gfn=GFN, npages=0x90)
    offsets = {0, 0x3F, 0x40, 0x8F}
    for offset in sorted(offsets):
        vm.access(gfn=GFN + offset, kind=WRITE)
    vm.set_memory_region(gfn=GFN, npages=0x90, page=0, flags=LOG)
    vm.claim("all are protected", lambda now: not any(leaf.writable for leaf in now.leaves()))
    for _ in range(2):
        for offset in sorted(offsets):
            vm.access(gfn=GFN + offset, kind=WRITE)
        vm.get_dirty_log().claim("all are logged", lambda now: now.logged == offsets)
    vm.get_dirty_log().claim("none is left", lambda now: now.logged == set())


@story(
    source="mmu.c: kvm_arch_mmu_enable_log_dirty_pt_masked()",
    about=WRITE_PROTECT_HUGE,
    manual_protect=3,
    eager_page_split=0,
    mutants=[
        Mutant(
            "of two huge pages under one word of the log only the first is protected",
            Substitution(
                MMU_C,
                "if (ALIGN(start << PAGE_SHIFT, PMD_SIZE) !=",
                "if (0 && ALIGN(start << PAGE_SHIFT, PMD_SIZE) !=",
            ),
        ),
    ],
)
def two_huge_pages_in_one_word_of_the_log(vm: StoryBuilder) -> None:
    """One word of the log spans the edge between two huge pages: both are protected when it is cleared.

    The memslot begins in the middle of a huge page, so that words of its log are not aligned to 2M.
    """
    gfn, npages = 0x3F0, 0x410
    vm.mmap(page=X2M, npages=4 * X2M, level=HUGE)
    vm.set_memory_region(gfn=gfn, npages=npages, page=gfn)
    for written in (gfn, 0x400, 0x600):
        vm.access(gfn=written, kind=WRITE)
    vm.set_memory_region(gfn=gfn, npages=npages, page=gfn, flags=LOG)
    vm.claim(
        "nothing is protected yet", lambda now: now.mapped(0x400).writable, since=HUGE_PAGES_PROTECTED_LAZILY
    )
    vm.clear_dirty_log(first=0, npages=64, mask=ALL)
    vm.claim("the small page is", lambda now: not now.mapped(gfn).writable)
    vm.claim("the huge one, too", lambda now: not now.mapped(0x400).writable)
    vm.claim("the next is not", lambda now: now.mapped(0x600).writable, since=HUGE_PAGES_PROTECTED_LAZILY)
    vm.access(gfn=0x400, kind=WRITE).claim("written again", lambda now: 0x10 in now.dirty())


@story(
    source="Documentation/virt/kvm/api.rst: KVM_MEM_READONLY with KVM_MEM_LOG_DIRTY_PAGES",
    about=("kvm_get_dirty_log_protect", "kvm_alloc_dirty_bitmap"),
)
def log_of_a_read_only_memslot(vm: StoryBuilder) -> None:
    """Logging on a read-only memslot: there is a log, and it stays empty.

    Switching it on or off protects, splits and flushes nothing, since nothing is writable.
    """
    memory(vm, gfn=GFN, npages=16, flags=READONLY)
    vm.access(gfn=GFN, kind=READ)
    vm.set_memory_region(gfn=GFN, npages=16, page=0, flags=READONLY | LOG)
    vm.claim("no flush", lambda now: now.grown.flush_requests == 0, since=FLUSH_REQUEST_STATISTICS)
    vm.access(gfn=GFN + 1, kind=READ).access(gfn=GFN + 1, kind=WRITE)
    vm.get_dirty_log().claim("nothing is logged", lambda now: now.outcome == [0, 0])
    vm.set_memory_region(gfn=GFN, npages=16, page=0, flags=READONLY)
    vm.claim("still mapped", lambda now: len(now.leaves()) == 2)


@story(
    source="Documentation/virt/kvm/api.rst: KVM_SET_USER_MEMORY_REGION, moving a memslot",
    about=("kvm_move_memslot", "kvm_invalidate_memslot"),
)
def logged_memslot_moved(vm: StoryBuilder) -> None:
    """A memslot that logs is moved: what was dirty stays dirty, at the same offset, and logging continues.

    The log belongs to the memslot, not to its gfns.
    """
    memory(vm, gfn=GFN, npages=16, flags=LOG)
    vm.access(gfn=GFN + 1, kind=WRITE).claim("dirty", lambda now: now.dirty() == {1})
    vm.set_memory_region(gfn=OTHER, npages=16, page=0, flags=LOG)
    vm.claim("nothing is mapped", lambda now: not now.leaves())
    vm.claim("the log went along", lambda now: now.dirty() == {1})
    vm.access(gfn=OTHER + 3, kind=WRITE)
    vm.get_dirty_log().claim("both", lambda now: now.logged == {1, 3})


@story(
    source=PML,
    about=("kvm_clear_dirty_log_protect", "kvm_mmu_clear_dirty_pt_masked", "clear_dirty_pt_masked"),
    modes=with_legacy("ept-ad"),
    pml=1,
    manual_protect=1,
    vcpus=2,
)
def logs_of_two_processors(vm: StoryBuilder) -> None:
    """Two processors log what they made dirty: both logs are drained before userspace reads.

    A page cleaned in between is logged again by the next vCPU that writes it.
    """
    memory(vm, gfn=GFN, npages=16, flags=LOG)
    vm.access(vcpu=0, gfn=GFN, kind=WRITE).access(vcpu=1, gfn=GFN + 1, kind=WRITE)
    vm.get_dirty_log().claim("both", lambda now: now.logged == {0, 1})
    vm.clear_dirty_log(first=0, npages=16, mask=0xFFFF)
    vm.access(vcpu=0, gfn=GFN, kind=WRITE).access(vcpu=1, gfn=GFN + 2, kind=WRITE)
    vm.get_dirty_log().claim("both again", lambda now: now.logged == {0, 2})


@story(
    source=PML,
    about=(*LOG_BY_PROCESSOR, "kvm_mmu_update_cpu_dirty_logging"),
    modes=with_legacy("ept-ad"),
    pml=1,
)
def logging_by_the_processor_while_any_memslot_logs(vm: StoryBuilder) -> None:
    """Two memslots begin and end logging one after the other: the processor logs from the first to the last.

    KVM counts the memslots that log, and updates vCPUs only when the first begins and the last ends.
    """
    memory(vm, gfn=GFN, npages=16)
    memory(vm, slot=1, gfn=OTHER, npages=16, page=0x100)
    vm.access(gfn=GFN, kind=WRITE).access(gfn=OTHER, kind=WRITE)
    vm.set_memory_region(slot=0, gfn=GFN, npages=16, page=0, flags=LOG).enter()
    vm.set_memory_region(slot=1, gfn=OTHER, npages=16, page=0x100, flags=LOG).enter()
    vm.set_memory_region(slot=0, gfn=GFN, npages=16, page=0).enter()
    vm.access(gfn=OTHER, kind=WRITE)
    vm.get_dirty_log(slot=1).claim("still logged", lambda now: now.logged == {0})
    vm.set_memory_region(slot=1, gfn=OTHER, npages=16, page=0x100).enter()
    vm.access(gfn=OTHER, kind=WRITE).claim("no log is left", lambda now: not now.dirty(1))


@story(
    source="Documentation/virt/kvm/api.rst: KVM_CLEAR_DIRTY_LOG",
    about=CLEAR_LOG,
    manual_protect=1,
    mutants=[
        Mutant(
            "the last word of the log is cleared only if it is a whole one",
            Substitution(
                KVM_MAIN_C,
                "n = DIV_ROUND_UP(log->num_pages, BITS_PER_LONG); n--;",
                "n = log->num_pages / BITS_PER_LONG; n--;",
            ),
        ),
    ],
)
def clear_of_the_last_word_in_part(vm: StoryBuilder) -> None:
    """The log of 100 pages ends within its second word: that part can be cleared, and nothing beyond it.

    A length that does not end at a word is allowed at the end of the memslot only.
    """
    invalid = [-22]
    memory(vm, gfn=GFN, npages=100, flags=LOG)
    for offset in (0, 99):
        vm.access(gfn=GFN + offset, kind=WRITE)
    vm.clear_dirty_log(first=64, npages=36, mask=ALL).claim("cleared", lambda now: now.dirty() == {0})
    vm.claim("protected", lambda now: not now.mapped(GFN + 99).writable)
    vm.access(gfn=GFN + 99, kind=WRITE).claim("written again", lambda now: now.dirty() == {0, 99})
    vm.clear_dirty_log(first=192, npages=1, mask=1).claim("behind", lambda now: now.outcome == invalid)
    vm.clear_dirty_log(first=64, npages=64, mask=1).claim("beyond", lambda now: now.outcome == invalid)
    vm.clear_dirty_log(first=0, npages=10, mask=1).claim("a part", lambda now: now.outcome == invalid)
    vm.claim("nothing was cleared", lambda now: now.dirty() == {0, 99})


@story(source=PML, about=(*LOG_BY_PROCESSOR, "kvm_vcpu_mark_page_dirty"), modes=with_legacy("ept-ad"), pml=1)
def last_page_of_the_processors_log(vm: StoryBuilder) -> None:
    """Where the processor logs, the first and the last page of a memslot lose D when logging begins.

    Writes to a page that kept D would never be logged.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=WRITE).access(gfn=GFN + 15, kind=WRITE)
    vm.set_memory_region(gfn=GFN, npages=16, page=0, flags=LOG)
    vm.claim("none is dirty", lambda now: not any(leaf.dirty for leaf in now.leaves()))
    vm.access(gfn=GFN + 15, kind=WRITE).access(gfn=GFN, kind=WRITE)
    vm.get_dirty_log().claim("both are logged", lambda now: now.logged == {0, 15})

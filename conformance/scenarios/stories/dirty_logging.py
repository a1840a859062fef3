# SPDX-License-Identifier: GPL-2.0-only
"""Dirty logging by write-protection: switched on, guest writes, read by userspace, switched off."""

from __future__ import annotations

from conformance.interface.access import End, Exit
from conformance.kernels.substitutions import MMU_C, TDP_C, Substitution
from conformance.model.changes import FAULT_STATISTICS, FLUSH_REQUEST_STATISTICS, PAGE_STATISTICS
from conformance.scenarios.modes import TDP_MODES
from conformance.scenarios.stories.functions import COLLAPSE, READ_LOG, WRITE_PROTECT
from conformance.scenarios.stories.setting import HUGE, LOG, READ, WRITE, X2M, memory
from conformance.scenarios.stories.sources import FAST_PAGE_FAULT, RESTART, WRITABLE_BITS
from conformance.scenarios.story import Mutant, StoryBuilder, story

GFN = 0x100
API = "Documentation/virt/kvm/api.rst: KVM_GET_DIRTY_LOG"


def log(
    vm: StoryBuilder, *, gfn: int, npages: int, page: int = 0, slot: int = 0, on: bool = True
) -> StoryBuilder:
    """Switch dirty logging of a memslot on or off."""
    vm.set_memory_region(slot=slot, gfn=gfn, npages=npages, page=page, flags=LOG if on else 0)
    return vm


@story(
    source=WRITABLE_BITS + ": case 1",
    about=WRITE_PROTECT,
    mutants=[
        Mutant(
            "write-protection for the log clears MMU-writable, too",
            Substitution(
                TDP_C,
                "new_spte = iter.old_spte & ~PT_WRITABLE_MASK;\n\n\t\tif (tdp_mmu_set_spte_atomic",
                "new_spte = iter.old_spte & ~(PT_WRITABLE_MASK | shadow_mmu_writable_mask);\n\n"
                "\t\tif (tdp_mmu_set_spte_atomic",
            ),
        ),
    ],
)
def logging_write_protects(vm: StoryBuilder) -> None:
    """Dirty logging is switched on: mapped pages lose W, but stay MMU-writable.

    The next write must exit to be recorded. MMU-writable stays, since the guest may write as soon as that is
    done, and TLBs are flushed, since they may still allow writing.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=WRITE).claim("writable at first", lambda now: now.mapped(GFN).writable)
    log(vm, gfn=GFN, npages=16)
    vm.claim("no longer", lambda now: not now.mapped(GFN).writable)
    vm.claim("MMU-writable stays", lambda now: now.mapped(GFN).mmu_writable and now.mapped(GFN).host_writable)
    vm.claim(
        "a flush was asked for", lambda now: now.grown.flush_requests >= 1, since=FLUSH_REQUEST_STATISTICS
    )
    vm.claim("nothing is dirty yet", lambda now: now.dirty() == set())


@story(
    source=FAST_PAGE_FAULT,
    about=("fast_page_fault", "fast_pf_fix_direct_spte", "mark_page_dirty_in_slot"),
    mutants=[
        Mutant(
            "W is set again without recording the page",
            Substitution(
                MMU_C,
                "if (is_writable_pte(new_spte) && !is_writable_pte(old_spte))\n\t\tmark_page_dirty_in_slot",
                "if (0)\n\t\tmark_page_dirty_in_slot",
            ),
        ),
        Mutant(
            "W is set again without recording the page",
            Substitution(
                MMU_C,
                "if (is_writable_pte(new_spte) && !is_writable_pte(old_spte))\n\t\tmark_page_dirty_in_slot",
                "if (0)\n\t\tmark_page_dirty_in_slot",
                "7.3",
            ),
        ),
    ],
)
def write_after_logging_began(vm: StoryBuilder) -> None:
    """The first write after logging began is fixed by fast_page_fault(), and recorded.

    It only sets W again, without mmu_lock; the gfn must be in the bitmap before the guest can write.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN + 5, kind=WRITE)
    log(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN + 5, kind=WRITE)
    vm.claim("one exit, fixed", lambda now: now.outcome == [Exit.FIXED, End.DONE])
    vm.claim("by the fast path", lambda now: now.grown.pf_fast == 1, since=FAULT_STATISTICS)
    vm.claim("W is set again", lambda now: now.mapped(GFN + 5).writable)
    vm.claim("the page is in the bitmap", lambda now: now.dirty() == {5})
    vm.access(gfn=GFN + 5, kind=WRITE).claim("the next write is free", lambda now: now.outcome == [End.DONE])


@story(
    source=API,
    about=READ_LOG,
    mutants=[
        Mutant(
            "a dirty bit cleared without recording: the log's own write-protection is recorded as a write",
            Substitution(TDP_C, "_tdp_mmu_set_spte(kvm, iter, new_spte, true, false);", "return;"),
        ),
    ],
)
def get_dirty_log(vm: StoryBuilder) -> None:
    """KVM_GET_DIRTY_LOG returns what was written, clears it and write-protects it again.

    A write after it is therefore in the next log; one between bitmap and write-protection cannot be lost.
    """
    memory(vm, gfn=GFN, npages=80, flags=LOG)
    for offset in (0, 63, 64, 79):
        vm.access(gfn=GFN + offset, kind=WRITE)
    vm.get_dirty_log().claim("all writes are told", lambda now: now.logged == {0, 63, 64, 79})
    vm.claim("the bitmap is empty", lambda now: now.dirty() == set())
    vm.claim("none is writable", lambda now: not any(leaf.writable for leaf in now.leaves()))
    vm.claim(
        "a flush was asked for", lambda now: now.grown.flush_requests >= 1, since=FLUSH_REQUEST_STATISTICS
    )
    vm.access(gfn=GFN + 64, kind=WRITE).claim(
        "fixed fast", lambda now: now.grown.pf_fast == 1, since=FAULT_STATISTICS
    )
    vm.get_dirty_log().claim("only the new write is told", lambda now: now.logged == {64})
    vm.get_dirty_log().claim("then nothing", lambda now: now.logged == set())
    vm.claim("without a flush", lambda now: now.grown.flush_requests == 0, since=FLUSH_REQUEST_STATISTICS)


@story(
    source='commit bcc4f2bc5026 ("KVM: MMU: mark page dirty in make_spte") in v5.16',
    about=("make_spte", "mark_page_dirty_in_slot"),
)
def first_touch_while_logging(vm: StoryBuilder) -> None:
    """A page first touched while logging is on is in the log if it is mapped writable.

    That holds for a read, too: a page that the guest may write without an exit counts as written.
    """
    memory(vm, gfn=GFN, npages=16, flags=LOG)
    vm.touch(page=1, write=1)
    vm.access(gfn=GFN, kind=WRITE).claim("a write is recorded", lambda now: 0 in now.dirty())
    vm.access(gfn=GFN + 1, kind=READ)
    vm.claim("recorded if writable", lambda now: (1 in now.dirty()) == now.mapped(GFN + 1).writable)
    vm.access(gfn=GFN + 2, kind=READ).claim("the zero page is not", lambda now: 2 not in now.dirty())


@story(
    source="arch/x86/kvm/x86.c: kvm_mmu_slot_apply_flags()",
    about=COLLAPSE,
    mutants=[
        Mutant(
            "a missing flush when an SPTE is zapped atomically",
            Substitution(
                TDP_C,
                "kvm_flush_remote_tlbs_with_address(kvm, iter->gfn,\n"
                "\t\t\t\t\t   KVM_PAGES_PER_HPAGE(iter->level));",
                "",
            ),
        ),
        Mutant(
            "mappings that could be huge are kept when logging ends",
            Substitution(
                TDP_C, "if (max_mapping_level < iter.level)", "if (max_mapping_level <= iter.level)"
            ),
        ),
        Mutant(
            "a missing flush after huge pages were recovered",
            Substitution(
                TDP_C,
                "flush = true;\n\t}\n\n\tif (flush)\n\t\tkvm_flush_remote_tlbs_memslot",
                "}\n\n\tif (flush)\n\t\tkvm_flush_remote_tlbs_memslot",
                "7.3",
            ),
        ),
    ],
)
def logging_switched_off(vm: StoryBuilder) -> None:
    """Logging is switched off: small mappings of a huge page are replaced by a huge one.

    They are zapped, to be faulted in huge; since commit 13e2e4f62a4b in v6.13 the huge page is mapped
    in their place. In both cases the guest ends with 2M after its next access.
    """
    memory(vm, gfn=X2M, npages=X2M, level=HUGE, flags=LOG)
    vm.access(gfn=X2M + 1, kind=WRITE).access(gfn=X2M + 2, kind=WRITE)
    vm.claim("4K while logging", lambda now: {leaf.level for leaf in now.leaves()} == {1})
    log(vm, gfn=X2M, npages=X2M, on=False)
    vm.claim("none of 4K is left", lambda now: now.state.pages_4k == 0, since=PAGE_STATISTICS)
    vm.claim(
        "a flush was asked for", lambda now: now.grown.flush_requests >= 1, since=FLUSH_REQUEST_STATISTICS
    )
    vm.access(gfn=X2M + 1, kind=WRITE).claim("2M", lambda now: now.mapped(X2M + 1).level == HUGE)
    vm.claim("writable", lambda now: now.mapped(X2M + 1).writable)


@story(source="arch/x86/kvm/x86.c: kvm_mmu_slot_apply_flags()", about=WRITE_PROTECT)
def logging_off_and_on_again(vm: StoryBuilder) -> None:
    """Small memory through two periods of logging: W is set again only by writes.

    Pages that were not written stay write-protected when logging ends; the next write is fixed fast.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=WRITE)
    log(vm, gfn=GFN, npages=16)
    log(vm, gfn=GFN, npages=16, on=False).claim("still protected", lambda now: not now.mapped(GFN).writable)
    vm.access(gfn=GFN, kind=WRITE).claim(
        "fixed fast", lambda now: now.grown.pf_fast == 1, since=FAULT_STATISTICS
    )
    log(vm, gfn=GFN, npages=16).claim("protected again", lambda now: not now.mapped(GFN).writable)
    vm.get_dirty_log().claim("the new log is empty", lambda now: now.logged == set())


@story(
    source="virt/kvm/kvm_main.c: the flush comes before the copy to user space",
    about=(
        "kvm_get_dirty_log_protect",
        "kvm_arch_flush_remote_tlbs_memslot",
        "kvm_flush_remote_tlbs_memslot",
        "kvm_vcpu_flush_tlb_all",
    ),
    vcpus=2,
)
def stale_tlb_while_logging(vm: StoryBuilder) -> None:
    """A vCPU that caches a writable translation must drop it before the log is returned.

    Otherwise its next write would change memory without being in any log.
    """
    memory(vm, gfn=GFN, npages=16, flags=LOG)
    vm.access(vcpu=0, gfn=GFN, kind=WRITE)
    vm.access(vcpu=1, gfn=GFN, kind=WRITE).claim("cached writable", lambda now: now.cached(GFN, 1))
    vm.get_dirty_log().claim("told", lambda now: now.logged == {0})
    vm.access(vcpu=1, gfn=GFN, kind=WRITE).claim("its write exits", lambda now: len(now.exits) == 1)
    vm.claim("and is recorded", lambda now: now.dirty() == {0})


@story(
    source="virt/kvm/kvm_main.c: kvm_get_dirty_log_protect()",
    about=("kvm_vm_ioctl_get_dirty_log", "kvm_get_dirty_log_protect"),
)
def log_of_what_has_none(vm: StoryBuilder) -> None:
    """Reading the log of a memslot that has none, or does not exist, is an error.

    Nothing changes.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=WRITE)
    vm.get_dirty_log(slot=0).claim("-ENOENT", lambda now: now.outcome == [-2])
    vm.get_dirty_log(slot=7).claim("-ENOENT", lambda now: now.outcome == [-2])
    vm.claim("still writable", lambda now: now.mapped(GFN).writable)


@story(
    modes=TDP_MODES,
    source=RESTART,
    about=(*WRITE_PROTECT, "tdp_mmu_split_huge_pages_root", "tdp_mmu_iter_cond_resched"),
)
def logging_while_yielding(vm: StoryBuilder) -> None:
    """Splitting and write-protecting yield when they must, and miss nothing.

    A walk that yields must continue at the entry where it stopped, in the tables as they are then.
    """
    memory(vm, gfn=0, npages=3 * X2M, level=HUGE)
    for gfn in (0, X2M, 2 * X2M):
        vm.access(gfn=gfn, kind=WRITE)
    vm.madvise_dontneed(page=X2M + 1)
    vm.access(gfn=X2M, kind=WRITE).access(gfn=X2M + 2, kind=WRITE)
    vm.resched(on=1)
    log(vm, gfn=0, npages=3 * X2M)
    vm.claim("4K everywhere", lambda now: {leaf.level for leaf in now.leaves()} == {1})
    vm.claim("all that was mapped", lambda now: len(now.leaves()) == 2 * 512 + 2)
    vm.claim("nothing writable", lambda now: not any(leaf.writable for leaf in now.leaves()))
    vm.resched(on=0)

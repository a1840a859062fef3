# SPDX-License-Identifier: GPL-2.0-only
"""Aging: the host asks which pages the guest uses, by Accessed bits or by access tracking."""

from __future__ import annotations

from conformance.interface.access import End, Exit
from conformance.kernels.substitutions import MMU_C, TDP_C, Substitution
from conformance.model.changes import FAULT_STATISTICS, FLUSH_REQUEST_STATISTICS
from conformance.scenarios.modes import with_legacy
from conformance.scenarios.stories.functions import AGING
from conformance.scenarios.stories.setting import HUGE, LOG, READ, WRITE, X2M, memory
from conformance.scenarios.stories.sources import WRITABLE_BITS, XCHG
from conformance.scenarios.story import Mutant, StoryBuilder, story

GFN = 0x100
AGE = "arch/x86/kvm/mmu/tdp_mmu.c: age_gfn_range(); " + XCHG


@story(
    source=AGE,
    about=(*AGING, "kvm_mmu_notifier_test_young", "kvm_mmu_notifier_clear_flush_young"),
    modes=with_legacy("ept-ad", "npt"),
    mutants=[
        Mutant(
            "aging leaves Accessed set", Substitution(TDP_C, "new_spte &= ~shadow_accessed_mask;", ""), "npt"
        ),
        Mutant(
            "everything mapped is young",
            Substitution(TDP_C, "return is_accessed_spte(iter->old_spte);", "return true;"),
        ),
    ],
)
def aged_by_accessed_bits(vm: StoryBuilder) -> None:
    """Aging clears Accessed, and the processor sets it again with the next walk.

    Nothing is unmapped, and the guest does not exit.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=WRITE)
    vm.test_young(page=0).claim("young", lambda now: now.outcome == [1])
    vm.clear_flush_young(page=0).claim("it was young", lambda now: now.outcome == [1])
    vm.claim("Accessed is clear", lambda now: not now.mapped(GFN).accessed)
    vm.test_young(page=0).claim("old", lambda now: now.outcome == [0])
    vm.clear_flush_young(page=0).claim("still old", lambda now: now.outcome == [0])
    vm.access(gfn=GFN, kind=READ).claim("no exit", lambda now: now.outcome == [End.DONE])


@story(
    source=AGE,
    about=(*AGING, "mark_spte_for_access_track", "restore_acc_track_spte", "fast_page_fault"),
    modes=with_legacy("ept-noad"),
    vcpus=2,
    mutants=[
        Mutant(
            "an access-tracked SPTE is not restored",
            Substitution(
                MMU_C, "if (unlikely(!kvm_ad_enabled()) && is_access_track_spte(spte))\n", "if (0)\n"
            ),
            "ept-noad",
        ),
        Mutant(
            "aging without A/D bits changes nothing",
            Substitution(TDP_C, "new_spte = mark_spte_for_access_track(new_spte);", ""),
            "ept-noad",
        ),
        Mutant(
            "aging without A/D bits changes nothing",
            Substitution(
                TDP_C,
                "new_spte = mark_spte_for_access_track(iter->old_spte);",
                "new_spte = iter->old_spte;",
                "7.3",
            ),
            "ept-noad",
        ),
    ],
)
def aged_by_access_tracking(vm: StoryBuilder) -> None:
    """Without Accessed bits, aging clears R and X and saves them in the SPTE.

    The next access faults, fast_page_fault() restores them, and the page counts as used. It comes from
    another vCPU, since the one that caches the translation may use it until it flushes.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=WRITE)
    vm.clear_flush_young(page=0).claim("it was young", lambda now: now.outcome == [1])
    vm.claim("old now", lambda now: not now.mapped(GFN).accessed)
    vm.test_young(page=0).claim("told so", lambda now: now.outcome == [0])
    vm.access(vcpu=1, gfn=GFN, kind=READ).claim("an access exits", lambda now: now.outcome[0] == Exit.FIXED)
    vm.claim("fixed by the fast path", lambda now: now.grown.pf_fast == 1, since=FAULT_STATISTICS)
    vm.claim("young again", lambda now: now.mapped(GFN).accessed)
    vm.test_young(page=0).claim("told so", lambda now: now.outcome == [1])


@story(
    source=AGE,
    about=(*AGING, "mark_spte_for_access_track", "restore_acc_track_spte", "fast_page_fault"),
    modes=with_legacy("ept-noad"),
    vcpus=2,
)
def write_to_an_aged_page(vm: StoryBuilder) -> None:
    """A write to an access-tracked page gets R, X and W back in one exit.

    W was cleared too, and MMU-writable allows to restore it.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=WRITE)
    vm.clear_flush_young(page=0)
    vm.access(vcpu=1, gfn=GFN, kind=WRITE).claim("it gets through", lambda now: now.end == End.DONE)
    vm.claim("writable", lambda now: now.mapped(GFN).writable)


@story(
    source="mm/mmu_notifier.c: .clear_young() leaves TLBs alone",
    about=("kvm_mmu_notifier_clear_young", "kvm_age_gfn"),
)
def aged_without_a_flush(vm: StoryBuilder) -> None:
    """.clear_young() ages a page and requests no flush.

    A page whose translation is cached may therefore look unused for a while, which is accepted.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=WRITE)
    vm.clear_young(page=0).claim("it was young", lambda now: now.outcome == [1])
    vm.claim("old now", lambda now: not now.mapped(GFN).accessed)
    vm.claim("no flush", lambda now: now.grown.flush_requests == 0, since=FLUSH_REQUEST_STATISTICS)


@story(source=AGE, about=(*AGING, "kvm_mmu_notifier_test_young", "kvm_test_age_gfn"))
def aging_of_a_range(vm: StoryBuilder) -> None:
    """A range is young if any page in it is; aging it makes all of it old, huge pages too.

    Pages outside of the range keep their age.
    """
    memory(vm, gfn=0, npages=0x100)
    memory(vm, slot=1, gfn=X2M, npages=X2M, page=X2M, level=HUGE)
    for gfn in (0x10, 0x20, X2M):
        vm.access(gfn=gfn, kind=WRITE)
    vm.test_young(page=0x11).claim("nothing used there", lambda now: now.outcome == [0])
    vm.clear_flush_young(page=0x20, npages=X2M).claim("used", lambda now: now.outcome == [1])
    vm.claim("old", lambda now: not now.mapped(0x20).accessed and not now.mapped(X2M).accessed)
    vm.claim("but the page before", lambda now: now.mapped(0x10).accessed)


@story(
    source="arch/x86/kvm/mmu: what is not mapped cannot be young",
    about=("kvm_test_age_gfn", "kvm_tdp_mmu_test_age_gfn", "kvm_mmu_notifier_clear_young"),
)
def aging_of_what_is_not_mapped(vm: StoryBuilder) -> None:
    """A page that the guest never used is old, and aging it changes nothing.

    The same holds for a page that was unmapped meanwhile.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.test_young(page=0).claim("old", lambda now: now.outcome == [0])
    vm.access(gfn=GFN, kind=WRITE)
    vm.madvise_dontneed(page=0)
    vm.test_young(page=0).claim("old again", lambda now: now.outcome == [0])
    vm.clear_young(page=0, npages=16).claim("nothing to age", lambda now: now.outcome == [0])


@story(source=WRITABLE_BITS, about=(*AGING, "wrprot_gfn_range"))
def aged_while_logging(vm: StoryBuilder) -> None:
    """Aging and dirty logging of one page: neither may undo the other.

    Restoring access must not restore W, or a write would be missing in the log.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=WRITE)
    vm.set_memory_region(gfn=GFN, npages=16, flags=LOG, page=0)
    vm.clear_flush_young(page=0).claim("old", lambda now: not now.mapped(GFN).accessed)
    vm.access(gfn=GFN, kind=READ).claim("read gets through", lambda now: now.end == End.DONE)
    vm.claim("not writable", lambda now: not now.mapped(GFN).writable)
    vm.claim("not dirty", lambda now: now.dirty() == set())
    vm.access(gfn=GFN, kind=WRITE).claim("a write is recorded", lambda now: now.dirty() == {0})

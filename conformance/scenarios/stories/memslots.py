# SPDX-License-Identifier: GPL-2.0-only
"""Memslots are deleted, moved and created again: roots are invalidated, zapped and replaced."""

from __future__ import annotations

from conformance.interface.access import End, Exit
from conformance.kernels.substitutions import ITER_C, TDP_C, Substitution
from conformance.model.changes import FLUSH_REQUEST_STATISTICS, PAGE_STATISTICS
from conformance.scenarios.modes import TDP_MODES
from conformance.scenarios.stories.functions import UNMAP, ZAP_ROOTS
from conformance.scenarios.stories.setting import HUGE, READ, READONLY, WRITE, X1G, X2M, memory
from conformance.scenarios.story import Mutant, StoryBuilder, story

GFN = 0x100
X512G = 0x8000000
"""The first gfn under the second entry of a root."""
ALL_ROOTS = (
    'commit d62007edf01f ("KVM: x86/mmu: Zap _all_ roots when unmapping gfn range in TDP MMU") in v5.18'
)
ZAP_FAST = "arch/x86/kvm/mmu/mmu.c: kvm_mmu_zap_all_fast(); Documentation/virt/kvm/x86/mmu.rst"


@story(
    source=ZAP_FAST,
    about=(*ZAP_ROOTS, "kvm_delete_memslot", "kvm_invalidate_memslot", "kvm_mmu_free_obsolete_roots"),
    mutants=[
        Mutant(
            "roots are not invalidated when a memslot goes",
            Substitution(
                TDP_C,
                "root->tdp_mmu_scheduled_root_to_zap = true;\n\t\t\troot->role.invalid = true;",
                "root->tdp_mmu_scheduled_root_to_zap = false;",
            ),
        ),
        Mutant(
            "invalidated roots are not zapped", Substitution(TDP_C, "tdp_mmu_zap_root(kvm, root, true);", "")
        ),
    ],
)
def memslot_deleted(vm: StoryBuilder) -> None:
    """Deleting a memslot invalidates the roots and zaps all they map; the vCPU gets a new root.

    Other memslots' pages fault in again under the new root.
    """
    memory(vm, gfn=GFN, npages=16)
    memory(vm, slot=1, gfn=X2M, npages=16, page=X2M)
    vm.access(gfn=GFN, kind=WRITE).access(gfn=X2M, kind=WRITE)
    vm.set_memory_region(gfn=GFN, npages=0, page=0).claim("accepted", lambda now: now.outcome == [0])
    vm.claim("no valid root is left", lambda now: not now.valid_roots())
    vm.claim("nothing is counted as mapped", lambda now: now.state.pages_4k == 0, since=PAGE_STATISTICS)
    vm.access(gfn=X2M, kind=READ).claim(
        "the other memslot comes back", lambda now: now.outcome == [Exit.FIXED, End.DONE]
    )
    vm.claim("under a new root", lambda now: len(now.valid_roots()) == 1)
    vm.access(gfn=GFN, kind=READ).claim("the deleted one does not", lambda now: now.end == End.EMULATED)


@story(source=ZAP_FAST, about=("kvm_move_memslot", "kvm_invalidate_memslot"))
def memslot_moved(vm: StoryBuilder) -> None:
    """A memslot that moves is mapped at its new gfns, and no longer at the old.

    The memory behind it stays the same.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN + 1, kind=WRITE)
    vm.set_memory_region(gfn=0x1000, npages=16, page=0).claim("accepted", lambda now: now.outcome == [0])
    vm.access(gfn=0x1001, kind=WRITE).claim("mapped there", lambda now: now.mapped(0x1001).writable)
    vm.claim("the same page", lambda now: now.mapped(0x1001).pfn == now.before.before.mapped(GFN + 1).pfn)
    vm.access(gfn=GFN + 1, kind=READ).claim("MMIO here", lambda now: now.end == End.EMULATED)


@story(source=ZAP_FAST, about=("kvm_delete_memslot", "kvm_create_memslot", "tdp_mmu_zap_root"))
def memslot_made_again(vm: StoryBuilder) -> None:
    """A memslot is deleted and created again over other memory: the old memory must not be visible.

    That holds for page tables and TLB alike.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=WRITE)
    vm.set_memory_region(gfn=GFN, npages=0, page=0)
    memory(vm, gfn=GFN, npages=16, page=0x1000)
    vm.access(gfn=GFN, kind=WRITE).claim("faulted in", lambda now: now.outcome == [Exit.FIXED, End.DONE])
    vm.claim("another page", lambda now: now.mapped(GFN).pfn == 0x100201)


@story(
    source="virt/kvm/kvm_main.c: __kvm_set_memory_region()",
    about=("__kvm_set_memory_region", "kvm_set_memory_region", "kvm_check_memslot_overlap"),
)
def memslots_refused(vm: StoryBuilder) -> None:
    """Memslots that overlap, change their size or their read-only flag are refused, and nothing changes.

    The guest continues with the old memslots.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=WRITE)
    vm.set_memory_region(slot=1, gfn=GFN + 8, npages=16, page=0x1000)
    vm.claim("overlap: -EEXIST", lambda now: now.outcome == [-17])
    vm.set_memory_region(slot=0, gfn=GFN, npages=32, page=0)
    vm.claim("another size: -EINVAL", lambda now: now.outcome == [-22])
    vm.set_memory_region(slot=0, gfn=GFN, npages=16, page=0, flags=READONLY)
    vm.claim("another kind: -EINVAL", lambda now: now.outcome == [-22])
    vm.set_memory_region(slot=5, gfn=GFN, npages=0, page=0)
    vm.claim("deleting nothing: -EINVAL", lambda now: now.outcome == [-22])
    vm.access(gfn=GFN, kind=WRITE).claim("the guest runs on", lambda now: now.outcome == [End.DONE])


@story(
    modes=TDP_MODES,
    source=ZAP_FAST,
    about=("kvm_tdp_mmu_put_root", "kvm_mmu_free_obsolete_roots", "kvm_tdp_mmu_zap_invalidated_roots"),
    vcpus=2,
)
def invalid_root_until_its_vcpu_leaves_it(vm: StoryBuilder) -> None:
    """An invalidated root lives as long as a vCPU uses it.

    Each vCPU leaves it when it next enters the guest; the last reference frees it.
    """
    memory(vm, gfn=GFN, npages=16)
    memory(vm, slot=1, gfn=X2M, npages=16, page=X2M)
    vm.access(vcpu=0, gfn=GFN, kind=WRITE).access(vcpu=1, gfn=GFN, kind=WRITE)
    vm.set_memory_region(slot=1, gfn=X2M, npages=0, page=X2M)
    vm.enter(vcpu=0).claim(
        "one valid, one invalid", lambda now: [r.invalid for r in now.roots] == [True, False]
    )
    vm.madvise_dontneed(page=0)
    vm.claim(
        "an unmap finds nothing in either",
        lambda now: now.grown.flush_requests == 0,
        since=FLUSH_REQUEST_STATISTICS,
    )
    vm.enter(vcpu=1).claim("the old root is gone", lambda now: [r.invalid for r in now.roots] == [False])
    vm.access(vcpu=1, gfn=GFN, kind=WRITE).claim(
        "it goes on", lambda now: now.outcome == [Exit.FIXED, End.DONE]
    )


@story(
    modes=TDP_MODES,
    source=ALL_ROOTS,
    about=(*UNMAP, "tdp_mmu_zap_root"),
    mutants=[
        Mutant(
            "an invalid root skipped when unmapping",
            Substitution(
                TDP_C,
                "__for_each_tdp_mmu_root_yield_safe(kvm, root, range->slot->as_id, false, false)",
                "__for_each_tdp_mmu_root_yield_safe(kvm, root, range->slot->as_id, false, true)",
            ),
        ),
    ],
)
def unmap_meets_an_invalid_root(vm: StoryBuilder) -> None:
    """The host discards a page while KVM yields in zapping an invalidated root that maps it.

    A vCPU may still run on that root, and the host will reuse the page as soon as the notifier returns: the
    unmap must reach invalid roots, too.
    """
    memory(vm, gfn=X1G, npages=16)
    memory(vm, slot=1, gfn=GFN, npages=16, page=X2M)
    vm.access(gfn=X1G + 3, kind=WRITE).claim("mapped", lambda now: now.mapped(X1G + 3).writable)
    vm.delete_while_unmapping(slot=1, page=3)
    vm.claim("the memslot is gone, the host came in between", lambda now: now.unmapping[:2] == (0, 1))
    vm.claim("it left nothing mapped", lambda now: now.unmapping[2:] == (0, 0, 0))
    vm.access(gfn=X1G + 3, kind=WRITE).claim("a new page is faulted in", lambda now: now.end == End.DONE)


@story(
    source=ZAP_FAST,
    about=("tdp_mmu_zap_root", "tdp_mmu_iter_cond_resched"),
    mutants=[
        Mutant(
            "an iterator that yielded skips an entry: without commit 3a0f64de479c",
            Substitution(ITER_C, "tdp_iter_restart(iter);\n\t\treturn;", "tdp_iter_restart(iter);"),
        ),
    ],
)
def zap_while_yielding(vm: StoryBuilder) -> None:
    """Zapping an invalidated root yields when it must, and leaves nothing.

    Small pages, huge pages and MMIO SPTEs are all zapped, under every entry of the root. A walk that yielded
    must not skip the entry at which it did: commit 3a0f64de479c.
    """
    memory(vm, gfn=0, npages=X2M + 8)
    memory(vm, slot=1, gfn=4 * X2M, npages=2 * X2M, page=4 * X2M, level=HUGE)
    memory(vm, slot=2, gfn=X512G, npages=8, page=8 * X2M)
    for gfn in (0, 0x1FF, X2M, X2M + 7, 4 * X2M, 5 * X2M, 0x80000, X512G):
        vm.access(gfn=gfn, kind=WRITE)
    vm.resched(on=1)
    vm.set_memory_region(gfn=0, npages=0, page=0)
    vm.claim(
        "no page is counted", lambda now: now.state.pages_4k == now.state.pages_2m == 0, since=PAGE_STATISTICS
    )
    vm.claim("no valid root", lambda now: not now.valid_roots())
    vm.resched(on=0)
    vm.access(gfn=4 * X2M, kind=READ).claim("the guest goes on", lambda now: now.end == End.DONE)


@story(
    source="virt/kvm/kvm_main.c: search_memslots() and last_used_slot",
    about=("kvm_vcpu_gfn_to_memslot", "kvm_insert_gfn_node"),
)
def memslots_side_by_side(vm: StoryBuilder) -> None:
    """Two adjacent memslots: each page comes from its own, on both sides of the boundary.

    The search for a memslot caches the last one found, which must not be mistaken for its neighbour.
    """
    memory(vm, gfn=0x1F0, npages=16, page=0)
    memory(vm, slot=1, gfn=0x200, npages=16, page=0x1000)
    vm.access(gfn=0x1FF, kind=WRITE).access(gfn=0x200, kind=WRITE)
    vm.claim("both mapped", lambda now: now.leaf(0x1FF) and now.leaf(0x200))
    vm.madvise_dontneed(page=0x1000).claim(
        "one unmapped", lambda now: now.leaf(0x1FF) and not now.leaf(0x200)
    )
    vm.access(gfn=0x210, kind=READ).claim("after both is MMIO", lambda now: now.end == End.EMULATED)

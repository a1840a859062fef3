# SPDX-License-Identifier: GPL-2.0-only
"""System management mode: a second address space with memslots, roots and dirty logs of its own."""

from __future__ import annotations

from conformance.interface.access import End, Exit
from conformance.kernels.substitutions import TDP_C, Substitution
from conformance.scenarios.stories.functions import AGING, READ_LOG, UNMAP
from conformance.scenarios.stories.setting import LOG, READ, WRITE, memory
from conformance.scenarios.story import Mutant, StoryBuilder, story

GFN = 0xA0
SMM = "Documentation/virt/kvm/api.rst: KVM_CAP_MULTI_ADDRESS_SPACE; role.smm"


@story(source=SMM, about=("kvm_tdp_mmu_get_vcpu_root_hpa", "kvm_tdp_mmu_alloc_root", "make_mmio_spte"))
def memory_of_smm_only(vm: StoryBuilder) -> None:
    """Memory that only SMM has is MMIO outside of it.

    Each address space has its own root; leaving SMM returns to the first one.
    """
    memory(vm, gfn=0x200, npages=16, page=0x200)
    vm.set_memory_region(slot=1, as_id=1, gfn=0x200, npages=16, page=0x200)
    memory(vm, slot=2, as_id=1, gfn=GFN, npages=16, page=0x1000)
    vm.access(gfn=GFN, kind=READ).claim("MMIO outside", lambda now: now.end == End.EMULATED)
    vm.smm(on=1)
    vm.access(gfn=GFN, kind=WRITE).claim("memory inside", lambda now: now.outcome == [Exit.FIXED, End.DONE])
    vm.claim("mapped in SMM's root", lambda now: now.mapped(GFN, as_id=1).writable)
    vm.claim("and in no other", lambda now: now.leaf(GFN, as_id=0) is None)
    vm.smm(on=0)
    vm.access(gfn=GFN, kind=READ).claim("MMIO again", lambda now: now.end == End.EMULATED)


@story(
    source=SMM,
    about=UNMAP,
    vcpus=2,
    mutants=[
        Mutant(
            "an unmap visits address space 0 only",
            Substitution(
                TDP_C,
                "__for_each_tdp_mmu_root_yield_safe(kvm, root, range->slot->as_id, false, false)",
                "__for_each_tdp_mmu_root_yield_safe(kvm, root, 0, false, false)",
            ),
        ),
    ],
)
def one_page_in_two_address_spaces(vm: StoryBuilder) -> None:
    """One host page behind a gfn of both address spaces: an unmap must reach both.

    The notifier knows host addresses only, so it visits the memslots and roots of both.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.set_memory_region(slot=0, as_id=1, gfn=GFN, npages=16, page=0)
    vm.access(vcpu=0, gfn=GFN, kind=WRITE)
    vm.smm(vcpu=1, on=1)
    vm.access(vcpu=1, gfn=GFN, kind=WRITE).claim(
        "two roots", lambda now: {r.as_id for r in now.roots} == {0, 1}
    )
    vm.claim("one page", lambda now: now.mapped(GFN, 0).pfn == now.mapped(GFN, 1).pfn)
    vm.madvise_dontneed(page=0)
    vm.claim("unmapped in both", lambda now: now.leaf(GFN, 0) is None and now.leaf(GFN, 1) is None)
    vm.access(vcpu=1, gfn=GFN, kind=READ).claim(
        "faulted in", lambda now: now.outcome == [Exit.FIXED, End.DONE]
    )


@story(source=SMM, about=READ_LOG, vcpus=2)
def logs_of_two_address_spaces(vm: StoryBuilder) -> None:
    """Each address space has its own dirty log, and write-protecting for one leaves the other alone.

    A write in SMM is in SMM's log only.
    """
    memory(vm, gfn=GFN, npages=16, flags=LOG)
    vm.set_memory_region(slot=0, as_id=1, gfn=GFN, npages=16, page=0, flags=LOG)
    vm.access(vcpu=0, gfn=GFN, kind=WRITE)
    vm.smm(vcpu=1, on=1)
    vm.access(vcpu=1, gfn=GFN + 1, kind=WRITE)
    vm.claim("each in its own", lambda now: (now.dirty(0, 0), now.dirty(0, 1)) == ({0}, {1}))
    vm.get_dirty_log(as_id=1).claim("SMM's log", lambda now: now.logged == {1})
    vm.claim("protects SMM's mapping", lambda now: not now.mapped(GFN + 1, 1).writable)
    vm.claim("and not the other", lambda now: now.mapped(GFN, 0).writable)
    vm.get_dirty_log(as_id=0).claim("the other log", lambda now: now.logged == {0})


@story(
    source=SMM + "; tdp_mmu.c: aging visits the roots of the memslot's address space",
    about=AGING,
    mutants=[
        Mutant(
            "only address space 0 is aged",
            Substitution(
                TDP_C,
                "for_each_tdp_mmu_root(kvm, root, range->slot->as_id) {",
                "for_each_tdp_mmu_root(kvm, root, 0) {",
            ),
        ),
    ],
)
def aging_in_smm(vm: StoryBuilder) -> None:
    """A page that only SMM has is aged in SMM's root.

    The notifier reaches the memslots of every address space.
    """
    memory(vm, as_id=1, gfn=GFN, npages=16)
    vm.smm(on=1)
    vm.access(gfn=GFN, kind=WRITE)
    vm.test_young(page=0).claim("young", lambda now: now.outcome == [1])
    vm.clear_flush_young(page=0).claim("old now", lambda now: not now.mapped(GFN, 1).accessed)
    vm.test_young(page=0).claim("told so", lambda now: now.outcome == [0])

# SPDX-License-Identifier: GPL-2.0-only
"""The dirty log in two steps: KVM_CLEAR_DIRTY_LOG, and logging by the processor's D bits."""

from __future__ import annotations

from conformance.interface.access import End
from conformance.kernels.substitutions import TDP_C, Substitution
from conformance.model.changes import (
    FLUSH_REQUEST_STATISTICS,
    HUGE_PAGES_PROTECTED_LAZILY,
    SPLIT_LAST_CLEARED,
)
from conformance.scenarios.modes import TDP_MODES, with_legacy
from conformance.scenarios.stories.dirty_logging import log
from conformance.scenarios.stories.functions import (
    CLEAR_LOG,
    LOG_BY_PROCESSOR,
    WRITE_PROTECT,
    WRITE_PROTECT_HUGE,
)
from conformance.scenarios.stories.setting import HUGE, LOG, WRITE, X2M, memory
from conformance.scenarios.story import Fault, Mutant, StoryBuilder, story

GFN = 0x100
API = "Documentation/virt/kvm/api.rst: KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2"
SPLIT_ON_CLEAR = (
    'commit cb00a70bd4b7 ("KVM: x86/mmu: Split huge pages mapped by the TDP MMU during '
    'KVM_CLEAR_DIRTY_LOG") in v5.18'
)
PML = "arch/x86/kvm/vmx: page modification logging; tdp_mmu.c: clear_dirty_gfn_range()"


@story(
    source=API,
    about=CLEAR_LOG,
    manual_protect=1,
    mutants=[
        Mutant(
            "a page that is not in the mask is cleared",
            Substitution(
                TDP_C,
                "if (iter.level > PG_LEVEL_4K ||\n"
                "\t\t    !(mask & (1UL << (iter.gfn - gfn))))\n\t\t\tcontinue;",
                "if (iter.level > PG_LEVEL_4K)\n\t\t\tcontinue;",
            ),
        ),
    ],
)
def manual_protection(vm: StoryBuilder) -> None:
    """With manual protection KVM_GET_DIRTY_LOG only reads, KVM_CLEAR_DIRTY_LOG write-protects.

    Userspace can thus spread the cost of write-protection.
    """
    memory(vm, gfn=GFN, npages=64, flags=LOG)
    for offset in (0, 5, 7, 63):
        vm.access(gfn=GFN + offset, kind=WRITE)
    vm.get_dirty_log().claim("told", lambda now: now.logged == {0, 5, 7, 63})
    vm.claim("not cleared", lambda now: now.dirty() == {0, 5, 7, 63})
    vm.claim("all stay writable", lambda now: all(leaf.writable for leaf in now.leaves()))
    vm.clear_dirty_log(first=0, npages=64, mask=1 << 5 | 1 << 63)
    vm.claim("what was asked for is cleared", lambda now: now.dirty() == {0, 7})
    vm.claim(
        "and protected", lambda now: not now.mapped(GFN + 5).writable and not now.mapped(GFN + 63).writable
    )
    vm.claim("the rest is not", lambda now: now.mapped(GFN).writable and now.mapped(GFN + 7).writable)
    vm.access(gfn=GFN + 5, kind=WRITE).claim("recorded again", lambda now: now.dirty() == {0, 5, 7})


@story(source=API, about=CLEAR_LOG)
def clear_of_clean_pages(vm: StoryBuilder) -> None:
    """Clearing pages that are not dirty, or not mapped, changes nothing and protects nothing.

    Bits are cleared and pages protected only together: a page that is clean is protected already.
    """
    memory(vm, gfn=GFN, npages=128, flags=LOG)
    vm.access(gfn=GFN + 70, kind=WRITE)
    vm.clear_dirty_log(first=0, npages=64, mask=(1 << 64) - 1)
    vm.claim("the other word stays", lambda now: now.dirty() == {70} and now.mapped(GFN + 70).writable)
    vm.clear_dirty_log(first=64, npages=64, mask=(1 << 64) - 1)
    vm.claim("now it is clear", lambda now: now.dirty() == set() and not now.mapped(GFN + 70).writable)
    vm.clear_dirty_log(first=64, npages=64, mask=(1 << 64) - 1)
    vm.claim("once is enough", lambda now: now.grown.flush_requests == 0, since=FLUSH_REQUEST_STATISTICS)


@story(
    source="Documentation/virt/kvm/api.rst: KVM_DIRTY_LOG_INITIALLY_SET",
    about=("kvm_clear_dirty_log_protect", "kvm_vm_ioctl_enable_cap_generic"),
    manual_protect=3,
)
def initially_all_set(vm: StoryBuilder) -> None:
    """Logging that begins with every page dirty protects nothing until pages are cleared.

    Switching logging on is then quick, however much memory there is.
    """
    memory(vm, gfn=GFN, npages=64)
    for offset in (0, 1):
        vm.access(gfn=GFN + offset, kind=WRITE)
    log(vm, gfn=GFN, npages=64).claim("all dirty", lambda now: now.dirty() == set(range(64)))
    vm.claim("still writable", lambda now: now.mapped(GFN).writable)
    vm.clear_dirty_log(first=0, npages=64, mask=1).claim(
        "protected", lambda now: not now.mapped(GFN).writable
    )
    vm.claim("its neighbour is not", lambda now: now.mapped(GFN + 1).writable)
    vm.claim("clear", lambda now: 0 not in now.dirty() and 1 in now.dirty())


@story(
    modes=TDP_MODES,
    source=SPLIT_ON_CLEAR,
    about=("kvm_arch_mmu_enable_log_dirty_pt_masked", "kvm_mmu_try_split_huge_pages"),
    manual_protect=3,
)
def split_when_cleared(vm: StoryBuilder) -> None:
    """Where logging begins with all set, huge pages are split when one of their pages is first cleared.

    Only then must writes be distinguished by 4K page.
    """
    memory(vm, gfn=X2M, npages=2 * X2M, level=HUGE)
    vm.access(gfn=X2M, kind=WRITE).access(gfn=2 * X2M, kind=WRITE)
    log(vm, gfn=X2M, npages=2 * X2M).claim("still 2M", lambda now: now.mapped(X2M).level == HUGE)
    vm.clear_dirty_log(first=64, npages=64, mask=1 << 3)
    vm.claim("split", lambda now: now.mapped(X2M).level == 1)
    vm.claim("the page is protected", lambda now: not now.mapped(X2M + 67).writable)
    vm.claim("the other huge page is left alone", lambda now: now.mapped(2 * X2M).level == HUGE)


@story(
    modes=TDP_MODES,
    source='commit 1aa4bb916808 ("KVM: x86/mmu: Fix off-by-1 when splitting huge pages during CLEAR"), v6.8',
    about=("kvm_arch_mmu_enable_log_dirty_pt_masked", "kvm_mmu_try_split_huge_pages"),
    manual_protect=3,
    shows=[
        Fault("a huge page is not split when the log is cleared for its first page alone", SPLIT_LAST_CLEARED)
    ],
)
def split_for_the_first_page(vm: StoryBuilder) -> None:
    """The dirty log is cleared for the first page of a huge page only: the range to split is one page.

    Without the split the whole huge page is write-protected, and the next write pays for it.
    """
    memory(vm, gfn=X2M, npages=X2M, level=HUGE)
    vm.access(gfn=X2M, kind=WRITE)
    log(vm, gfn=X2M, npages=X2M).claim("still 2M", lambda now: now.mapped(X2M).level == HUGE)
    vm.clear_dirty_log(first=0, npages=64, mask=1)
    vm.claim("the page is protected", lambda now: not now.mapped(X2M).writable)
    vm.access(gfn=X2M, kind=WRITE).claim("writable", lambda now: now.mapped(X2M).writable)


@story(
    source='commit 7c8a4742c4ab ("KVM: x86/mmu: Fix write-protection of PTs mapped by the TDP MMU") in v5.17',
    about=WRITE_PROTECT_HUGE,
    manual_protect=3,
    eager_page_split=0,
    mutants=[
        Mutant(
            "write-protection that leaves MMU-writable set",
            Substitution(TDP_C, "~(PT_WRITABLE_MASK | shadow_mmu_writable_mask);", "~PT_WRITABLE_MASK;"),
        ),
    ],
)
def huge_page_protected_when_cleared(vm: StoryBuilder) -> None:
    """A huge page that is not split loses W and MMU-writable when one of its pages is cleared.

    kvm_mmu_slot_gfn_write_protect() takes both, so that fast_page_fault() cannot make 2M writable again
    without logging it.
    """
    memory(vm, gfn=X2M, npages=X2M, level=HUGE)
    vm.access(gfn=X2M, kind=WRITE)
    log(vm, gfn=X2M, npages=X2M).claim(
        "2M with W", lambda now: now.mapped(X2M).writable, since=HUGE_PAGES_PROTECTED_LAZILY
    )
    vm.clear_dirty_log(first=0, npages=64, mask=1 << 5)
    vm.claim("2M without W", lambda now: now.mapped(X2M).level == HUGE and not now.mapped(X2M).writable)
    vm.claim(
        "nor MMU-writable", lambda now: not now.mapped(X2M).mmu_writable, since=HUGE_PAGES_PROTECTED_LAZILY
    )
    vm.access(gfn=X2M + 5, kind=WRITE).claim("4K with W", lambda now: now.mapped(X2M + 5).level == 1)
    vm.claim("recorded again", lambda now: 5 in now.dirty())


@story(
    source="Documentation/virt/kvm/api.rst: KVM_CLEAR_DIRTY_LOG; tdp_mmu.c: clear_dirty_pt_masked()",
    about=CLEAR_LOG,
    manual_protect=3,
    mutants=[
        Mutant(
            "the present check dropped in clear-dirty",
            Substitution(
                TDP_C,
                "tdp_root_for_each_leaf_pte(iter, root, gfn + __ffs(mask),\n",
                "tdp_root_for_each_pte(iter, root, gfn + __ffs(mask),\n",
            ),
        ),
        Mutant(
            "the present check dropped in clear-dirty",
            Substitution(
                TDP_C,
                "tdp_root_for_each_leaf_pte(iter, kvm, root, gfn + __ffs(mask),\n",
                "tdp_root_for_each_pte(iter, kvm, root, gfn + __ffs(mask),\n",
                "7.3",
            ),
        ),
    ],
)
def clear_over_a_stale_mmio_spte(vm: StoryBuilder) -> None:
    """Clearing a page whose gfn still has an MMIO SPTE does not change that SPTE.

    Its bits are neither W nor D: only present leaves may be write-protected or cleaned.
    """
    memory(vm, slot=1, gfn=0x40, npages=16, page=0x1000)
    vm.access(gfn=GFN + 3, kind=WRITE).claim("MMIO", lambda now: now.mmio_generation(GFN + 3) is not None)
    memory(vm, gfn=GFN, npages=64, flags=LOG)
    vm.clear_dirty_log(first=0, npages=64, mask=(1 << 64) - 1).claim("cleared", lambda now: not now.dirty())
    vm.claim(
        "the SPTE stays as it was",
        lambda now: now.covering(GFN + 3)[-1].spte == now.before.covering(GFN + 3)[-1].spte,
    )
    vm.access(gfn=GFN + 3, kind=WRITE).claim("a write is recorded", lambda now: now.dirty() == {3})


@story(
    source="virt/kvm/kvm_main.c: kvm_clear_dirty_log_protect()",
    about=("kvm_vm_ioctl_clear_dirty_log", "kvm_clear_dirty_log_protect"),
)
def clear_beyond_the_memslot(vm: StoryBuilder) -> None:
    """Clearing pages outside of the memslot, or of a memslot without a log, is an error.

    Nothing is cleared.
    """
    memory(vm, gfn=GFN, npages=64, flags=LOG)
    vm.access(gfn=GFN, kind=WRITE)
    vm.clear_dirty_log(first=64, npages=64, mask=1).claim("-EINVAL", lambda now: now.outcome == [-22])
    vm.clear_dirty_log(slot=3, first=0, npages=64, mask=1).claim("-ENOENT", lambda now: now.outcome == [-2])
    vm.claim("still dirty", lambda now: now.dirty() == {0} and now.mapped(GFN).writable)


@story(
    source=PML,
    about=(*LOG_BY_PROCESSOR, "kvm_vcpu_mark_page_dirty"),
    modes=with_legacy("ept-ad"),
    pml=1,
    mutants=[
        Mutant(
            "a dirty bit cleared without recording: logging starts with D set",
            Substitution(
                TDP_C,
                "new_spte = iter.old_spte & ~shadow_dirty_mask;\n\t\t\telse\n\t\t\t\tcontinue;\n\t\t}\n\n"
                "\t\tif (tdp_mmu_set_spte_atomic",
                "new_spte = iter.old_spte;\n\t\t\telse\n\t\t\t\tcontinue;\n\t\t}\n\n"
                "\t\tif (tdp_mmu_set_spte_atomic",
            ),
        ),
    ],
)
def logging_by_dirty_bits(vm: StoryBuilder) -> None:
    """With page modification logging small pages keep W, and lose D instead.

    The processor sets D with the first write and puts the address into its buffer, without an exit.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=WRITE).access(gfn=GFN + 1, kind=WRITE)
    log(vm, gfn=GFN, npages=16)
    vm.claim("still writable", lambda now: now.mapped(GFN).writable)
    vm.claim("no longer dirty", lambda now: not now.mapped(GFN).dirty)
    vm.access(gfn=GFN, kind=WRITE).claim("the write needs no exit", lambda now: now.outcome == [End.DONE])
    vm.claim("the processor set D", lambda now: now.mapped(GFN).dirty)
    vm.get_dirty_log().claim("the log has it", lambda now: now.logged == {0})
    vm.claim("D is clear again", lambda now: not now.mapped(GFN).dirty and now.mapped(GFN).writable)
    vm.claim(
        "a flush was asked for", lambda now: now.grown.flush_requests >= 1, since=FLUSH_REQUEST_STATISTICS
    )
    vm.access(gfn=GFN, kind=WRITE).access(gfn=GFN + 1, kind=WRITE)
    vm.get_dirty_log().claim("both", lambda now: now.logged == {0, 1})


@story(
    source=PML,
    about=(*WRITE_PROTECT, "kvm_mmu_slot_leaf_clear_dirty"),
    modes=with_legacy("ept-ad"),
    pml=1,
    eager_page_split=0,
)
def huge_pages_and_dirty_bits(vm: StoryBuilder) -> None:
    """Even with page modification logging huge pages are write-protected.

    A D bit for 2M is too coarse, so a write must fault to map 4K.
    """
    memory(vm, gfn=X2M, npages=X2M, level=HUGE)
    vm.access(gfn=X2M, kind=WRITE)
    log(vm, gfn=X2M, npages=X2M).claim("2M without W", lambda now: not now.mapped(X2M).writable)
    vm.access(gfn=X2M + 9, kind=WRITE).claim("4K with W", lambda now: now.mapped(X2M + 9).writable)
    vm.get_dirty_log().claim("told", lambda now: now.logged == {9})
    vm.claim(
        "D is clear, W is not", lambda now: now.mapped(X2M + 9).writable and not now.mapped(X2M + 9).dirty
    )


@story(
    source=PML,
    about=("kvm_clear_dirty_log_protect", "kvm_mmu_clear_dirty_pt_masked", "clear_dirty_pt_masked"),
    modes=with_legacy("ept-ad"),
    pml=1,
    manual_protect=1,
)
def dirty_bits_cleared_by_hand(vm: StoryBuilder) -> None:
    """KVM_CLEAR_DIRTY_LOG with page modification logging clears D of present pages in the mask only.

    A gfn in the mask that is not mapped must be skipped.
    """
    memory(vm, gfn=GFN, npages=64, flags=LOG)
    for offset in (1, 2, 3):
        vm.access(gfn=GFN + offset, kind=WRITE)
    vm.get_dirty_log().claim("told", lambda now: now.logged == {1, 2, 3})
    vm.madvise_dontneed(page=2)
    vm.clear_dirty_log(first=0, npages=64, mask=0b0110)
    vm.claim("D of the first is clear", lambda now: not now.mapped(GFN + 1).dirty)
    vm.claim("what is unmapped stays so", lambda now: now.leaf(GFN + 2) is None)
    vm.claim("D of the third is not", lambda now: now.mapped(GFN + 3).dirty)
    vm.claim("the bitmap follows", lambda now: now.dirty() == {3})

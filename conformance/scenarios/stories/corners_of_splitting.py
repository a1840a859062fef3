# SPDX-License-Identifier: GPL-2.0-only
"""More corners that random mutants showed: which huge pages are split."""

from __future__ import annotations

from conformance.kernels.substitutions import MMU_C, Substitution
from conformance.scenarios.modes import EPT_MODES, TDP_MODES
from conformance.scenarios.stories.functions import CLEAR_LOG
from conformance.scenarios.stories.guest_tables import (
    EPT_A,
    EPT_D,
    EPT_R,
    EPT_RWX,
    EPT_WB,
    EPT_X,
    PAGE,
)
from conformance.scenarios.stories.nested_guests import GPA, enters, l1
from conformance.scenarios.stories.setting import GIGANTIC, HUGE, LOG, READ, WRITE, X1G, X2M, memory
from conformance.scenarios.story import Mutant, StoryBuilder, story


@story(
    source="mmu.c: kvm_arch_mmu_enable_log_dirty_pt_masked(): from the first page of the mask on",
    about=CLEAR_LOG,
    modes=TDP_MODES,
    manual_protect=3,
    mutants=[
        Mutant(
            "splitting begins behind the first page",
            Substitution(
                MMU_C,
                "gfn_t start = slot->base_gfn + gfn_offset + __ffs(mask);",
                "gfn_t start = slot->base_gfn + gfn_offset + __ffs(mask) + 1;",
            ),
        ),
    ],
)
def clear_of_two_pages_splits(vm: StoryBuilder) -> None:
    """All pages count as dirty at first; the first two pages of a huge page are cleared: it is split.

    The range to split is of one page in kernels that leave out the last one.
    """
    memory(vm, gfn=2 * X2M, npages=X2M, level=HUGE)
    vm.access(gfn=2 * X2M, kind=WRITE)
    vm.set_memory_region(gfn=2 * X2M, npages=X2M, page=0, flags=LOG)
    vm.claim("2M", lambda now: now.mapped(2 * X2M).level == HUGE)
    vm.clear_dirty_log(npages=64, mask=0b11).claim("4K", lambda now: now.mapped(2 * X2M).level == 1)


@story(
    source='commit ada51a9de737 ("KVM: x86/mmu: Extend Eager Page Splitting to nested MMUs") in v6.0',
    about=(*CLEAR_LOG, "kvm_mmu_try_split_huge_pages"),
    modes=EPT_MODES,
    manual_protect=3,
    mutants=[
        Mutant(
            "only the first of two huge pages is split",
            Substitution(
                MMU_C,
                "kvm_shadow_mmu_try_split_huge_pages(kvm, memslot, start, end, target_level);",
                "kvm_shadow_mmu_try_split_huge_pages(kvm, memslot, start, start, target_level);",
                function="kvm_mmu_try_split_huge_pages",
            ),
        ),
    ],
)
def clear_splits_two_for_l2(vm: StoryBuilder) -> None:
    """Some pages are cleared that lie in two huge pages of L2, side by side: both are split.

    The memslot does not begin at a multiple of 64 pages, as the words of its log do.
    """
    tables = l1(vm)
    memory(vm, slot=1, gfn=0x410, npages=0x7F0, page=0x410, level=HUGE)
    for n, gfn in enumerate((0x600, 0x800)):
        tables.map(n << 21, gfn, EPT_RWX | EPT_WB | EPT_A | EPT_D, level=HUGE)
    enters(vm, tables)
    inside = ((1 << 21) - PAGE, 1 << 21)
    for address in inside:
        vm.execute(address=address, kind=WRITE, value=1)
    vm.set_memory_region(slot=1, gfn=0x410, npages=0x7F0, page=0x410, flags=LOG)
    vm.claim("2M both", lambda now: [now.shadow.mapped(address).level for address in inside] == [HUGE] * 2)
    vm.clear_dirty_log(slot=1, first=0x3C0, npages=64, mask=(1 << 64) - 1)
    vm.claim("4K both", lambda now: [now.shadow.mapped(address).level for address in inside] == [1] * 2)


@story(
    source='commit ada51a9de737 ("KVM: x86/mmu: Extend Eager Page Splitting to nested MMUs") in v6.0',
    about=(*CLEAR_LOG, "kvm_mmu_try_split_huge_pages"),
    modes=EPT_MODES,
    manual_protect=3,
    mutants=[
        Mutant(
            "pages of 1G are not split",
            Substitution(
                MMU_C,
                "for (level = KVM_MAX_HUGEPAGE_LEVEL; level > target_level; level--) {",
                "for (level = PG_LEVEL_2M; level > target_level; level--) {",
                function="kvm_shadow_mmu_try_split_huge_pages",
            ),
        ),
    ],
)
def clear_splits_1g_for_l2(vm: StoryBuilder) -> None:
    """Some pages are cleared in a page of 1G of L2: it is split into pages of 2M, and one of these into 4K.

    The other pages of 2M stay writable until they are cleared.
    """
    tables = l1(vm)
    memory(vm, slot=1, gfn=X1G, npages=X1G, page=X1G, level=GIGANTIC)
    tables.map(1 << 30, X1G, EPT_RWX | EPT_WB | EPT_A | EPT_D, level=GIGANTIC)
    enters(vm, tables)
    vm.execute(address=1 << 30, kind=WRITE, value=1).claim(
        "1G", lambda now: now.shadow.mapped(1 << 30).level == GIGANTIC
    )
    vm.set_memory_region(slot=1, gfn=X1G, npages=X1G, page=X1G, flags=LOG)
    vm.clear_dirty_log(slot=1, npages=64, mask=(1 << 64) - 1)
    vm.claim("4K", lambda now: now.shadow.mapped(1 << 30).level == 1)
    vm.claim("2M beside it", lambda now: now.shadow.mapped((1 << 30) + (1 << 21)).level == HUGE)


@story(
    source='commit ada51a9de737 ("KVM: x86/mmu: Extend Eager Page Splitting to nested MMUs") in v6.0',
    about=("kvm_shadow_mmu_try_split_huge_pages", "shadow_mmu_try_split_huge_pages"),
    modes=EPT_MODES,
    mutants=[
        Mutant(
            "one SPTE of each huge page is split",
            Substitution(MMU_C, "if (!r || r == -EAGAIN)", "if (r == -EAGAIN)"),
        ),
    ],
)  # fmt: skip
def huge_page_twice_in_l2_is_split(vm: StoryBuilder) -> None:
    """L2 maps a huge page twice, with different rights: both SPTEs are split when logging is enabled.

    Splitting one changes the list of SPTEs that is walked, so the walk begins anew.
    """
    tables = l1(vm, npages=0x800, level=HUGE)
    for n, right in enumerate((EPT_RWX, EPT_R | EPT_X, EPT_R)):
        tables.map(n << 21, 0x400, right | EPT_WB | EPT_A | EPT_D, level=HUGE)
    enters(vm, tables)
    for n in range(3):
        vm.execute(address=(n << 21) + GPA, kind=READ)
    vm.claim("2M", lambda now: [now.shadow.mapped(n << 21).level for n in range(3)] == [HUGE] * 3)
    vm.set_memory_region(gfn=0, npages=0x800, page=0, flags=LOG)
    vm.claim("4K", lambda now: [now.shadow.mapped(n << 21).level for n in range(3)] == [1] * 3)


@story(
    source="mmu.c: shadow_mmu_try_split_huge_page(): a few shadow pages are left for faults",
    about=("shadow_mmu_try_split_huge_page", "kvm_mmu_available_pages"),
    modes=EPT_MODES,
    mutants=[
        Mutant(
            "a huge page is split though five pages are left",
            Substitution(
                MMU_C,
                "if (kvm_mmu_available_pages(kvm) <= KVM_MIN_FREE_MMU_PAGES) {",
                "if (kvm_mmu_available_pages(kvm) < KVM_MIN_FREE_MMU_PAGES) {",
                function="shadow_mmu_try_split_huge_page",
            ),
        ),
    ],
)
def five_shadow_pages_are_left(vm: StoryBuilder) -> None:
    """KVM may have 64 shadow pages and has 59 when logging is enabled: the huge page of L2 is not split.

    A write to it is split then, as without eager splitting.
    """
    tables = l1(vm, npages=0x800, level=HUGE)
    tables.map(0, 0x600, EPT_RWX | EPT_WB | EPT_A | EPT_D, level=HUGE)
    places = [n << 21 for n in range(1, 57)]
    for place in places:
        tables.map(place, 0x10, EPT_RWX | EPT_WB | EPT_A | EPT_D)
    vm.set_nr_mmu_pages(n=64)
    enters(vm, tables)
    for place in (0, *places):
        vm.execute(address=place, kind=READ)
    vm.claim("59 in use", lambda now: len(now.shadow.pages(guest_mode=1)) == 59)
    vm.set_memory_region(gfn=0, npages=0x800, page=0, flags=LOG)
    vm.claim("2M still", lambda now: now.shadow.mapped(0).level == HUGE)

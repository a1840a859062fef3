# SPDX-License-Identifier: GPL-2.0-only
"""Changes in shadow pages: what their entries translate, and how they are found and zapped."""

from __future__ import annotations

from conformance.model.changes.registry import Change

PASSTHROUGH_PAGES = Change(
    commit="84e5ffd045f3",
    title="KVM: X86/MMU: Fix shadowing 5-level NPT for 4-level NPT L1 guest",
    since="5.19",
    effect="A passthrough page translates every index to its own gfn.",
)

SHADOWED_ACCESS = Change(
    commit="6a97575d5cff",
    title="KVM: x86/mmu: Cache the access bits of shadowed translations",
    since="6.0",
    effect=(
        "A shadow page remembers gfn and access of each entry, packed in shadowed_translation; "
        "before, only the gfn."
    ),
)

SPTE_INDEX = Change(
    commit="79e48cec6cba",
    title="KVM: x86/mmu: Add optimized helper to retrieve an SPTE's index",
    since="6.0",
    effect="spte_index() exists.",
)

TRANSLATION_BY_POINTER = Change(
    commit="9ecc1c119b28",
    title=(
        "KVM: x86/mmu: Only allocate shadowed translation cache for sp->role.level <= KVM_MAX_HUGEPAGE_LEVEL"
    ),
    since="6.11",
    effect=(
        "A shadow page that has an array of translations uses it; before, the role decided, and "
        "passthrough pages did not."
    ),
)

PTE_LIST_GROWS_AT_HEAD = Change(
    commit="141705b78381",
    title="KVM: x86/mmu: Track tail count in pte_list_desc to optimize guest fork()",
    since="6.4",
    effect=(
        "A list of SPTEs grows at its head, and only the head descriptor has free entries; before, at its "
        "tail. So walks have another order."
    ),
)

LONGER_PTE_LISTS = Change(
    commit="dc1cff969101",
    title="KVM: X86: MMU: Tune PTE_LIST_EXT to be bigger",
    since="5.15",
    effect="A descriptor of a list of SPTEs has room for 14; before, for 3.",
)

LOCKLESS_RMAP_AGING = Change(
    commit="af3b6a9eba48",
    title="KVM: x86/mmu: Walk rmaps (shadow MMU) without holding mmu_lock when aging gfns",
    since="6.15",
    effect=(
        "Aging looks at every 512th gfn for huge pages, from the first gfn of the range on, so that it can "
        "miss the last huge page of a range that begins inside another; before, at all. Test-only aging by "
        "rmaps is skipped if the TDP MMU has found a young page."
    ),
)

CHILD_ROLE = Change(
    commit="2e65e842c57d",
    title="KVM: x86/mmu: Derive shadow MMU page role from parent",
    since="6.0",
    effect="kvm_mmu_child_role() exists.",
)

CHILD_GFN_COMPARED = Change(
    commit="0cb2af2ea66a",
    title="KVM: x86: Fix shadow paging use-after-free due to unexpected GFN",
    since="7.1",
    effect="A table that is linked already is used for a fault only if it is for the same gfn.",
)

CHILD_ROLE_COMPARED = Change(
    commit="81ccda30b4e8",
    title="KVM: x86: Fix shadow paging use-after-free due to unexpected role",
    since="7.2",
    effect="A table that is linked already is used for a fault only if it has the same role.",
)

NESTED_ROOTS_KEPT = Change(
    commit="7a2c70e777a0",
    title="KVM: x86/mmu: Preserve nested TDP shadow page tables if they are used as roots",
    since="7.2",
    effect="Zapping a nested table zaps the tables that only it points to, unless they are roots.",
)

FLUSH_IF_LINKED = Change(
    commit="03787394905f",
    title="KVM: x86/mmu: Avoid unnecessary flush on eager page split",
    since="6.0",
    effect="Splitting a huge page of a nested table flushes only if a part of it is lost; without, always.",
)

PREFETCH_KEEPS_PRESENT = Change(
    commit="6385d01eec16",
    title="KVM: x86/mmu: Don't overwrite shadow-present MMU SPTEs when prefaulting",
    since="6.13",
    effect="A prefetch leaves a present leaf for the same pfn alone.",
)

UNPROTECT_ON_WRITE_PROTECTION_ONLY = Change(
    commit="989a84c93f59",
    title="KVM: x86/mmu: Trigger unprotect logic only on write-protection page faults",
    since="6.12",
    effect="A fault on a write-protected gfn has a result of its own (RET_PF_WRITE_PROTECTED).",
)

DUMMY_ROOT = Change(
    commit="0e3223d8d00a",
    title="KVM: x86/mmu: Use dummy root, backed by zero page, for !visible guest roots",
    since="6.6",
    effect=(
        "A guest whose root lies outside of its memory gets an empty root, so that each access faults; "
        "before, its vCPU shut down."
    ),
)

DUMMY_ROOT_NOT_WALKED = Change(
    commit="b6249c1d5665",
    title="KVM: x86/mmu: Bail from shadow walks if the root is invalid or a dummy",
    since="7.3",
    effect=(
        "A walk in the empty root of a guest whose root lies outside of its memory ends at once; before, one "
        "for invalidating an address took the zero page for a table, and dereferenced a null pointer."
    ),
)

NX_SEPARATE_LISTS = Change(
    commit="6777885605e1",
    title="KVM: x86/mmu: Track possible NX huge pages separately for TDP vs. Shadow MMU",
    since="6.18",
    effect="The recovery of NX huge pages has a list for each MMU; before, one for both.",
)

UNMAP_YIELDS = Change(
    commit="548f87f667a3",
    title="KVM: x86/mmu: Honor NEED_RESCHED when zapping rmaps and blocking is allowed",
    since="6.12",
    effect="Unmapping a range yields after each rmap if it must, and flushes first; before, never.",
)

FLUSH_BY_RANGE_WITH_HYPERV = Change(
    commit="0277022a77a5",
    title="KVM: x86/mmu: Declare flush_remote_tlbs{_range}() hooks iff HYPERV!=n",
    since="6.8",
    effect=(
        "A kernel that is configured without Hyper-V flushes once when all small leaves were zapped that "
        "huge ones could replace; before, and with Hyper-V, by range for each, as the machine's vendor "
        "module offers."
    ),
)

OVERWRITTEN_IN_DIRECT_MMU_WARNS = Change(
    commit="df8374607577",
    title="KVM: x86/mmu: Only WARN in direct MMUs when overwriting shadow-present SPTE",
    since="7.0",
    effect="Mapping another pfn over a present leaf WARNs in a direct MMU, where the old one must be gone.",
)

TRAILING_SPTES_PREFETCHED = Change(
    commit="c6cecc4b9324",
    title="KVM: x86/mmu: Complete prefetch for trailing SPTEs for direct, legacy MMU",
    since="5.16",
    effect="A prefetch in a direct page maps the entries behind the last present one too.",
)

LARGE_SPTE_DROPPED_BY_LINK = Change(
    commit="0cd8dc739833",
    title="KVM: x86/mmu: pull call to drop_large_spte() into __link_shadow_page()",
    since="6.0",
    effect=(
        "A huge leaf in the way is dropped when a page is linked in its place; before, as soon as the walk "
        "came to it."
    ),
)

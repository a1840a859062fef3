# SPDX-License-Identifier: GPL-2.0-only
"""Changes in how a page fault is handled: retries, huge pages, spurious faults."""

from __future__ import annotations

from conformance.model.changes.registry import Change

HUGE_PAGE_MAY_BE_FAST = Change(
    commit="10c30de01921",
    title="kvm: mmu: Use fast PF path for access tracking of huge pages when possible",
    since="5.17",
    effect="A huge page can be made writable without mmu_lock if its memslot is not logged; before, none.",
)

ROOT_CHECKED_AFTER_PAGES = Change(
    commit="2abd5287f083",
    title="KVM: x86: Check for invalid/obsolete root *after* making MMU pages available",
    since="7.2",
    effect="A fault that zaps old pages to make room then checks whether its root is still valid.",
)

SHADOW_WALK_VERIFIED = Change(
    commit="b1a429fb1801",
    title="KVM: x86/mmu: Verify shadow walk doesn't terminate early in page faults",
    since="5.16",
    effect="A fault for which the root has no table WARNs and fails; before, KVM used a wild pointer.",
)

TRACKED_UNLESS_RSVD = Change(
    commit="b8a5d5511515",
    title="KVM: MMU: change page_fault_handle_page_track() arguments to kvm_page_fault",
    since="5.16",
    effect=(
        "A write that met a reserved bit, of an MMIO SPTE, is never one to a write-tracked gfn; before, in "
        "shadow pages of the guest's tables it could be."
    ),
)

SPLIT_ON_FAULT = Change(
    commit="c4b33d28ea51",
    title="KVM: x86/mmu: Split huge pages mapped by the TDP MMU on fault",
    since="6.2",
    effect=(
        "A fault that needs a small page where a huge one is mapped splits it, without a flush; before, the "
        "huge page was zapped and only the page of the fault mapped anew."
    ),
)

NX_TAGGED_ALWAYS = Change(
    commit="428e921611bc",
    title="KVM: x86/mmu: Tag disallowed NX huge pages even if they're not tracked",
    since="6.2",
    effect=(
        "Every table made for a fetch under the NX mitigation is tagged as disallowed; before, only where a "
        "huge page would have fit."
    ),
)

NX_ACCOUNTED_WITHOUT_PAGING = Change(
    commit="b5b0977f4aa2",
    title="KVM: x86/mmu: Properly account NX huge page workaround for nonpaging MMUs",
    since="6.2",
    effect=(
        "Tables made for a fetch under the NX mitigation are tagged also where a guest that is shadowed has "
        "its own paging off."
    ),
)

NX_TAG_DECIDES = Change(
    commit="76901e56fb51",
    title="KVM: x86/mmu: explicitly check nx_hugepage in disallowed_hugepage_adjust()",
    since="6.2",
    effect=(
        "Under the NX mitigation a huge page may replace a table that was made for other reasons; before, "
        "no table was replaced."
    ),
)

INVALIDATION_BY_GFN = Change(
    commit="8569992d64b8",
    title="KVM: Use gfn instead of hva for mmu_notifier_retry",
    since="6.8",
    effect=(
        "An invalidation in progress is recorded as the range of gfns that slots have in it; "
        "before, as host addresses, in a slot or not."
    ),
)

RETRY_BEFORE_FAULTIN = Change(
    commit="d02c357e5bfa",
    title="KVM: x86/mmu: Retry fault before acquiring mmu_lock if mapping is changing",
    since="6.9",
    effect=(
        "A fault on a gfn that is being invalidated is retried before the host is asked for the page; "
        "before, after the host had faulted it in, or had failed to."
    ),
)

ROOTS_WITHOUT_BUDGET = Change(
    commit="dab285e4ec73",
    title="KVM: x86/mmu: Alloc TDP MMU roots while holding mmu_lock for read",
    since="6.9",
    effect=(
        "A root is allocated without regard to the limit of shadow pages; before, the limit was 0 until a VM "
        "had its first memslot, and no vCPU could enter."
    ),
)

SPURIOUS_IF_ALLOWED = Change(
    commit="386d69f9f29b",
    title="KVM: x86/mmu: Treat TDP MMU faults as spurious if access is already allowed",
    since="6.13",
    effect=(
        "A fault that finds a leaf that allows the access changes nothing; before, the SPTE was made again "
        "and written if it differed."
    ),
)

MMIO_CACHE_OF_ADDRESS_SPACE = Change(
    commit="b3e6212dea2e",
    title="KVM: x86: Use active memslots for the per-vCPU MMIO cache",
    since="7.3",
    effect=(
        "A vCPU's MMIO cache is invalidated when the memslots of its own address space change; before, "
        "when those of the first did, in SMM too (CVE-2026-99082)."
    ),
)

# SPDX-License-Identifier: GPL-2.0-only
"""Changes in how SPTEs are made: make_spte(), and SPTEs that are made from others."""

from __future__ import annotations

from conformance.model.changes.registry import Change

PML_BY_DIRTY_LOG_SIZE = Change(
    commit="44ac5958a6c1",
    title="KVM: x86/mmu: Set SPTE_AD_WRPROT_ONLY_MASK if and only if PML is enabled",
    since="5.12",
    effect="SPTEs of L2 are write-protected for the dirty log only if there is a CPU dirty log.",
)

RSVD_CHECKED_WHEN_MADE = Change(
    commit="3b77daa5efe1",
    title="KVM: x86/mmu: WARN on any reserved SPTE value when making a valid SPTE",
    since="5.14",
    effect="make_spte() WARNs about reserved bits.",
)

NO_ACCESS_WARNS = Change(
    commit="9fb3565743d5",
    title="KVM: x86/mmu: Drop RWX=0 SPTEs during ept_sync_page()",
    since="6.0",
    effect="make_spte() WARNs about an SPTE that would grant no access at all.",
)

UNSYNC_HELPER_NAME = Change(
    commit="0337f585f57f",
    title="KVM: x86/mmu: Rename unsync helper and update related comments",
    since="5.14",
    effect="mmu_need_write_protect() is called mmu_try_to_unsync_pages().",
)

UNSYNC_NOT_FOR_PREFETCH = Change(
    commit="f1c4a88c41ea",
    title="KVM: X86: Don't unsync pagetables when speculative",
    since="5.16",
    effect="make_spte() passes prefetch to mmu_try_to_unsync_pages(), which then unsyncs nothing.",
)

UNSYNC_ONLY_IF_NOT_WRITABLE = Change(
    commit="8b8f9d753b84",
    title="KVM: X86: Don't check unsync if the original spte is writible",
    since="5.16",
    effect=(
        "make_spte() never tries to unsync if the old SPTE was writable; before, only when it "
        "could not unsync anyway."
    ),
)

UNSYNC_SKIP_IFF_LEAF = Change(
    commit="2867eb782cf7",
    title='KVM: x86/mmu: Skip the "try unsync" path iff the old SPTE was a leaf SPTE',
    since="6.13",
    effect="A writable old SPTE skips the attempt to unsync only if it was a leaf.",
)

DIRTY_LOG_IN_MAKE_SPTE = Change(
    commit="bcc4f2bc5026",
    title="KVM: MMU: mark page dirty in make_spte",
    since="5.16",
    effect="make_spte() marks the gfn dirty if the new SPTE is writable.",
)

DIRTY_IF_WRITABLE = Change(
    commit="cc7ed3358e41",
    title="KVM: x86/mmu: Always set SPTE's dirty bit if it's created as writable",
    since="6.13",
    effect="Every SPTE made writable is made dirty; before, not if the old one was writable already.",
)

ACCESSED_IF_SYNCHRONIZING = Change(
    commit="4e44ab0a7778",
    title="KVM: x86/mmu: Mark new SPTE as Accessed when synchronizing existing SPTE",
    since="6.13",
    effect="make_spte() makes a prefetched SPTE young if it synchronizes an existing one.",
)

NX_PER_VM = Change(
    commit="084cc29f8bbb",
    title="KVM: x86/MMU: Allow NX huge pages to be disabled on a per-vm basis",
    since="6.0",
    effect="A VM can be exempt from the NX huge page mitigation.",
)

CHANGED_PTE_CLEARS_MMU_WRITABLE = Change(
    commit="f082d86ea685",
    title="KVM: x86/mmu: Clear MMU-writable during changed_pte notifier",
    since="5.17",
    effect="The SPTE for a changed host PTE loses MMU-writable along with Host-writable.",
)

NO_CHANGE_PTE = Change(
    commit="f3b65bbaed7c",
    title="KVM: delete .change_pte MMU notifier callback",
    since="6.10",
    effect=".change_pte and kvm_mmu_changed_pte_notifier_make_spte() are gone.",
)

HUGE_PAGE_SPLIT = Change(
    commit="a3fe5dbda0a4",
    title="KVM: x86/mmu: Split huge pages mapped by the TDP MMU when dirty logging is enabled",
    since="5.18",
    effect="Huge SPTEs can be split: make_huge_page_split_spte().",
)

SPLIT_BUGS_VM = Change(
    commit="3d4415ed75a5",
    title="KVM: x86/mmu: Bug the VM if KVM tries to split a !hugepage SPTE",
    since="6.11",
    effect="Splitting an SPTE that is not huge bugs the VM and continues; before, it WARNed and returned 0.",
)

SMALL_SPTE_NAME = Change(
    commit="430e264b7653",
    title="KVM: x86/mmu: Rename make_huge_page_split_spte() to make_small_spte()",
    since="6.13",
    effect="make_huge_page_split_spte() is called make_small_spte().",
)

SPLIT_TAKES_EXECUTION = Change(
    commit="0c768fa0aeb8",
    title="KVM: x86/mmu: merge make_spte_{non,}executable",
    since="7.2",
    effect=(
        "Splitting with the NX mitigation on takes execution away too if the guest does not allow "
        "it; before, it only gave."
    ),
)

HUGE_PAGE_RECOVERY = Change(
    commit="13e2e4f62a4b",
    title="KVM: x86/mmu: Recover TDP MMU huge page mappings in-place instead of zapping",
    since="6.13",
    effect="Small SPTEs can be collapsed: make_huge_spte().",
)

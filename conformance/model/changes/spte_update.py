# SPDX-License-Identifier: GPL-2.0-only
"""Changes in what may change in an SPTE, how it is updated, and when that needs a TLB flush."""

from __future__ import annotations

from conformance.model.changes.registry import Change

VOLATILE_CALLER_CHECKS_PRESENT = Change(
    commit="54eb3ef56f36",
    title="KVM: x86/mmu: Move shadow-present check out of spte_has_volatile_bits()",
    since="5.18",
    effect="The caller of spte_has_volatile_bits() must check shadow-present.",
)

WRITABLE_NOT_VOLATILE = Change(
    commit="706c9c55e5a3",
    title="KVM: x86/mmu: Don't treat fully writable SPTEs as volatile (modulo A/D)",
    since="5.18",
    effect="An MMU-writable SPTE is volatile only while W is clear.",
)

ACCESSED_NOT_VOLATILE = Change(
    commit="61d65f2dc766",
    title="KVM: x86/mmu: Don't force atomic update if only the Accessed bit is volatile",
    since="6.15",
    effect=(
        "A clear Accessed bit no longer makes an SPTE volatile; the predicate is called "
        "spte_needs_atomic_update()."
    ),
)

AD_DISABLED_ALWAYS_VOLATILE = Change(
    commit="928c54b1c4ca",
    title="KVM: x86/mmu: Always update A/D-disabled SPTEs atomically",
    since="6.15",
    effect="An SPTE without A/D bits counts as volatile, access-tracked or not.",
)

RESTORE_ACC_TRACK_QUIET = Change(
    commit="59940e76d13d",
    title="KVM: x86/mmu: Remove unnecessary warnings from restore_acc_track_spte()",
    since="5.18",
    effect="restore_acc_track_spte() no longer WARNs about SPTEs that are not access-tracked.",
)

SOFTWARE_ACCESSED = Change(
    commit="7971801b5618",
    title="KVM: x86/mmu: Use Accessed bit even when _hardware_ A/D bits are disabled",
    since="6.13",
    effect="The Accessed bit counts in every SPTE; access tracking clears it along with R, W and X.",
)

SPTE_INVARIANTS_HELPER = Change(
    commit="932859a4e0b9",
    title="KVM: x86/mmu: Move SPTE writable invariant checks to a helper function",
    since="5.18",
    effect=(
        "The invariants of writability are checked, and WARNed about, by check_spte_writable_invariants()."
    ),
)

SPTE_INVARIANTS_CHECKED = Change(
    commit="115111efd97c",
    title="KVM: x86/mmu: Check SPTE writable invariants when setting leaf SPTEs",
    since="5.18",
    effect="Every leaf SPTE that is set is checked against the invariants of writability.",
)

FLUSH_IFF_MMU_WRITABLE_CLEARED = Change(
    commit="081976992f43",
    title="KVM: x86/mmu: Flush remote TLBs iff MMU-writable flag is cleared from RO SPTE",
    since="6.13",
    effect=(
        "Changing an SPTE needs a flush only if MMU-writable is cleared; before, also if W was cleared "
        "while MMU-writable, or Accessed or Dirty was."
    ),
)

LEAF_FLUSH_RULE = Change(
    commit="c9b625625ba3",
    title="KVM: x86/mmu: Dedup logic for detecting TLB flushes on leaf SPTE changes",
    since="6.13",
    effect="leaf_spte_change_needs_tlb_flush() exists; the rule itself is unchanged.",
)

RELEASE_MARKS_ACCESSED = Change(
    commit="8e1c69149f27",
    title="KVM: Avoid pfn_to_page() and vice versa when releasing pages",
    since="6.0",
    effect=(
        "Releasing a page of the host that was not written marks it accessed, so that every fault does, also "
        "one that has to be retried; before, only an SPTE that lost Accessed did."
    ),
)

NO_PFN_DIRTY = Change(
    commit="aa85986e7150",
    title="KVM: x86/mmu: Mark folio dirty when creating SPTE, not when zapping/modifying",
    since="6.13",
    effect=(
        "Changing an SPTE no longer marks the page accessed or dirty in the host; "
        "spte_wrprot_for_clear_dirty() is gone."
    ),
)

UPDATE_FOLDED = Change(
    commit="67c93802928b",
    title="KVM: x86/mmu: Fold mmu_spte_update_no_track() into mmu_spte_update()",
    since="6.13",
    effect=("mmu_spte_update() is one function, and also WARNs if the replaced SPTE was no longer present."),
)

PERMISSION_BITMAP = Change(
    commit="216b1a47e80c",
    title="KVM: x86/mmu: use kvm_page_format to test SPTEs",
    since="7.3",
    effect=(
        "Whether an SPTE allows a fault is looked up in the MMU's permission bitmap: "
        "spte_permission_fault(); is_access_allowed() is gone."
    ),
)

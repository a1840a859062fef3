# SPDX-License-Identifier: GPL-2.0-only
"""Changes in how KVM follows the host's page tables by its MMU notifier."""

from __future__ import annotations

from conformance.model.changes.registry import Change

NO_SLOT_NEVER_STALE = Change(
    commit="5f8a7cf25a7d",
    title="KVM: x86/mmu: Skip mmu_notifier check when handling MMIO page fault",
    since="5.12",
    effect="A fault without a memslot, and so without a host page, is not retried for an invalidation.",
)

INVALIDATION_RANGE = Change(
    commit="4a42d848db95",
    title="KVM: x86/mmu: Consider the hva in mmu_notifier retry",
    since="5.12",
    effect=(
        "An invalidation in progress has faults on its own range retried; before, all faults. For that, "
        "pages are not prefetched meanwhile."
    ),
)

CHANGE_PTE_NOT_COUNTED = Change(
    commit="c13fda237f08",
    title="KVM: Assert that notifier count is elevated in .change_pte()",
    since="5.13",
    effect=".change_pte no longer makes pfns stale that were looked up before; start and end around it do.",
)

UNRELATED_INVALIDATIONS_IGNORED = Change(
    commit="071064f14d87",
    title="KVM: Don't take mmu_lock for range invalidation unless necessary",
    since="5.15",
    effect="The invalidation of a range that backs no memslot does not concern faults; before, it did.",
)

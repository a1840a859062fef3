# SPDX-License-Identifier: GPL-2.0-only
"""Changes in what is done to the SPTEs of a memslot when its dirty log is switched on or off."""

from __future__ import annotations

from conformance.model.changes.registry import Change

COLLAPSIBLE_BY_MAX_LEVEL = Change(
    commit="9eba50f8d7fc",
    title="KVM: x86/mmu: Consult max mapping level when zapping collapsible SPTEs",
    since="5.12",
    effect=(
        "When logging ends, a leaf is zapped if a larger one could replace it; before, if its page is a part "
        "of a huge page of the host."
    ),
)

PML_BY_VM = Change(
    commit="a85863c2ec55",
    title="KVM: VMX: Dynamically enable/disable PML based on memslot dirty logging",
    since="5.12",
    effect="The processor logs writes while any memslot is logged; before, always.",
)

DIRTY_NOT_SET_AFTER_LOGGING = Change(
    commit="b6e16ae5d99f",
    title="KVM: x86/mmu: Don't set dirty bits when disabling dirty logging w/ PML",
    since="5.12",
    effect="When logging by the processor ends, SPTEs stay as they are; before, Dirty was set in all.",
)

HUGE_PAGES_PROTECTED_LAZILY = Change(
    commit="8921291980db",
    title="KVM: x86: Do not write protect huge page in initially-all-set mode",
    since="5.14",
    effect=(
        "If all pages are dirty when logging begins, huge leaves are write-protected when the log is "
        "cleared; before, when logging began."
    ),
)

LIMIT_ONLY_IF_SIZE_CHANGES = Change(
    commit="e0c2b6338ac8",
    title="KVM: x86: Don't call kvm_mmu_change_mmu_pages() if the count hasn't changed",
    since="5.17",
    effect="The limit of shadow pages is computed when a memslot comes or goes; before, at each change.",
)

COLLAPSIBLE_AT_ALL_LEVELS = Change(
    commit="20d49186c030",
    title="KVM: x86/mmu: Zap collapsible SPTEs in shadow MMU at all possible levels",
    since="6.0",
    effect="When logging ends, leaves of 2 MiB are zapped too where 1 GiB could be mapped.",
)

FLUSHED_WHEN_LOGGING_BEGINS = Change(
    commit="b64d740ea7dd",
    title="kvm: x86: mmu: Always flush TLBs when enabling dirty logging",
    since="6.0",
    effect=(
        "TLBs are flushed once when logging begins; before, after each pass over the SPTEs that has changed "
        "one that TLBs may hold."
    ),
)

# SPDX-License-Identifier: GPL-2.0-only
"""Changes in how tables of the guest are shadowed: faults, synchronisation, invalidation, write tracking."""

from __future__ import annotations

from conformance.model.changes.registry import Change

WRITE_TRACKED_IN_ALL_ADDRESS_SPACES = Change(
    commit="0f38453cdb2e",
    title="KVM: x86/mmu: Check write tracking in all address spaces",
    since="7.2",
    effect=(
        "A gfn that is write-tracked in one address space is read-only in the other too; before, the memslot "
        "of the vCPU alone decided."
    ),
)

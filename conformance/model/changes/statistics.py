# SPDX-License-Identifier: GPL-2.0-only
"""Changes in what KVM counts."""

from __future__ import annotations

from conformance.model.changes.registry import Change

PAGE_STATISTICS = Change(
    commit="71f51d2c3253",
    title="KVM: x86/mmu: Add detailed page size stats",
    since="5.15",
    effect="Leaves are counted by their level; before, huge pages only, as one number.",
)

FLUSH_REQUEST_STATISTICS = Change(
    commit="3cc4e148b962",
    title="KVM: stats: Add VM stat for remote tlb flush requests",
    since="5.17",
    effect="Each request to flush the TLBs of all vCPUs is counted.",
)

FAULT_STATISTICS = Change(
    commit="1075d41efd59",
    title="KVM: x86/mmu: Expand and clean up page fault stats",
    since="5.19",
    effect=(
        "Each page fault is counted, and again by its result. Before, pf_fixed was the only count: each "
        "fault that set an SPTE was fixed, also one for MMIO or a table that is write-protected."
    ),
)

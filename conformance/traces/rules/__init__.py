# SPDX-License-Identifier: GPL-2.0-only
"""The rules that traces are held to, one entry of a table each: ``made``, ``changes``, ``splits``,
``fast_faults``, ``mmio``, ``pages``."""

from __future__ import annotations

from conformance.traces.rules.changes import CHANGES
from conformance.traces.rules.fast_faults import FAST_FAULTS
from conformance.traces.rules.made import MADE
from conformance.traces.rules.mmio import MMIO
from conformance.traces.rules.pages import PAGE_RULES
from conformance.traces.rules.rule import Rule, Standing
from conformance.traces.rules.splits import SPLITS

__all__ = ["NOT_IN_TRACES", "RULES", "Rule", "Standing"]

RULES: tuple[Rule, ...] = (*MADE, *CHANGES, *SPLITS, *FAST_FAULTS, *MMIO, *PAGE_RULES)

NOT_IN_TRACES = (
    "dirty pages that were lost: memslot flags, dirty bitmaps and PML have no events",
    "TLB flushes that were forgotten or came late",
    "which VM and which root an SPTE belongs to",
    "Accessed and Dirty, which the processor sets",
    "what became of a frozen entry, and the SPTEs of a new table of a split huge page",
    "changes of shadow paging and the legacy MMU other than kvm_mmu_set_spte",
)
"""What no trace shows, whatever is recorded."""

# SPDX-License-Identifier: GPL-2.0-only
"""Changes in what is done to whole tables and slots: zapping, aging, dirty logging, NX recovery."""

from __future__ import annotations

from conformance.model.changes.registry import Change

NX_RECOVERY_SKIPS_LOGGED = Change(
    commit="eb298605705a",
    title="KVM: x86/mmu: Do not recover dirty-tracked NX Huge Pages",
    since="6.2",
    effect="Recovery does not zap tables of slots that are dirty-logged; it only untracks them.",
)

NX_RECOVERY_SHARED = Change(
    commit="a57750909580",
    title="KVM: x86/mmu: Recover TDP MMU NX huge pages using MMU read lock",
    since="6.18",
    effect="Recovery freezes every entry of a table that it removes; before, only the present ones.",
)

ROOTS_ZAPPED_FROM_4K = Change(
    commit="8ca983631f3c",
    title="KVM: x86/mmu: Zap invalidated TDP MMU roots at 4KiB granularity",
    since="6.9",
    effect="An invalidated root is zapped in passes from 4 KiB on, so that it can yield more often.",
)

INVALID_ROOTS_NOT_FLUSHED = Change(
    commit="fcdffe97f80e",
    title="KVM: x86/mmu: Don't do TLB flush when zappings SPTEs in invalid roots",
    since="6.9",
    effect="Zapping SPTEs of an invalid root requests no flush.",
)

SPLIT_LAST_CLEARED = Change(
    commit="1aa4bb916808",
    title="KVM: x86/mmu: Fix off-by-1 when splitting huge pages during CLEAR",
    since="6.8",
    effect="Clearing the dirty log splits huge pages up to the last page cleared, not up to the one before.",
)

AGING_NOT_FLUSHED = Change(
    commit="b9883ee40d7e",
    title="KVM: x86: Don't emit TLB flushes when aging SPTEs for mmu_notifiers",
    since="6.13",
    effect="clear_flush_young() no longer flushes.",
)

# SPDX-License-Identifier: GPL-2.0-only
"""Changes in what the MMU does with SPTEs: faults, invalidations, the dirty log, recovery of huge pages."""

from __future__ import annotations

from conformance.model.changes.registry import Change

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
        "Every table made for a fetch under the NX mitigation is marked so; before, only where a huge page "
        "would have fit otherwise."
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

NX_RECOVERY_SKIPS_LOGGED = Change(
    commit="eb298605705a",
    title="KVM: x86/mmu: Do not recover dirty-tracked NX Huge Pages",
    since="6.2",
    effect="Recovery leaves tables of slots that are logged, and only forgets them.",
)

INVALIDATION_BY_GFN = Change(
    commit="8569992d64b8",
    title="KVM: Use gfn instead of hva for mmu_notifier_retry",
    since="6.8",
    effect=(
        "What is being invalidated is remembered as guest frames, those that a slot has in the range; "
        "before, as the host's addresses, in a slot or not."
    ),
)

ROOTS_ZAPPED_FROM_4K = Change(
    commit="8ca983631f3c",
    title="KVM: x86/mmu: Zap invalidated TDP MMU roots at 4KiB granularity",
    since="6.9",
    effect="An invalidated root is zapped in passes from 4 KiB on, so that it can give way more often.",
)

INVALID_ROOTS_NOT_FLUSHED = Change(
    commit="fcdffe97f80e",
    title="KVM: x86/mmu: Don't do TLB flush when zappings SPTEs in invalid roots",
    since="6.9",
    effect="Unmapping what only an invalid root maps asks for no flush.",
)

SPLIT_LAST_CLEARED = Change(
    commit="1aa4bb916808",
    title="KVM: x86/mmu: Fix off-by-1 when splitting huge pages during CLEAR",
    since="6.8",
    effect="Clearing the dirty log splits huge pages up to the last page cleared, not up to the one before.",
)

RETRY_BEFORE_FAULTIN = Change(
    commit="d02c357e5bfa",
    title="KVM: x86/mmu: Retry fault before acquiring mmu_lock if mapping is changing",
    since="6.9",
    effect=(
        "A fault on what is being invalidated tries again before it asks the host for the page; before, the "
        "host had faulted it in, or failed to, by then."
    ),
)

ROOTS_WITHOUT_BUDGET = Change(
    commit="dab285e4ec73",
    title="KVM: x86/mmu: Alloc TDP MMU roots while holding mmu_lock for read",
    since="6.9",
    effect=(
        "A root is made without a look at the budget of shadow pages; before, a VM that has not had a "
        "memslot yet had none, and a vCPU could not enter."
    ),
)

AGING_NOT_FLUSHED = Change(
    commit="b9883ee40d7e",
    title="KVM: x86: Don't emit TLB flushes when aging SPTEs for mmu_notifiers",
    since="6.13",
    effect="clear_flush_young() no longer flushes.",
)

SPURIOUS_IF_ALLOWED = Change(
    commit="386d69f9f29b",
    title="KVM: x86/mmu: Treat TDP MMU faults as spurious if access is already allowed",
    since="6.13",
    effect=(
        "A fault that finds a leaf that allows the access changes nothing; before, the SPTE was made anew "
        "and written if it differed."
    ),
)

NX_RECOVERY_SHARED = Change(
    commit="a57750909580",
    title="KVM: x86/mmu: Recover TDP MMU NX huge pages using MMU read lock",
    since="6.18",
    effect="Tables that recovery removes are frozen whole; before, only their present entries.",
)

MMIO_CACHE_OF_ADDRESS_SPACE = Change(
    commit="b3e6212dea2e",
    title="KVM: x86: Use active memslots for the per-vCPU MMIO cache",
    since="7.3",
    effect=(
        "A vCPU's last MMIO access is forgotten when the memslots of its own address space change; before, "
        "those of the first counted, in SMM too (CVE-2026-99082)."
    ),
)

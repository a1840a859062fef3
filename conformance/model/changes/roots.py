# SPDX-License-Identifier: GPL-2.0-only
"""Changes in when roots are dropped, kept and synced: by control registers, PCIDs, and nested transitions."""

from __future__ import annotations

from conformance.model.changes.registry import Change

CR3_CHECKED_IN_ALL_MODES = Change(
    commit="886bbcc7a523",
    title="KVM: x86: Check CR3 GPA for validity regardless of vCPU mode",
    since="5.13",
    effect="CR3 beyond the guest's MAXPHYADDR causes #GP in every mode; before, in long mode.",
)

NEW_PGD_FLUSHES_NOTHING = Change(
    commit="b5129100398a",
    title='KVM: x86: Drop skip MMU sync and TLB flush params from "new PGD" helpers',
    since="5.14",
    effect=(
        "The caller has a root synced and TLBs flushed where another root is loaded; before, "
        "kvm_mmu_new_pgd() did if it found one in the cache, as its caller asked."
    ),
)

PCID_INVALIDATED = Change(
    commit="21823fbda552",
    title="KVM: x86: Invalidate all PGDs for the current PCID on MOV CR3 w/ flush",
    since="5.14",
    effect=(
        "MOV to CR3 with a flush concerns all roots of its PCID, and the current one is synced when the vCPU "
        "enters; before, only the root that is loaded, and a root that stays was synced at once."
    ),
)

INVPCID_FLUSHES_GUEST = Change(
    commit="28f28d453ffc",
    title="KVM: x86: Use KVM_REQ_TLB_FLUSH_GUEST to handle INVPCID(ALL) emulation",
    since="5.14",
    effect="INVPCID of all syncs and flushes; before, all roots were dropped.",
)

PG_KEPT_IN_64_BIT_MODE = Change(
    commit="777ab82d7ce0",
    title="KVM: X86: Raise #GP when clearing CR0_PG in 64 bit mode",
    since="5.17",
    effect="Clearing CR0.PG in 64-bit mode causes #GP; before, paging was off then.",
)

MMU_KEPT_ON_PCIDE_CLEARED = Change(
    commit="552617382c19",
    title="KVM: X86: Don't reset mmu context when X86_CR4_PCIDE 1->0",
    since="5.16",
    effect="Clearing CR4.PCIDE flushes; before, all roots were dropped.",
)

MMU_KEPT_ON_PGE = Change(
    commit="a91a7c709600",
    title="KVM: X86: Don't reset mmu context when toggling X86_CR4_PGE",
    since="5.16",
    effect="A change of CR4.PGE flushes; before, all roots were dropped.",
)

PDPTRS_CHECKED_FIRST = Change(
    commit="6e0918aec49a",
    title="KVM: x86/mmu: Check PDPTRs before allocating PAE roots",
    since="5.13",
    effect=(
        "No root is taken if a PDPTE points outside of the guest's memory; before, those of the PDPTEs "
        "before it were, and nothing gave them back."
    ),
)

PAGES_FOR_ALL_ROOTS = Change(
    commit="6e6ec5848574",
    title="KVM: x86/mmu: Ensure MMU pages are available when allocating roots",
    since="5.13",
    effect="Room for shadow pages is made once, before four PAE roots are taken; before, for each.",
)

LA57_RESETS_MMU = Change(
    commit="20f632bd0060",
    title="KVM: x86: Read and pass all CR0/CR4 role bits to shadow MMU helper",
    since="5.14",
    effect="A change of CR4.LA57 drops all roots.",
)

CACHED_WITHOUT_PCID = Change(
    commit="509bfe3d9791",
    title="KVM: X86: Cache CR3 in prev_roots when PCID is disabled",
    since="5.16",
    effect="Setting CR4.PCIDE drops all roots, as cached ones may be for values of CR3 with other PCIDs.",
)

PDPTES_RELOAD_ROOT = Change(
    commit="6b123c3a89a9",
    title="KVM: x86/mmu: Reconstruct shadow page root if the guest PDPTEs is changed",
    since="5.17",
    effect="Where other PDPTEs are loaded, the root is dropped.",
)

PDPTES_LOADED_ON_ENTRY = Change(
    commit="2c5653caecc4",
    title="KVM: X86: Ensure that dirty PDPTRs are loaded",
    since="5.17",
    effect="Loading PDPTEs requests that the processor gets the root again.",
)

CACHE_OF_ALL_ROOTS = Change(
    commit="5499ea73e7db",
    title="KVM: x86/mmu: look for a cached PGD when going from 32-bit to 64-bit",
    since="5.18",
    effect=(
        "A root is looked for in the cache whatever the guest's mode; before, only if the guest and the "
        "processor have 4 levels or more. Without a current root its place in the cache is not taken."
    ),
)

PGD_LOADED_AFTER_INIT = Change(
    commit="3cffc89d9d07",
    title="KVM: x86/mmu: load new PGD after the shadow MMU is initialized",
    since="5.18",
    effect="The MMU of L2 has its new role when a root is looked for; before, the last one's levels.",
)

PGD_FOR_ROLE_OF_MMU = Change(
    commit="d2e5f3334169",
    title="KVM: x86/mmu: Always use current mmu's role when loading new PGD",
    since="5.18",
    effect=(
        "MOV to CR3 looks for a root with the MMU's role; before, with one computed for it that had neither "
        "SMEP nor SMAP, and while L2 ran was that of L1's memory."
    ),
)

MMIO_CACHE_CLEARED_ON_UNLOAD = Change(
    commit="6d58f275e6dc",
    title="KVM: x86/mmu: clear MMIO cache when unloading the MMU",
    since="5.18",
    effect="Dropping all roots forgets the linear address of the last MMIO access.",
)

FLUSH_APART_FROM_RESET = Change(
    commit="b5f61c035d49",
    title="KVM: x86: flush TLB separately from MMU reset",
    since="5.18",
    effect="A change of CR0 or CR4 requests the flush that the architecture prescribes; before, none.",
)

EFER_LME_RESETS = Change(
    commit="d6174299365d",
    title="KVM: x86: Reinitialize context if host userspace toggles EFER.LME",
    since="5.18",
    effect="A change of EFER.LME drops all roots; before, of EFER.NX only.",
)

OBSOLETE_ROOTS_DROPPED = Change(
    commit="527d5cd7eece",
    title="KVM: x86/mmu: Zap only obsolete roots if a root shadow page is zapped",
    since="5.18",
    effect="If a root is zapped, vCPUs drop the roots that are obsolete; before, all of theirs.",
)

ROOTS_KEPT_ON_WP = Change(
    commit="01b31714bd90",
    title="KVM: x86: Do not unload MMU roots when only toggling CR0.WP with TDP enabled",
    since="6.4",
    effect="With two-dimensional paging a change of CR0.WP alone keeps the roots; before, they were dropped.",
)

SREGS_CHECK_CR0 = Change(
    commit="26a0652cb453",
    title="KVM: x86: Disallow KVM_SET_SREGS{2} if incoming CR0 is invalid",
    since="6.5",
    effect="Userspace cannot set a CR0 that the processor would not accept.",
)

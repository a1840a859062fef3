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

WRITE_PF_TO_SP_IN_FETCH = Change(
    commit="39fda5d873eb",
    title="KVM: x86/mmu: Detect write #PF to shadow pages during FNAME(fetch) walk",
    since="6.4",
    effect=(
        "A write counts as one to a table of its own translation only if the walk in the shadow pages passes "
        "that table; before, also if it is the root, and for other kinds of access to a writable page."
    ),
)

SYNC_SPTE = Change(
    commit="c3c6c9fc5d24",
    title="KVM: x86/mmu: Move the code out of FNAME(sync_page)'s loop body into mmu.c",
    since="6.4",
    effect="A page is synced to its end even if one entry of the guest's table cannot be read.",
)

UNCHANGED_ACCESS_NOT_SYNCED = Change(
    commit="e6722d9211b2",
    title="KVM: x86/mmu: Reduce the update to the spte in FNAME(sync_spte)",
    since="6.4",
    effect=(
        "Syncing leaves an SPTE alone if gfn and access are as before; before, it was made anew, without "
        "Accessed and Dirty."
    ),
)

ORPHANS_ZAPPED_ON_WRITE = Change(
    commit="69397c92de77",
    title="KVM: x86/mmu: Recursively zap orphaned nested TDP shadow pages on emulated writes",
    since="7.1",
    effect=(
        "An emulated write to a nested table zaps the page below the written entry if no other entry points "
        "to it; before, such pages stayed until they were the oldest."
    ),
)

SYNCED_BEFORE_LINK = Change(
    commit="65855ed8b034",
    title="KVM: X86: Synchronize the shadow pagetable before link it",
    since="5.15",
    effect="Unsync pages below a page are synced before an entry is made to point to it.",
)

NO_SELF_CHANGE_MAPPING = Change(
    commit="9a967700496f",
    title="KVM: x86/mmu: Remove FNAME(is_self_change_mapping)",
    since="6.4",
    effect=(
        "A huge page of the guest that contains one of the tables that translate it is mapped as large as "
        "the memslot allows; before, always by 4 KiB pages."
    ),
)

INVLPG_SYNCS_SPTE = Change(
    commit="9fd4a4e3a3d9",
    title="KVM: x86/mmu: Remove FNAME(invlpg) and use FNAME(sync_spte) to update vTLB instead.",
    since="6.4",
    effect=(
        "INVLPG syncs the SPTE of the address in unsync pages; before, it zapped the SPTE and mapped the "
        "page anew as a prefetch does."
    ),
)

INVLPG_CANONICAL_BY_HOST = Change(
    commit="9245fd6b8531",
    title="KVM: x86: model canonical checks more precisely",
    since="6.13",
    effect=(
        "INVLPG and INVPCID take an address that is canonical with as many bits as the host can translate, "
        "57 with LA57; before, with as many as the guest's paging translates."
    ),
)

SYNC_CHECKS_ROLE = Change(
    commit="2640b0865395",
    title="KVM: x86/mmu: WARN and zap SP when sync'ing if MMU role mismatches",
    since="5.14",
    effect=(
        "A page whose role is unlike the MMU's is zapped instead of synced, with a WARN; before, if only the "
        "size of entries differed, and without."
    ),
)

GPTE_SIZE_BY_ROLE = Change(
    commit="00a669780ffa",
    title="KVM: x86/mmu: Use MMU role to check for matching guest page sizes",
    since="5.14",
    effect=(
        "A page can be synced if entries have the size that the MMU's role says; before, that of CR4.PAE, "
        "and pages of EPT always, which were marked by CR0.WP and SMAP without CR0.WP at once."
    ),
)

UNSYNC_ZAPPED_BELOW_UPPER = Change(
    commit="ddc16abbbae9",
    title="KVM: x86/mmu: Unconditionally zap unsync SPs when creating >4k SP at GFN",
    since="5.14",
    effect="Where an upper page is made for a gfn, its unsync pages are zapped; before, they were synced.",
)

SYNC_FLUSHES_AT_ONCE = Change(
    commit="f81602958c11",
    title="KVM: X86: Fix missed remote tlb flush in rmap_write_protect()",
    since="5.15",
    effect=(
        "A sync that drops an SPTE flushes the TLBs of all vCPUs; before, with the next flush or "
        "invalidation (tlbs_dirty)."
    ),
)

LOCAL_FLUSHES_GONE = Change(
    commit="bd047e544089",
    title="KVM: X86: Don't flush current tlb on shadow page modification",
    since="5.16",
    effect=(
        "A change of shadow pages flushes the TLBs of all vCPUs or of none; before, a sync, an emulated "
        "write and a mapping that must stay read-only had the vCPU flush its own."
    ),
)

SYNC_SAYS_WHETHER_TO_FLUSH = Change(
    commit="c3e5e415bc1e",
    title="KVM: X86: Change kvm_sync_page() to return true when remote flush is needed",
    since="5.16",
    effect=(
        "A page is zapped if it cannot be synced; before, also if no SPTE was left in it. TLBs are "
        "flushed after all pages below a root were synced, and not after each."
    ),
)

EQUAL_SPTE_SYNCED = Change(
    commit="4758d47e0d68",
    title="KVM: MMU: inline set_spte in FNAME(sync_page)",
    since="5.16",
    effect="A sync that changes nothing in an MMU-writable SPTE without W requests a flush too.",
)

ZAPPED_WITH_FLUSH = Change(
    commit="5591c0694d85",
    title="KVM: X86: Zap the invalid list after remote tlb flushing",
    since="5.16",
    effect="Pages that a sync has zapped are freed with the next flush; before, by one of their own.",
)

# SPDX-License-Identifier: GPL-2.0-only
"""Changes that only concurrency shows: how entries are written, what is rechecked, and in which order.

Without concurrency a kernel that lacks them behaves like one that has them, so stories cannot identify them:
only the release can. No release ever lacked a Precaution.
"""

from __future__ import annotations

from conformance.model.changes.registry import Change, Precaution

# Shadow paging: the fast page fault, unsync pages, emulated writes, walks without mmu_lock.

FAST_FAULT_DIRECT_ONLY = Precaution(
    commit="",
    title="Fast page faults only where an SPTE stands for one gfn",
    since="3.6",
    effect=(
        "An indirect SPTE, whose gfn the guest decides, is not fixed without mmu_lock; otherwise the page "
        "that it maps could have become another gfn's (seed 4, case 1)."
    ),
)

FLUSH_IF_MMU_WRITABLE = Precaution(
    commit="",
    title="Flush after write-protection if the SPTE was MMU-writable",
    since="3.6",
    effect=(
        "Taking MMU-writable away asks for a flush although W was clear, since a fast page fault may have "
        "set it in between (seed 4, case 2)."
    ),
)

VOLATILE_IF_MMU_WRITABLE = Precaution(
    commit="",
    title="An SPTE that a fast page fault may change is volatile",
    since="3.6",
    effect=(
        "An SPTE that is MMU-writable is cleared by XCHG; otherwise Accessed set and W clear would allow a "
        "plain store, which loses Dirty (seed 4, case 3)."
    ),
)

FLUSHED_BEFORE_SYNC = Precaution(
    commit="",
    title="Flush before the tables of unsync pages are read",
    since="2.6",
    effect=(
        "Tables are write-protected and TLBs flushed, then entries are synchronized. A write through a TLB "
        "after that would be seen by no later flush, as the page is not unsync any more."
    ),
)

WRITTEN_BEFORE_ZAPPED = Precaution(
    commit="",
    title="An emulated write is made before KVM looks for what was made from the entry",
    since="2.6",
    effect=(
        "A fault that shadows the table either reads the new entry, or has counted and linked its pages "
        "before the emulated write looks for them."
    ),
)

WALK_HOLDS_OFF_FREEING = Precaution(
    commit="",
    title="A walk of shadow pages without mmu_lock holds off their freeing",
    since="3.6",
    effect=(
        "A vCPU that walks them says so in its mode, with interrupts disabled; it is sent an interrupt "
        "before they are freed."
    ),
)

GPTE_RECHECKED = Change(
    commit="f7d9c7b7b902",
    title="KVM: MMU: Fix race when instantiating a shadow pte",
    since="2.6",
    effect="A fault reads the guest's entries again under mmu_lock, whether their shadow page is new or not.",
)

UNSYNC_UNDER_SPINLOCK = Change(
    commit="ce25681d59ff",
    title="KVM: x86/mmu: Protect marking SPs unsync when using TDP MMU with spinlock",
    since="5.14",
    effect="Marking shadow pages unsync takes a lock of its own under mmu_lock for read.",
)

# The TDP MMU: how entries are written.

TDP_CMPXCHG = Change(
    commit="9a77daacc87d",
    title="KVM: x86/mmu: Use atomic ops to set SPTEs in TDP MMU map",
    since="5.12",
    effect=(
        "Under mmu_lock for read an SPTE is set by compare-and-exchange, and retried if that fails; before, "
        "it was stored."
    ),
)

REMOVED_BY_XCHG = Precaution(
    commit="",
    title="Entries of a table that is removed under mmu_lock for read are exchanged for frozen ones",
    since="5.12",
    effect=(
        "A fault that still walks the table finds every entry frozen, and its earlier changes are seen; "
        "otherwise entries are read and then overwritten. Came with e25f0e0cd51b, as frozen entries did."
    ),
)

PROCESSED_AFTER_FLUSH = Change(
    commit="aca48556c592",
    title="KVM: x86/mmu: Process atomically-zapped SPTEs after TLB flush",
    since="6.10",
    effect="A zap under mmu_lock for read is processed after the flush; before, ahead of it.",
)

# Faults against what makes them stale.

RETRY_AFTER_INVALIDATION = Change(
    commit="e930bffe95e1",
    title="KVM: Synchronize guest physical memory map to host virtual memory map",
    since="2.6",
    effect="A fault rechecks under mmu_lock whether its page was invalidated since it was looked up.",
)

RETRY_IF_SLOT_INVALID = Change(
    commit="e0c378684b65",
    title="KVM: x86/mmu: Retry page faults that hit an invalid memslot",
    since="5.13",
    effect="A fault on a slot that is being deleted or moved is retried; before, it was handled as MMIO.",
)

RETRY_IF_ROOT_INVALID = Change(
    commit="a955cad84cda",
    title="KVM: x86/mmu: Retry page fault if root is invalidated by memslot update",
    since="5.16",
    effect="A fault maps nothing in a root that was invalidated after the vCPU had loaded it.",
)

SLOTS_WAIT_FOR_INVALIDATIONS = Change(
    commit="52ac8b358b0c",
    title="KVM: Block memslot updates across range_start() and range_end()",
    since="5.15",
    effect="Memslots change only while no invalidation is in progress: its start and end see the same ones.",
)

CHANGE_PTE_WRAPPED = Change(
    commit="6bdb913f0a70",
    title="mm: wrap calls to set_pte_at_notify with invalidate_range_start and invalidate_range_end",
    since="3.7",
    effect=(
        "The host calls .change_pte() between the start and the end of an invalidation, so that it finds "
        "nothing to change; before, on its own."
    ),
)

ROOTS_FREED_SHARED = Change(
    commit="576a15de8d29",
    title="KVM: x86/mmu: Free TDP MMU roots while holding mmy_lock for read",
    since="6.9",
    effect="A vCPU frees a root under mmu_lock for read; before, for write.",
)

FREED_AFTER_GRACE_PERIOD = Precaution(
    commit="",
    title="Free a removed table after a grace period",
    since="5.12",
    effect="A walk without mmu_lock may still read a table that is unlinked: it is freed after such walks.",
)

# Dirty logs and aging.

LOG_EXCHANGED = Precaution(
    commit="",
    title="Exchange the words of the dirty bitmap",
    since="3.5",
    effect="A word is read and cleared atomically; otherwise a bit that is set in between is lost.",
)

LOG_TAKEN_BEFORE_PROTECTING = Precaution(
    commit="",
    title="Take a page from the dirty bitmap before it is write-protected",
    since="3.5",
    effect="A write between the two is reported twice; in the other order, its page is writable but clean.",
)

LOG_COPIED_AFTER_FLUSH = Precaution(
    commit="",
    title="Flush before userspace sees the dirty log",
    since="2.6",
    effect="Userspace copies a reported page; a write through a stale TLB entry could follow the copy.",
)

MARKED_AFTER_CMPXCHG = Precaution(
    commit="",
    title="Mark a page dirty after the fast page fault has made it writable",
    since="3.6",
    effect="Otherwise the bit could be cleared, with nothing to write-protect yet, before W is set.",
)

LOCKLESS_AGING = Change(
    commit="b146a9b34aed",
    title="KVM: x86/mmu: Age TDP MMU SPTEs without holding mmu_lock",
    since="6.15",
    effect="Pages are aged by one attempt of compare-and-exchange, without mmu_lock.",
)

AGED_ATOMICALLY = Precaution(
    commit="",
    title="Age an SPTE without A/D bits in a way that loses nothing",
    since="5.12",
    effect="An access-tracked SPTE replaces the current value, not the one read: W may have been set since.",
)

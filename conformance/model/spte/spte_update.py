# SPDX-License-Identifier: GPL-2.0-only
"""Changing a present SPTE in memory: atomically or by a plain store, and whether TLBs must be flushed."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.model.changes import (
    FLUSH_IFF_MMU_WRITABLE_CLEARED,
    NO_PFN_DIRTY,
    SPTE_INVARIANTS_CHECKED,
    UPDATE_FOLDED,
)
from conformance.model.layout import PT_WRITABLE_MASK
from conformance.model.semantics import Semantics
from conformance.model.spte.access import (
    is_accessed_spte,
    is_dirty_spte,
    spte_ad_enabled,
    spte_has_volatile_bits,
)
from conformance.model.spte.predicates import is_shadow_present_pte, spte_to_pfn
from conformance.model.spte.writability import (
    check_spte_writable_invariants,
    is_mmu_writable_spte,
    is_writable_pte,
)
from conformance.model.words import Truth, Word, clear, either, no, when, word

__all__ = [
    "ATOMIC",
    "PLAIN",
    "Update",
    "leaf_spte_change_needs_tlb_flush",
    "mmu_spte_update",
    "spte_clear_dirty",
    "spte_write_protect",
    "spte_wrprot_for_clear_dirty",
]

PLAIN, ATOMIC = 1, 1 << 8
"""How a word was written: one plain store, or one atomic read-modify-write, as oracles count them."""


@dataclass(frozen=True)
class Update:
    """The result of changing an SPTE.

    ``value`` is the function's return value (a bool as 0 or 1), ``memory`` the SPTE afterwards,
    ``accesses`` the writes (``PLAIN``, ``ATOMIC`` or 0). ``pfn_accessed`` and ``pfn_dirty`` are the page
    frames that were marked so in the host, 0 if none was.
    """

    value: Word
    memory: Word
    accesses: Word
    pfn_accessed: Word = 0
    pfn_dirty: Word = 0


def leaf_spte_change_needs_tlb_flush(k: Semantics, old_spte: Word, new_spte: Word) -> Truth:
    """Whether changing a present leaf SPTE needs a flush before mmu_lock is dropped: MMU-writable is cleared.

    Stale writable TLB entries may exist even if W is clear, from a fast page fault. Write-protection for the
    dirty log flushes later, aging does not flush. From c9b625625ba3 ("KVM:
    x86/mmu: Dedup logic for detecting TLB flushes on leaf SPTE changes") in v6.13.
    """
    return is_mmu_writable_spte(k, old_spte) & no(is_mmu_writable_spte(k, new_spte))


def mmu_spte_update(
    k: Semantics, memory: Word, raced: Word, new_spte: Word, run: Truth | bool = True
) -> Update:
    """Change a present SPTE to another for the same page; ``value`` is 1 if TLBs must be flushed.

    ``memory`` is the SPTE when the function reads it, ``raced`` the SPTE when it writes: an atomic write
    returns ``raced``, a plain store overwrites it unseen. Nothing is done in cases where ``run`` does not
    hold.
    """
    function = "mmu_spte_update" if k.has(UPDATE_FOLDED) else "mmu_spte_update_no_track"
    k.warn_on(function, no(is_shadow_present_pte(k, new_spte)) & run)
    if k.has(SPTE_INVARIANTS_CHECKED):
        check_spte_writable_invariants(k, new_spte, run)

    present = is_shadow_present_pte(k, memory) & run
    atomic = present & spte_has_volatile_bits(k, memory)
    old_spte = either(atomic, raced, memory)
    moved = spte_to_pfn(k, old_spte) != spte_to_pfn(k, new_spte)
    gone = no(is_shadow_present_pte(k, old_spte))
    k.warn_on(function, present & (moved | gone if k.has(UPDATE_FOLDED) else moved))

    changed = present if k.has(UPDATE_FOLDED) else present & no(gone)
    if k.has(FLUSH_IFF_MMU_WRITABLE_CLEARED):
        flush = leaf_spte_change_needs_tlb_flush(k, old_spte, new_spte)
    else:
        flush = is_mmu_writable_spte(k, old_spte) & no(is_writable_pte(new_spte))
    pfn_accessed: Word = 0
    pfn_dirty: Word = 0
    if not k.has(NO_PFN_DIRTY):
        aged = is_accessed_spte(k, old_spte) & no(is_accessed_spte(k, new_spte))
        cleaned = is_dirty_spte(k, old_spte) & no(is_dirty_spte(k, new_spte))
        k.calls("kvm_set_pfn_accessed", changed & aged)
        k.calls("kvm_set_pfn_dirty", changed & cleaned)
        pfn_accessed = when(changed & aged, spte_to_pfn(k, old_spte))
        pfn_dirty = when(changed & cleaned, spte_to_pfn(k, old_spte))
        flush = flush | aged | cleaned
    return Update(
        value=word(changed & flush),
        memory=either(run, new_spte, memory),
        accesses=either(run, either(atomic, ATOMIC, PLAIN), 0),
        pfn_accessed=pfn_accessed,
        pfn_dirty=pfn_dirty,
    )


def spte_write_protect(k: Semantics, memory: Word, raced: Word, pt_protect: Truth | bool) -> Update:
    """Clear W for the dirty log; with ``pt_protect``, for shadow paging, clear MMU-writable too.

    For shadow paging MMU-writable must be cleared, and TLBs flushed, even if W is clear already: a fast page
    fault may have made the SPTE writable in between, and a TLB may hold that.
    """
    needed = is_writable_pte(memory) | (pt_protect & is_mmu_writable_spte(k, memory))
    new_spte = clear(memory, PT_WRITABLE_MASK | when(pt_protect, k.shadow_mmu_writable_mask))
    return mmu_spte_update(k, memory, raced, new_spte, run=needed)


def spte_clear_dirty(k: Semantics, memory: Word, raced: Word) -> Update:
    """Clear Dirty of an SPTE with A/D bits, for the dirty log."""
    return mmu_spte_update(k, memory, raced, clear(memory, k.shadow_dirty_mask))


def spte_wrprot_for_clear_dirty(k: Semantics, raced: Word) -> Update:
    """Clear W by one locked bit operation; ``value`` is 1 if W was set.

    Without A/D bits the page is then marked dirty in the host. Removed by aa85986e7150 in v6.13.
    """
    was_writable = is_writable_pte(raced)
    memory = clear(raced, PT_WRITABLE_MASK)
    dirtied = was_writable & no(spte_ad_enabled(k, memory))
    k.calls("kvm_set_pfn_dirty", dirtied)
    return Update(
        value=word(was_writable),
        memory=memory,
        accesses=ATOMIC,
        pfn_dirty=when(dirtied, spte_to_pfn(k, memory)),
    )

# SPDX-License-Identifier: GPL-2.0-only
"""Making SPTEs: for a fault, for a table, from a huge page or into one, for a changed host page."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.model.changes import (
    ACC_READ,
    ACCESSED_IF_SYNCHRONIZING,
    CHANGED_PTE_CLEARS_MMU_WRITABLE,
    DIRTY_IF_WRITABLE,
    DIRTY_LOG_IN_MAKE_SPTE,
    ME_VALUE,
    MEMTYPE_MASK,
    NO_ACCESS_WARNS,
    NO_MEMTYPE_MASK,
    NONPRESENT_BIT_63,
    PML_BY_DIRTY_LOG_SIZE,
    RSVD_CHECKED_WHEN_MADE,
    SMALL_SPTE_NAME,
    SOFTWARE_ACCESSED,
    SPLIT_BUGS_VM,
    SPLIT_TAKES_EXECUTION,
    UNSYNC_HELPER_NAME,
    UNSYNC_NOT_FOR_PREFETCH,
    UNSYNC_ONLY_IF_NOT_WRITABLE,
    UNSYNC_SKIP_IFF_LEAF,
    XS_XU,
)
from conformance.model.layout import (
    PAGE_SHIFT,
    PG_LEVEL_4K,
    PT_PAGE_SIZE_MASK,
    PT_PRESENT_MASK,
    PT_WRITABLE_MASK,
    SPTE_BASE_ADDR_MASK,
)
from conformance.model.semantics import Semantics
from conformance.model.spte.access import (
    is_access_track_spte,
    mark_spte_for_access_track,
    restore_acc_track_spte,
    spte_ad_enabled,
)
from conformance.model.spte.predicates import is_large_pte, is_last_spte, is_rsvd_spte, is_shadow_present_pte
from conformance.model.spte.writability import is_writable_pte
from conformance.model.words import Truth, Word, any_set, clear, either, no, shl, when, word

__all__ = [
    "MadeSpte",
    "kvm_mmu_changed_pte_notifier_make_spte",
    "make_huge_page_split_spte",
    "make_huge_spte",
    "make_nonleaf_spte",
    "make_spte",
]


@dataclass(frozen=True)
class MadeSpte:
    """The result of make_spte(): the SPTE, whether it is write-protected, and the calls that were made.

    ``value`` is the return value, 1 if the page must stay write-protected. The others are arguments of
    calls, 0 where the call was not made: get_mt_mask() of the vendor module (gfn, whether the page is host
    MMIO), mmu_try_to_unsync_pages() (gfn; bit 0 can_unsync or synchronizing, bit 1 prefetch),
    mark_page_dirty_in_slot() (gfn).
    """

    value: Word
    new_spte: Word
    mt_mask_gfn: Word
    mt_mask_is_mmio: Word
    unsync_gfn: Word
    unsync_how: Word
    dirty_gfn: Word


def make_spte(
    k: Semantics,
    *,
    access: Word,
    gfn: Word,
    pfn: Word,
    old_spte: Word,
    level: Word,
    prefetch: Truth | bool,
    can_unsync: Truth | bool,
    host_writable: Truth | bool,
    ad_disabled: Truth | bool,
    guest_mode: Truth | bool,
    pml: Truth | bool,
    pfn_is_ram: Truth | bool,
    unsync_fails: Truth | bool,
    dirty_log: Truth | bool,
    nx_huge_pages: Truth | bool,
    mt_mask: Word,
    rsvd_bits: Word,
    bad_mt_xwr: Word,
) -> MadeSpte:
    """The SPTE that maps ``pfn`` for ``gfn`` at ``level`` with ``access`` (ACC_* bits) granted by the guest.

    ``old_spte`` is the SPTE that it replaces. Since 63c5754472e6 in v6.13 ``can_unsync`` is called
    ``synchronizing`` and means the opposite; it is passed as the kernel takes it. ``unsync_fails`` is the
    result of mmu_try_to_unsync_pages(), ``mt_mask`` that of get_mt_mask(). ``rsvd_bits`` are the reserved
    bits of pages at ``level``, ``bad_mt_xwr`` is as for is_rsvd_spte().
    """
    bits = k.layout
    huge = level > PG_LEVEL_4K
    if k.has(NONPRESENT_BIT_63):
        k.warn_on("make_spte", (access | k.shadow_present_mask) == bits.nonpresent_value)
    elif k.has(NO_ACCESS_WARNS):
        k.warn_on("make_spte", (access | k.shadow_present_mask) == 0)

    synchronizing = can_unsync if k.has(ACCESSED_IF_SYNCHRONIZING) else False
    young = no(prefetch) | synchronizing
    wrprot_only = guest_mode & pml if k.has(PML_BY_DIRTY_LOG_SIZE) else guest_mode
    spte = bits.spte_mmu_present_mask | k.shadow_present_mask
    spte = spte | either(
        ad_disabled, bits.spte_tdp_ad_disabled, when(wrprot_only, bits.spte_tdp_ad_wrprot_only)
    )
    spte = spte | when(young & _accessed_counts(k, spte), k.shadow_accessed_mask)

    forbidden = bits.acc_exec_mask | when(k.shadow_xu_mask != 0, bits.acc_user_mask)
    access = clear(access, when(huge & nx_huge_pages, forbidden))
    spte = spte | _permissions(k, access) | when(huge, PT_PAGE_SIZE_MASK)

    asks_memtype = _asks_memtype(k)
    k.calls("get_mt_mask", asks_memtype)
    spte = spte | when(asks_memtype, mt_mask)
    spte = spte | when(host_writable, k.shadow_host_writable_mask)
    me = k.shadow_me_value if k.has(ME_VALUE) else k.shadow_me_mask
    spte = spte | when(pfn_is_ram, me)
    spte = spte | shl(pfn, PAGE_SHIFT)

    wants_write = host_writable & any_set(access, bits.acc_write_mask)
    was_writable = is_writable_pte(old_spte)
    if k.has(UNSYNC_SKIP_IFF_LEAF):
        skip_unsync = is_last_spte(k, old_spte, level) & was_writable
    elif k.has(UNSYNC_ONLY_IF_NOT_WRITABLE):
        skip_unsync = was_writable
    else:
        skip_unsync = no(can_unsync) & was_writable
    asked = wants_write & no(skip_unsync)
    wrprot = asked & unsync_fails
    writable = wants_write & no(wrprot)
    spte = spte | when(writable, PT_WRITABLE_MASK | k.shadow_mmu_writable_mask)
    dirty = writable if k.has(DIRTY_IF_WRITABLE) else writable & no(skip_unsync)
    spte = spte | when(dirty & _accessed_counts(k, spte), k.shadow_dirty_mask)
    k.calls(_unsync_function(k), asked)

    tracked = prefetch & no(synchronizing)
    if not k.has(UNSYNC_ONLY_IF_NOT_WRITABLE):
        # Skipping the attempt to unsync also skipped access tracking.
        tracked = tracked & no(wants_write & skip_unsync)
    spte = either(tracked, mark_spte_for_access_track(k, spte, tracked), spte)
    if k.has(RSVD_CHECKED_WHEN_MADE):
        reserved = is_rsvd_spte(k, spte, rsvd_bits_mask=(rsvd_bits, rsvd_bits), bad_mt_xwr=bad_mt_xwr)
        k.warn_on("make_spte", reserved)

    logged = is_writable_pte(spte) & dirty_log
    if k.has(DIRTY_LOG_IN_MAKE_SPTE):
        k.warn_on("make_spte", logged & huge)
        k.calls("mark_page_dirty_in_slot", logged)
    how = word(can_unsync)
    if k.has(UNSYNC_NOT_FOR_PREFETCH):
        how = how | when(prefetch, 2)
    return MadeSpte(
        value=word(wrprot),
        new_spte=spte,
        mt_mask_gfn=when(asks_memtype, gfn),
        mt_mask_is_mmio=when(asks_memtype, word(no(pfn_is_ram))),
        unsync_gfn=when(asked, gfn),
        unsync_how=either(asked, how, 0),
        dirty_gfn=when(logged, gfn) if k.has(DIRTY_LOG_IN_MAKE_SPTE) else 0,
    )


def _accessed_counts(k: Semantics, spte: Word) -> Truth | bool:
    """Whether Accessed and Dirty are maintained in this SPTE: by the processor, since v6.13 by software."""
    return True if k.has(SOFTWARE_ACCESSED) else spte_ad_enabled(k, spte)


def _permissions(k: Semantics, access: Word) -> Word:
    """The bits that grant ``access``, without W, which does not depend on the guest alone."""
    bits = k.layout
    executable = any_set(access, bits.acc_exec_mask)
    user = any_set(access, bits.acc_user_mask)
    granted = when(any_set(access, bits.acc_read_mask), PT_PRESENT_MASK) if k.has(ACC_READ) else 0
    execution = either(executable, k.shadow_x_mask, k.shadow_nx_mask) | when(user, k.shadow_user_mask)
    if k.has(XS_XU):
        apart = when(executable, k.shadow_x_mask) | when(user, k.shadow_xu_mask)
        execution = either(k.shadow_nx_mask != 0, execution, apart)
    return granted | execution


def _asks_memtype(k: Semantics) -> Truth | bool:
    """Whether the vendor module is asked for a memory type to put into leaf SPTEs."""
    if k.has(NO_MEMTYPE_MASK):
        return k.get_mt_mask
    if k.has(MEMTYPE_MASK):
        return k.shadow_memtype_mask != 0
    return k.tdp_enabled


def _unsync_function(k: Semantics) -> str:
    return "mmu_try_to_unsync_pages" if k.has(UNSYNC_HELPER_NAME) else "mmu_need_write_protect"


def make_nonleaf_spte(k: Semantics, child: Word, ad_disabled: Truth | bool) -> Word:
    """The SPTE that points to the table at physical address ``child``, with all access."""
    granted = (
        k.shadow_present_mask | PT_WRITABLE_MASK | k.shadow_user_mask | k.shadow_x_mask | k.shadow_xu_mask
    )
    if k.has(ACC_READ):
        granted = granted | PT_PRESENT_MASK
    me = k.shadow_me_value if k.has(ME_VALUE) else k.shadow_me_mask
    ad = either(ad_disabled, k.layout.spte_tdp_ad_disabled, k.shadow_accessed_mask)
    return child | k.layout.spte_mmu_present_mask | granted | me | ad


def make_huge_page_split_spte(
    k: Semantics, huge_spte: Word, *, level: Word, access: Word, index: Word, nx_huge_pages: Truth | bool
) -> Word:
    """The SPTE for page ``index`` of the 512 that a huge SPTE is split into.

    ``level`` and ``access`` are those of the new table's role. A 4 KiB page becomes executable again if the
    guest allows it, since the NX mitigation applies to huge pages only. ``huge_spte`` must be huge.
    Called make_small_spte() since 430e264b7653 in v6.13.
    """
    function = "make_small_spte" if k.has(SMALL_SPTE_NAME) else "make_huge_page_split_spte"
    present = is_shadow_present_pte(k, huge_spte)
    large = is_large_pte(k, huge_spte)
    splits: Truth | bool = True
    if k.has(SPLIT_BUGS_VM):
        k.kvm_bug_on(function, no(present & large))
    else:
        k.warn_on(function, no(present))
        k.warn_on(function, present & no(large))
        splits = present & large

    small = level == PG_LEVEL_4K
    child = huge_spte | either(small, shl(index, PAGE_SHIFT), _offset(index, level))
    child = either(small, clear(child, PT_PAGE_SIZE_MASK), child)
    changes = small & nx_huge_pages & splits
    if not k.has(SPLIT_TAKES_EXECUTION):
        changes = changes & any_set(access, k.layout.acc_exec_mask)
    return either(splits, _change_executable(k, child, access, changes), 0)


def _offset(index: Word, level: Word) -> Word:
    """The offset of page ``index`` in a huge page that is split into pages of ``level`` 2 (2 MiB) or 3."""
    return either(level == 2, shl(index, PAGE_SHIFT + 9), shl(index, PAGE_SHIFT + 18))


def make_huge_spte(k: Semantics, small_spte: Word, *, level: Word, nx_huge_pages: Truth | bool) -> Word:
    """The huge SPTE at ``level`` (2 or 3) that one of its present small SPTEs collapses into.

    From 13e2e4f62a4b ("KVM: x86/mmu: Recover TDP MMU huge page mappings in-place instead of zapping")
    in v6.13. The NX mitigation makes it non-executable.
    """
    k.kvm_bug_on("make_huge_spte", no(is_shadow_present_pte(k, small_spte)) | (level == PG_LEVEL_4K))
    below = either(level == 2, (1 << 21) - 1, either(level == 3, (1 << 30) - 1, 0))
    huge = clear(small_spte | PT_PAGE_SIZE_MASK, below & SPTE_BASE_ADDR_MASK)
    return _change_executable(k, huge, 0, nx_huge_pages)


def _change_executable(k: Semantics, spte: Word, access: Word, changes: Truth | bool) -> Word:
    """``spte`` as executable as ``access`` says, access-tracked or not, where ``changes`` holds."""
    bits = k.layout
    executable = any_set(access, bits.acc_exec_mask)
    user = any_set(access, bits.acc_user_mask)
    granted = either(executable, k.shadow_x_mask, k.shadow_nx_mask)
    if k.has(XS_XU):
        apart = when(executable, k.shadow_x_mask) | when(user, k.shadow_xu_mask)
        granted = either(k.shadow_nx_mask != 0, granted, apart)
    all_of_them = k.shadow_nx_mask | k.shadow_x_mask | k.shadow_xu_mask

    tracked = is_access_track_spte(k, spte)
    accessible = either(tracked & changes, restore_acc_track_spte(k, spte), spte)
    changed = clear(accessible, all_of_them) | granted
    marked = mark_spte_for_access_track(k, changed, tracked & changes)
    return either(changes, either(tracked, marked, changed), spte)


def kvm_mmu_changed_pte_notifier_make_spte(k: Semantics, old_spte: Word, new_pfn: Word) -> Word:
    """The read-only SPTE after the host replaced the page by ``new_pfn``: dead code on x86.

    It clears Host-writable, which must not change in a present SPTE: the caller zaps the old one in between.
    Removed by f3b65bbaed7c in v6.10.
    """
    lost = PT_WRITABLE_MASK | k.shadow_host_writable_mask
    if k.has(CHANGED_PTE_CLEARS_MMU_WRITABLE):
        lost |= k.shadow_mmu_writable_mask
    new_spte = clear(clear(old_spte, SPTE_BASE_ADDR_MASK) | shl(new_pfn, PAGE_SHIFT), lost)
    return mark_spte_for_access_track(k, new_spte)

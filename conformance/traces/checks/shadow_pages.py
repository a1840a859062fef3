# SPDX-License-Identifier: GPL-2.0-only
"""Checks of mmu.c on shadow pages: how they are found, linked, made unsync, synchronized and freed."""

from __future__ import annotations

from conformance.traces.checks.check import adds, within

__all__ = ["SHADOW_PAGES"]

_check = within("mmu.c")
_STALE = "A page table of the guest may not be synchronized on a TLB flush: it keeps using old entries."
_DAMAGED = "The lists of shadow pages are damaged: a page may be freed twice, or used after it was freed."
_SPLIT = adds("ada51a9de737", "KVM: x86/mmu: Extend Eager Page Splitting to nested MMUs", "6.0")
_NX = adds("1aa9b9572b10", "kvm: x86: mmu: Recovery of shattered NX large pages", "5.4")

SHADOW_PAGES = (
    _check(
        "kvm_mmu_free_shadow_page", "a shadow page is freed that still has entries",
        "What it mapped is lost: reverse maps point into freed memory.", until="6.1", debug=True,
        also=("kvm_mmu_free_page",),
    ),
    _check(
        "kvm_mmu_check_sptes_at_free", "a shadow page is freed that still has present entries",
        "What it mapped is lost: reverse maps point into freed memory.", since="6.12", debug=True,
        says="shadow-present at free",
    ),
    _check("clear_unsync_child_bit", "the count of unsync children of a shadow page is below zero", _STALE),
    _check("kvm_unlink_unsync_page", "a shadow page was synchronized that is in sync", _STALE),
    _check(
        "kvm_sync_pages", "a page above 4 KiB is unsync",
        "Only pages of 4 KiB entries can be unsync: its children are never synchronized.", until="5.10",
    ),
    _check(
        "kvm_sync_page_check", "a shadow page is synchronized that is direct, or belongs to another MMU",
        "It is left as it is: the guest keeps using entries that it has changed.", since="6.12",
    ),
    _check(
        "mmu_pages_first", "a walk of unsync pages begins with an entry, not with a page", _STALE,
        names="INVALID_INDEX",
    ),
    _check("mmu_pages_first", "a page of 4 KiB entries has unsync children", _STALE,
    names="level == PG_LEVEL_4K"),
    _check("mmu_pages_clear_parents", "a walk of unsync pages has a parent without an index", _STALE),
    _check(
        "kvm_mmu_find_shadow_page", "an unsync page is found by a thread that is no vCPU's",
        "Eager splitting found a page that it cannot synchronize.", since="6.1", names="!vcpu", ends_vm=True,
        added=adds("cbd858b17e37", "KVM: x86/mmu: Allow NULL @vcpu in kvm_mmu_find_shadow_page()", "6.0"),
    ),
    _check(
        "kvm_mmu_find_shadow_page", "synchronizing a shadow page has zapped others", _DAMAGED,
        names="invalid_list", also=("kvm_mmu_get_page",),
    ),
    _check(
        "__kvm_mmu_get_shadow_page", "a shadow page is asked for before there is a hash table for them",
        "KVM has no memory for shadow pages of this machine: a defect of its setup.", since="7.2", bug=True,
    ),
    _check(
        "kvm_mmu_child_role", "a child is made for a shadow page that is zapped",
        "The child would hang below freed memory; KVM makes it a valid one.", since="6.1", names=r"\.invalid",
    ),
    _check(
        "kvm_mmu_child_role", "a page of a 32-bit guest's directory is made above 4 KiB entries",
        "A wrong quarter of the guest's table is shadowed.", since="6.1", names=r"role\.level",
    ),
    _check(
        "__link_shadow_page", "a table is linked below a table of 4 KiB entries",
        "The processor takes the table for a page of the guest.", since="6.1", names=r"role\.level",
    ),
    _check(
        "__link_shadow_page", "a table is linked that has unsync children",
        "It should have been synchronized first; KVM marks its parents, and synchronizes it later.",
        since="6.12", names="unsync_children", fixes=("65855ed8b034",),
    ),
    _check(
        "kvm_mmu_commit_zap_page", "a page that is freed is in use: a vCPU has it as its root",
        "A vCPU may run on page tables that are freed.",
    ),
    _check(
        "mmu_try_to_unsync_pages", "a shadow page above 4 KiB would become unsync",
        "Its children would never be synchronized: the guest keeps using entries that it has changed.",
        also=("mmu_need_write_protect",), fixes=("2867eb782cf7",),
    ),
    _check(
        "mmu_set_spte", "an SPTE of a direct MMU was replaced by one of another page",
        "A notifier was missed: the guest may have used a page that the host had given to another use.",
        since="7.2", names=r"\bdirect\b", fixes=("df8374607577",),
        added=adds(
            "11d45175111d", "KVM: x86/mmu: Warn if PFN changes on shadow-present SPTE in shadow MMU", "6.16"
        ),
    ),
    _check(
        "mmu_set_spte", "a fault is spurious, though the entry was not there before",
        "The reverse map may hold the entry twice.", names="RET_PF_SPURIOUS|was_rmapped",
    ),
    _check(
        "kvm_mmu_prefetch_sptes", "more entries are prefetched than KVM ever does at once",
        "Nothing is prefetched; the guest is not affected.", since="7.2",
    ),
    _check(
        "__direct_pte_prefetch", "direct entries are prefetched into a shadow page that is not direct",
        "The guest may get entries that its own tables do not have.",
    ),
    _check(
        "kvm_zap_obsolete_pages", "the list of shadow pages has one that was zapped already", _DAMAGED,
        fixes=("7a2c70e777a0",),
    ),
    _check("kvm_mmu_zap_all", "the list of shadow pages has one that was zapped already", _DAMAGED),
    _check(
        "shadow_mmu_try_split_huge_pages", "a huge page of no nested guest is to be split here",
        "The page stays huge: its writes are logged as a whole or fault.", since="6.1", names="guest_mode",
        added=_SPLIT, fixes=("ada51a9de737",),
    ),
    _check(
        "shadow_mmu_try_split_huge_pages", "an entry is to be split that is no huge page",
        "The entry stays: its reverse map is damaged.", since="6.1", names="is_large_pte",
        added=_SPLIT, fixes=("ada51a9de737",),
    ),
    _check(
        "shadow_mmu_try_split_huge_pages", "a huge page lies in an unsync shadow page",
        "Only pages of 4 KiB entries can be unsync: the entry is left alone.", since="6.1", names="unsync",
        added=_SPLIT, fixes=("ada51a9de737",),
    ),
    _check(
        "kvm_recover_nx_huge_pages", "the list of split huge pages has a page that is not marked as such",
        "The counters of this mitigation are wrong; a page may stay split.", names=r"^!sp->(?:lpage|nx)",
        also=("kvm_recover_nx_lpages",), added=_NX, fixes=("428e921611bc", "76901e56fb51"),
    ),
    _check(
        "kvm_recover_nx_huge_pages", "the list of split huge pages has a page that is not direct",
        "A page table of the guest is zapped as a split huge page.", since="6.12", names=r"role\.direct",
    ),
    _check(
        "kvm_recover_nx_huge_pages", "a split huge page has no memslot",
        "The page is zapped without regard to dirty logging; before the address space was looked at, SMM's "
        "pages were looked up in the wrong one.", since="6.12", names=r"^!slot",
        also=("kvm_mmu_sp_dirty_logging_enabled",),
        fixes=("eb298605705a",),
    ),
    _check(
        "kvm_recover_nx_huge_pages", "a split huge page was zapped, but is still marked as split",
        "The same page may be zapped again and again.", names=r"^sp->(?:lpage|nx)",
        also=("kvm_recover_nx_lpages",), added=_NX, fixes=("428e921611bc", "76901e56fb51"),
    ),
)  # fmt: skip
"""Checks on shadow pages."""

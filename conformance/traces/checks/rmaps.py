# SPDX-License-Identifier: GPL-2.0-only
"""Checks of mmu.c on single SPTEs of shadow paging and on reverse maps."""

from __future__ import annotations

from conformance.traces.checks.check import adds, within

__all__ = ["RMAPS"]

_check = within("mmu.c")
_LOST_MEMORY = "The guest may read or write a page that the host has given to another use."
_VE = "The processor may deliver #VE to a guest that does not expect it."
_RMAP_LOCK = adds(
    "4834eaded91e", "KVM: x86/mmu: Add infrastructure to allow walking rmaps outside of mmu_lock", "6.15"
)
_LOCKLESS = adds("bb6c7749ccee", "KVM: x86/mmu: Add support for lockless walks of rmap SPTEs", "6.15")
_MISSED = f"Later invalidations miss SPTEs. {_LOST_MEMORY}"
_UNEXPECTED = ("0cb2af2ea66a", "81ccda30b4e8")
_NO_GFNS = adds("2032a93d66fa", "KVM: MMU: Don't allocate gfns page for direct mmu pages", "2.6")

RMAPS = (
    _check(
        "__set_spte", "an SPTE was written that would let the processor deliver #VE",
        _VE, since="6.12", debug=True,
    ),
    _check(
        "__update_clear_spte_fast", "an SPTE was written that would let the processor deliver #VE",
        _VE, since="6.12", debug=True,
    ),
    _check(
        "__update_clear_spte_slow", "an SPTE was exchanged for one that would let the processor deliver #VE",
        _VE, since="6.12", debug=True,
    ),
    _check(
        "mmu_spte_set", "a new SPTE was written over one that is present",
        "The old entry was not dropped: its reverse map entry and the count of its table are lost.",
        fixes=("aad885e77496",),
    ),
    _check(
        "mmu_spte_update", "a present SPTE was updated to one that is not present",
        "An entry went away without a zap: reverse maps and counters keep it.",
        names=r"present_pte\(new_spte\)(?!.*pfn)", also=("mmu_spte_update_no_track",),
    ),
    _check(
        "mmu_spte_update", "an SPTE was updated to map another page, or one that is not present was updated",
        f"The page was changed without a zap and a flush of TLBs. {_LOST_MEMORY}",
        names="spte_to_pfn", also=("mmu_spte_update_no_track",),
    ),
    _check(
        "mmu_spte_clear_track_bits", "an SPTE was zapped whose page was freed already",
        f"A notifier was missed. {_LOST_MEMORY}", until="6.12",
    ),
    _check(
        "restore_acc_track_spte", "the rights of an SPTE with A/D bits were to be restored",
        "Access tracking is not used with A/D bits: the rights of the entry may be wrong.",
        until="5.10", names="ad_enabled",
    ),
    _check(
        "restore_acc_track_spte", "the rights of an SPTE that is not access-tracked were to be restored",
        "The entry may get rights that were never saved.", until="5.10", names="is_access_track",
    ),
    _check(
        "kvm_mmu_page_set_translation",
        "an entry of a direct shadow page stands for another gfn than its place",
        "The guest sees a page at a wrong address, and the reverse map of the right gfn has no such entry: "
        "the page may be used after it was freed.",
        names="kvm_mmu_page_get_gfn", says="gfn mismatch under", also=("kvm_mmu_page_set_gfn",),
        added=_NO_GFNS, fixes=(*_UNEXPECTED, "84e5ffd045f3"),
    ),
    _check(
        "kvm_mmu_page_set_translation", "an entry of a direct shadow page has other access than its page",
        "The guest may get rights that its own tables do not give it, or fault without end.",
        since="6.1", names="kvm_mmu_page_get_access", says="access mismatch under",
        added=adds("6a97575d5cff", "KVM: x86/mmu: Cache the access bits of shadowed translations", "6.0"),
        fixes=("6a97575d5cff", "9ecc1c119b28"),
    ),
    _check(
        "update_gfn_disallow_lpage_count", "the count of reasons against a huge page is below zero",
        "Huge pages may be mapped where they must not be, or never again.", until="6.1", names="< 0",
    ),
    _check(
        "update_gfn_disallow_lpage_count",
        "the count of reasons against a huge page ran into the mark for mixed attributes",
        "Huge pages may be mapped where they must not be, or never again.", since="6.12", names="MIXED",
        added=adds("90b4fe17981e", "KVM: x86: Disallow hugepages when memory attributes are mixed", "6.8"),
    ),
    _check(
        "__kvm_rmap_unlock", "a reverse map was to be unlocked to a value that says locked",
        "The next user of this reverse map waits without end.", since="7.2", debug=True, added=_RMAP_LOCK,
    ),
    _check(
        "kvm_rmap_unlock_readonly", "a reverse map was changed while a reader held it",
        "Two threads change one reverse map: entries can be lost.", since="7.2", debug=True,
        added=_LOCKLESS,
    ),
    _check(
        "pte_list_desc_remove_entry", "a block of a reverse map is empty",
        f"The reverse map is damaged. {_MISSED}", since="6.12", bug=True, ends_vm=True,
        fixes=_UNEXPECTED,
    ),
    _check(
        "pte_list_remove", "an SPTE is removed from an empty reverse map", _MISSED,
        names=r"0->BUG|!rmap_val|!rmap_head", says="0->BUG", also=("__pte_list_remove",),
        bug=True, ends_vm=True, fixes=_UNEXPECTED,
    ),
    _check(
        "pte_list_remove", "an SPTE is removed from a reverse map that has one other entry", _MISSED,
        names=r"1->BUG|!= spte", says="1->BUG", also=("__pte_list_remove",),
        bug=True, ends_vm=True, fixes=_UNEXPECTED,
    ),
    _check(
        "pte_list_remove", "an SPTE is removed from a reverse map that has many others", _MISSED,
        names=r"many->many|^true\b", says="many->many", also=("__pte_list_remove",),
        bug=True, ends_vm=True, fixes=_UNEXPECTED,
    ),
    _check(
        "rmap_get_first", "the first entry of a reverse map is not present",
        "The reverse map is damaged: SPTEs may be missed when pages are reclaimed.", until="6.12", bug=True,
        fixes=_UNEXPECTED,
    ),
    _check(
        "rmap_get_next", "an entry of a reverse map is not present",
        "The reverse map is damaged: SPTEs may be missed when pages are reclaimed.", until="6.12", bug=True,
        fixes=_UNEXPECTED,
    ),
    _check(
        "for_each_rmap_spte", "an entry of a reverse map is not present; it is skipped",
        "The reverse map is damaged: SPTEs may be missed when pages are reclaimed.", since="7.2",
        added=_LOCKLESS,
        fixes=_UNEXPECTED,
    ),
    _check(
        "__drop_large_spte", "a huge SPTE is dropped that lies in a table of 4 KiB entries",
        "The entry or the table's level is wrong: page tables are damaged.", until="5.10",
    ),
    _check(
        "spte_clear_dirty", "Dirty is cleared in an SPTE without A/D bits",
        "The write is not logged: a migration may lose it.", debug=True,
    ),
    _check(
        "kvm_set_pte_rmap", "the host replaced a page by a huge page, where only small ones can be replaced",
        f"KVM keeps what it had. {_LOST_MEMORY}", until="6.1", also=("kvm_set_pte_rmapp",),
    ),
)  # fmt: skip
"""Checks on single SPTEs and reverse maps."""

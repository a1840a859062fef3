# SPDX-License-Identifier: GPL-2.0-only
"""Checks of spte.c and spte.h, which make SPTEs and choose their masks."""

from __future__ import annotations

from conformance.model.changes import NO_ACCESS_WARNS, RSVD_CHECKED_WHEN_MADE, SPTE_INVARIANTS_HELPER
from conformance.traces.checks.check import adds, within

__all__ = ["SPTES"]

_check = within("spte.c")
_header = within("spte.h")
_LOST_MEMORY = "The guest may read or write a page that the host has given to another use."
_MMIO_OFF = "MMIO caching is switched off: each access to a device is slower, but right."
_ENCRYPTION = adds("e54f1ff244ac", "KVM: x86/mmu: Add shadow_me_value and repurpose shadow_me_mask", "5.19")
_IN_PLACE = adds(
    "13e2e4f62a4b", "KVM: x86/mmu: Recover TDP MMU huge page mappings in-place instead of zapping", "6.13"
)
_NOT_PRESENT = "Bits of an entry that is not present, or of an MMIO SPTE, are taken for its A/D bits."
_MASKS = "The module's masks are wrong from its load on: the thread is killed."

SPTES = (
    _check(
        "generation_mmio_spte_mask", "a memslots generation does not fit into an MMIO SPTE",
        "A stale MMIO SPTE may count as valid: the guest sees a device where memory is.",
    ),
    _check(
        "make_mmio_spte", "an MMIO SPTE was made though MMIO caching is off",
        "The SPTE is taken for non-present; the access is emulated each time.", since="6.1", until="6.12",
        fixes=("30ab5901da57",),
    ),
    _check(
        "make_spte", "an SPTE was made that grants no access at all",
        "KVM and the processor take it for non-present: the guest faults at this gfn again and again.",
        since="6.1", names="pte_access", added=NO_ACCESS_WARNS,
    ),
    _check(
        "make_spte", "an SPTE was made that has reserved bits set",
        "The guest faults at this gfn again and again, since the processor refuses the entry.",
        since="6.1", names="is_rsvd_spte", says="rsvd bits = 0x", added=RSVD_CHECKED_WHEN_MADE,
    ),
    _check(
        "make_spte", "a huge page is writable while its memslot is logged",
        "Its dirty pages are logged as one: a migration loses writes. A huge page must not be writable while "
        "logging.",
        since="6.1", names="level > PG_LEVEL_4K",
    ),
    _check(
        "make_small_spte", "an entry is to be split that is not present",
        "The small entries map what the stray bits of the entry name.", since="6.1", until="6.1",
        names="^!is_shadow_present[^|]*$", also=("make_huge_page_split_spte",),
        fixes=("3d4415ed75a5",),
    ),
    _check(
        "make_small_spte", "an entry is to be split that is no huge page",
        "The small entries would map pages that were never the guest's.", since="6.1", until="6.1",
        names=r"^!is_large_pte", also=("make_huge_page_split_spte",), fixes=("3d4415ed75a5",),
    ),
    _check(
        "make_small_spte", "an entry is to be split that is not present or no huge page",
        "The virtual machine is ended by KVM: the small entries would map pages that were never the guest's.",
        since="6.12", names=r"\|\|", also=("make_huge_page_split_spte",), ends_vm=True,
        fixes=("3d4415ed75a5",),
    ),
    _check(
        "make_huge_spte", "a huge page is to be made of an entry that is not present, or at 4 KiB",
        "The virtual machine is ended by KVM.", since="7.2", ends_vm=True, added=_IN_PLACE,
    ),
    _check(
        "modify_spte_protections", "the same bits are to be set and cleared in an SPTE",
        "The entry gets rights that its caller did not ask for.", since="7.2", debug=True,
    ),
    _check(
        "mark_spte_for_access_track", "a writable SPTE is access-tracked that may not become writable again",
        "The guest's next write faults, and is not fixed without mmu_lock.", until="5.10",
        names="PT_WRITABLE", says="not locklessly dirty-trackable",
    ),
    _check(
        "mark_spte_for_access_track", "an SPTE was marked for access tracking twice",
        "Saved rights are lost: the guest may fault without end at this gfn.",
        names="SAVED_BITS", says="saved bit locations are not zero",
        added=adds(
            "f160c7b7bb32", "kvm: x86: mmu: Lockless access tracking for Intel CPUs without EPT A bits.",
            "4.11"
        ),
    ),
    _check(
        "kvm_mmu_set_mmio_spte_mask", "the access bits of MMIO SPTEs do not fit into 32 bits", _MASKS,
        names="access_mask", bug=True,
    ),
    _check(
        "kvm_mmu_set_mmio_spte_mask", "the mark of MMIO SPTEs takes bits where L1TF keeps the gfn", _MMIO_OFF,
        names="RSVD_MASK_LEN", fixes=("44aaa0150bfd",),
    ),
    _check(
        "kvm_mmu_set_mmio_spte_mask", "the mark of MMIO SPTEs takes low bits of the gfn",
        "A device may be seen at a wrong gfn.", names="lower_gfn",
    ),
    _check(
        "kvm_mmu_set_mmio_spte_mask", "the mask of MMIO SPTEs has bits that hold their generation or gfn",
        _MMIO_OFF,
        since="6.1", names="ALLOWED",
    ),
    _check(
        "kvm_mmu_set_mmio_spte_mask", "the mark of MMIO SPTEs has bits outside of its mask", _MMIO_OFF,
        since="6.1", names=r"\) != mmio_value",
    ),
    _check(
        "kvm_mmu_set_mmio_spte_mask", "a frozen SPTE looks like an MMIO SPTE", _MMIO_OFF,
        since="6.1", names="REMOVED|FROZEN",
    ),
    _check(
        "kvm_mmu_set_me_spte_mask", "the encryption bits of SPTEs are outside of their mask",
        "Entries may name an encrypted page without the key, or be refused by the processor.",
        since="6.1", added=_ENCRYPTION,
    ),
    _check(
        "kvm_mmu_set_mask_ptes", "there is a Dirty bit without an Accessed bit, or the reverse", _MASKS,
        until="5.10", names="dirty_mask", bug=True,
    ),
    _check(
        "kvm_mmu_set_mask_ptes", "there is neither an Accessed bit nor access tracking", _MASKS,
        until="5.10", names=r"&& !acc_track", bug=True,
    ),
    _check(
        "kvm_mmu_set_mask_ptes", "access tracking uses the bits that say what an SPTE is", _MASKS,
        until="5.10", names="SPECIAL", bug=True,
    ),
    _check(
        "kvm_mmu_reset_all_pte_masks", "the processor's cache has as many address bits as an SPTE holds",
        "There is no room to flip address bits against L1TF: the mitigation of MMIO SPTEs is off.",
    ),
    _header(
        "spte_ad_enabled", "A/D bits are asked for in an entry that is not a present SPTE", _NOT_PRESENT,
        debug=True,
    ),
    _header(
        "spte_ad_need_write_protect",
        "write-protection for PML is asked for in an entry that is not a present SPTE",
        _NOT_PRESENT, debug=True,
    ),
    _header(
        "spte_shadow_accessed_mask", "Accessed is asked for in an entry that is not a present SPTE",
        _NOT_PRESENT, until="6.12", debug=True,
    ),
    _header(
        "spte_shadow_dirty_mask", "Dirty is asked for in an entry that is not a present SPTE",
        _NOT_PRESENT, until="6.12", debug=True,
    ),
    _header(
        "check_spte_writable_invariants", "an SPTE is MMU-writable, but not Host-writable",
        f"A write may go to a page that the host only lends for reading. {_LOST_MEMORY}",
        since="6.1", names="host_writable", says="MMU-writable SPTE is not Host-writable",
        added=SPTE_INVARIANTS_HELPER, fixes=("f082d86ea685", "115111efd97c"),
    ),
    _header(
        "check_spte_writable_invariants", "an SPTE is writable, but not MMU-writable",
        "KVM may not notice writes: dirty logging and write tracking can lose them.",
        since="6.1", names="is_writable_pte", says="Writable SPTE is not MMU-writable",
        added=SPTE_INVARIANTS_HELPER, fixes=("115111efd97c",),
    ),
)  # fmt: skip
"""Checks on the making of SPTEs."""

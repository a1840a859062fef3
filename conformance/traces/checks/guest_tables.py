# SPDX-License-Identifier: GPL-2.0-only
"""Checks of paging_tmpl.h, which walks and shadows the guest's own tables, and of page_track.c."""

from __future__ import annotations

from conformance.traces.checks.check import adds, within

__all__ = ["GUEST_TABLES"]

_walk = within("paging_tmpl.h")
_track = within("page_track.c")
_MODES = "Page tables of tracked gfns may be written unseen: the guest keeps using old entries."
_SPURIOUS = "The guest's own page tables and KVM's shadow of them disagree."

GUEST_TABLES = (
    _walk(
        "FNAME(walk_addr_generic)", "a walk of the guest's tables went below 4 KiB",
        "The thread is killed: reserved or size bits were taken wrongly.", names=r"level < 1", bug=True,
    ),
    _walk(
        "FNAME(walk_addr_generic)", "the guest is in long mode without PAE",
        "No processor allows that: the virtual machine is ended.", since="6.12", until="7.3",
        names="is_long_mode", ends_vm=True,
        added=adds(
            "72e2fb24a0b0", "KVM: x86/mmu: Bug the VM if a vCPU ends up in long mode without PAE enabled",
            "6.6"
        ),
    ),
    _walk(
        "FNAME(walk_addr_generic)", "the guest's tables have more levels than this walk can hold",
        "The walk ends before it writes beyond its arrays.", since="7.3", names="max_level", ends_vm=True,
    ),
    _walk(
        "FNAME(fetch)", "a vCPU faulted without a valid root",
        "The fault is retried: the vCPU ran on page tables that were freed or never loaded.",
        names="VALID_PAGE",
        fixes=("2abd5287f083",),
    ),
    _walk(
        "FNAME(fetch)", "the walk of the guest's tables and the fault are at different gfns",
        f"{_SPURIOUS} The wrong page would be mapped.", since="6.1", names=r"gw->gfn",
    ),
    _walk(
        "FNAME(fetch)", "a walk ended above or below its goal", "The run of the vCPU ends with -EFAULT.",
        since="6.1", names="goal_level",
    ),
    _walk(
        "FNAME(page_fault)", "a fault of TDP came to the handler of shadow paging",
        f"{_SPURIOUS} An L2 guest's fault is taken for L1's.", since="6.1",
    ),
    _walk(
        "FNAME(get_level1_sp_gpa)", "a page above 4 KiB is synchronized entry by entry",
        "Its children are never synchronized: the guest keeps using entries that it has changed.",
        fixes=("0f38453cdb2e",),
    ),
    _walk(
        "FNAME(invlpg)", "an address is invalidated while the vCPU has no valid root",
        "Nothing is invalidated: the guest may keep using an old entry.", until="6.1",
    ),
    _walk(
        "FNAME(gva_to_gpa)", "a 32-bit guest's address has more than 32 bits",
        "The upper bits are ignored.", since="6.1",
    ),
    _walk(
        "FNAME(gva_to_gpa_nested)", "a 32-bit nested guest's address has more than 32 bits",
        "The upper bits are ignored.", until="5.10",
    ),
    _walk(
        "FNAME(sync_page)", "a page is synchronized that is direct, or belongs to another MMU",
        "It is left as it is: the guest keeps using entries that it has changed. 5.10 kills the thread.",
        until="6.1", bug=True,
    ),
    _walk(
        "FNAME(sync_spte)", "an entry is synchronized that is not there, or has no guest's entry",
        "The entry is left alone.", since="6.12",
    ),
    _track(
        "update_gfn_write_track", "the count of trackers of a gfn is below zero or too large",
        f"A tracker was removed twice. {_MODES}", also=("update_gfn_track",),
    ),
    _track(
        "kvm_slot_page_track_add_page", "a gfn is to be tracked in a mode that does not exist",
        f"The gfn is not tracked. {_MODES}", until="6.1", names="mode_is_valid",
    ),
    _track(
        "__kvm_write_track_add_gfn", "a gfn is to be tracked though tracking is off",
        f"The gfn is not tracked. {_MODES}", since="6.1", names="tracking_enabled",
        also=("kvm_slot_page_track_add_page",), ends_vm=True,
    ),
    _track(
        "kvm_slot_page_track_remove_page", "tracking is to end in a mode that does not exist",
        "The gfn stays tracked: each write to it is emulated.", until="6.1", names="mode_is_valid",
    ),
    _track(
        "__kvm_write_track_remove_gfn", "tracking of a gfn is to end though tracking is off",
        "A tracker was removed that was never added.", since="6.1", names="tracking_enabled",
        also=("kvm_slot_page_track_remove_page",), ends_vm=True,
    ),
    _track(
        "kvm_slot_page_track_is_active", "tracking is asked for in a mode that does not exist",
        f"The gfn counts as not tracked. {_MODES}", until="6.1", also=("kvm_page_track_is_active",),
    ),
)  # fmt: skip
"""Checks on the guest's tables and on tracked gfns."""

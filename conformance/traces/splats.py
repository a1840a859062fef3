# SPDX-License-Identifier: GPL-2.0-only
"""WARNs and BUGs of the MMU in a log: which check it was, in which kernels it is, and what it means.

The line of a WARN names a function and a place in its source. The compiler inlines: the function may be a
caller of the one that checks. Where several checks remain, all are named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from conformance.model.changes import (
    NO_ACCESS_WARNS,
    RSVD_CHECKED_WHEN_MADE,
    SPTE_INVARIANTS_HELPER,
    SPURIOUS_IF_ALLOWED,
    Change,
)

__all__ = ["CHECKS", "Check", "Splat", "Splats"]

_ALL = ("5.10", "6.1", "6.12", "7.2", "7.3")
_SINCE_6_1 = _ALL[1:]
_SINCE_6_12 = _ALL[2:]


@dataclass(frozen=True)
class Check:
    """A WARN or BUG of the MMU.

    ``function`` has it, in the ``kernels`` of these series; ``callers`` are functions that it is inlined
    into. ``says`` is a part of the message that it prints, "" if it prints none. ``added`` is the change that
    brought it, None if that was not looked for.
    """

    function: str
    what: str
    means: str
    kernels: tuple[str, ...] = _ALL
    callers: tuple[str, ...] = ()
    says: str = ""
    added: Change | None = None
    bug: bool = False


_CHANGED = ("handle_changed_spte", "__handle_changed_spte", "tdp_mmu_set_spte_atomic", "tdp_mmu_set_spte",
            "__tdp_mmu_set_spte", "_tdp_mmu_set_spte", "handle_removed_pt", "tdp_mmu_link_sp")  # fmt: skip
_ONLY_LOG = "The guest is not affected: both entries map nothing."
_LOST_MEMORY = "The guest may read or write a page that the host has given to another use."

CHECKS = (
    Check(
        "__handle_changed_spte", "a present leaf SPTE was replaced by one of another page, without a zap",
        f"A notifier was missed, or raced with a fault. {_LOST_MEMORY} The host ends itself.",
        callers=_CHANGED, says="Invalid SPTE change", bug=True,
    ),
    Check(
        "__handle_changed_spte", "an entry that maps nothing was replaced by another that maps nothing",
        _ONLY_LOG, callers=_CHANGED, says="Unexpected SPTE change",
    ),
    Check(
        "__handle_changed_spte", "an entry that points to a table was made to point to another",
        "A table of the guest's memory was lost, with what it mapped.", _SINCE_6_1, _CHANGED,
    ),
    Check(
        "__handle_changed_spte", "the gfn or the level of a changed entry cannot be",
        "The iterator of the TDP MMU walked out of its tables: a defect of KVM.", callers=_CHANGED,
    ),
    Check(
        "check_spte_writable_invariants", "an SPTE is MMU-writable, but not Host-writable",
        f"A write may go to a page that the host only lends for reading. {_LOST_MEMORY}",
        _SINCE_6_1, ("mmu_spte_update", "mark_spte_for_access_track", *_CHANGED),
        "MMU-writable SPTE is not Host-writable", SPTE_INVARIANTS_HELPER,
    ),
    Check(
        "check_spte_writable_invariants", "an SPTE is writable, but not MMU-writable",
        "KVM may not notice writes: dirty logging and write tracking can lose them.",
        _SINCE_6_1, ("mmu_spte_update", "mark_spte_for_access_track", *_CHANGED),
        "Writable SPTE is not MMU-writable", SPTE_INVARIANTS_HELPER,
    ),
    Check(
        "make_spte", "an SPTE was made that has reserved bits set",
        "The guest faults at this gfn again and again, since the processor refuses the entry.",
        _SINCE_6_1, says="rsvd bits = 0x", added=RSVD_CHECKED_WHEN_MADE,
    ),
    Check(
        "make_spte", "an SPTE was made that grants no access at all",
        "KVM and the processor take it for non-present: the guest faults at this gfn again and again.",
        _SINCE_6_1, added=NO_ACCESS_WARNS,
    ),
    Check(
        "make_spte", "a huge page is write-protected for dirty logging",
        "Its dirty pages would be logged as one: a huge page must not be mapped while logging.", _SINCE_6_1,
    ),
    Check(
        "get_mmio_spte", "a fault on reserved bits found a present SPTE with reserved bits",
        "The SPTE is corrupt, or KVM and the processor disagree about the host's address bits. KVM exits "
        "to userspace with an internal error.",
        callers=("handle_mmio_page_fault", "kvm_mmu_page_fault", "walk_shadow_page_get_mmio_spte"),
        says="reserved bits",
    ),
    Check(
        "handle_mmio_page_fault", "the SPTE of an MMIO access has reserved bits set",
        "KVM exits to userspace with an internal error: the virtual machine usually ends.",
        callers=("kvm_mmu_page_fault",),
    ),
    Check(
        "kvm_mmu_page_fault", "a vCPU faulted without a valid root",
        "The vCPU ran on page tables that were freed or never loaded.",
    ),
    Check(
        "kvm_mmu_page_fault", "no handler answered a page fault",
        "The virtual machine is ended by KVM (KVM_BUG_ON()).",
    ),
    Check(
        "generation_mmio_spte_mask", "a memslots generation does not fit into an MMIO SPTE",
        "A stale MMIO SPTE may count as valid: the guest sees a device where memory is.",
        callers=("make_mmio_spte", "mark_mmio_spte"),
    ),
    Check(
        "make_mmio_spte", "an MMIO SPTE was made though MMIO caching is off",
        "The SPTE is taken for non-present; the access is emulated each time.", ("6.1", "6.12"),
    ),
    Check(
        "mark_spte_for_access_track", "an SPTE was marked for access tracking twice",
        "Saved rights are lost: the guest may fault without end at this gfn.",
        says="saved bit locations are not zero",
    ),
    Check(
        "tdp_mmu_set_spte_atomic", "a frozen entry was about to be changed",
        "Two threads would own one entry: a table may be freed twice, or used after it was freed.",
        _SINCE_6_1,
        ("__tdp_mmu_set_spte_atomic", "tdp_mmu_set_spte", "__tdp_mmu_set_spte", "tdp_mmu_zap_spte_atomic"),
    ),
    Check(
        "tdp_mmu_map_handle_target_level", "a fault would map at another level than its table has",
        "The fault is retried; before v6.12 it maps the wrong size.", _SINCE_6_1, ("kvm_tdp_mmu_map",),
    ),
    Check(
        "tdp_mmu_map_handle_target_level", "a spurious fault found another page than the host has",
        f"A notifier was missed. {_LOST_MEMORY}", ("7.2", "7.3"), ("kvm_tdp_mmu_map",),
        added=SPURIOUS_IF_ALLOWED,
    ),
    Check(
        "kvm_tdp_mmu_map", "a walk ended at its goal without mapping it",
        "The guest faults again; without end, if nothing changes.",
    ),
    Check(
        "kvm_unlink_unsync_page", "a shadow page was synchronized that is in sync",
        "The count of unsync pages is wrong: a page table of the guest may not be synchronized on a flush.",
        callers=("kvm_sync_page", "__kvm_sync_page", "__kvm_mmu_prepare_zap_page", "kvm_mmu_get_page"),
    ),
    Check(
        "mmu_try_to_unsync_pages", "a shadow page above 4 KiB would become unsync",
        "Its children would never be synchronized: the guest keeps using entries that it has changed.",
        _SINCE_6_1, ("make_spte",),
    ),
    Check(
        "clear_unsync_child_bit", "the count of unsync children of a shadow page is below zero",
        "A page table of the guest may not be synchronized on a TLB flush.",
        callers=("mmu_pages_clear_parents", "__mmu_unsync_walk", "kvm_mmu_sync_roots", "mmu_sync_children"),
    ),
    Check(
        "mmu_alloc_root", "a root has a role that no guest has",
        "The guest's paging mode and KVM's view of it disagree.", _SINCE_6_1,
    ),
    Check(
        "kvm_mmu_commit_zap_page", "a page that is freed is in use: a vCPU has it as its root",
        "A vCPU may run on page tables that are freed.",
    ),
    Check(
        "pte_list_remove", "an SPTE is not in the reverse map of its gfn",
        f"Later invalidations miss SPTEs. {_LOST_MEMORY}",
        callers=("__pte_list_remove", "rmap_remove", "drop_spte", "mmu_page_zap_pte"), bug=True,
    ),
    Check(
        "rmap_get_first", "a reverse map has an SPTE that is not present",
        "The reverse map is damaged: SPTEs may be missed when pages are reclaimed.",
        callers=("rmap_get_next", "rmap_write_protect", "kvm_zap_all_rmap_sptes"), bug=True,
    ),
    Check(
        "mmu_spte_clear_track_bits", "an SPTE was zapped whose page was freed already",
        f"A notifier was missed. {_LOST_MEMORY}", ("5.10", "6.1", "6.12"),
        ("drop_spte", "mmu_page_zap_pte", "pte_list_remove", "kvm_zap_one_rmap_spte"),
    ),
    Check(
        "kvm_mmu_uninit_tdp_mmu", "page tables are left when a virtual machine is destroyed",
        "Memory of the host is leaked, or a root is used after the machine is gone.",
        callers=("kvm_mmu_uninit_vm", "kvm_arch_destroy_vm"),
    ),
    Check(
        "tdp_mmu_zap_root", "a root is zapped that is not in use",
        "A root was put too often: its tables may be used after they were freed.", _SINCE_6_1,
    ),
    Check(
        "fast_page_fault", "a fault found no entry at all for its address",
        "The fault is handled with mmu_lock; the root is no valid one.", _SINCE_6_12,
    ),
)  # fmt: skip
"""The WARNs and BUGs that are explained."""


@dataclass
class Splat:
    """A WARN or BUG in a log. ``release`` is the kernel, "" if the log does not name it."""

    function: str
    file: str
    line: int
    bug: bool
    said: list[str] = field(default_factory=list)
    release: str = ""

    def checks(self) -> list[Check]:
        """The checks that it may be of: by the message, else by the function, else by what it inlines."""
        text = "\n".join(self.said)
        possible = [check for check in CHECKS if check.bug or not self.bug]
        own = [check for check in possible if self.function == check.function]
        near = [check for check in possible if self.function in check.callers]
        spoken = [check for check in (*own, *near) if check.says and check.says in text]
        silent = [check for check in own if not check.says] or own
        return spoken or silent or [check for check in near if not check.says] or near


_WARN = re.compile(
    r"WARNING: (?:CPU: \d+ PID: \d+ )?at (?P<file>\S*?arch/x86/kvm/\S+?|\S*?kvm/\S+?):(?P<line>\d+) "
    r"(?P<function>[\w.]+)(?:\+0x|/)"
)
_NEW_WARN = re.compile(r"WARNING: (?P<file>\S*kvm/\S+?):(?P<line>\d+) at (?P<function>[\w.]+)\+0x")
_BUG = re.compile(r"kernel BUG at (?P<file>\S*kvm/\S+?):(?P<line>\d+)!")
_RIP = re.compile(r"\bRIP: (?:\w+:)?(?P<function>[A-Za-z_][\w.]*)\+0x")
_RELEASE = re.compile(r"(?:Not tainted|Tainted: [A-Z ]+(?:\[[^]]*\],? ?)*)\s*(?P<release>\d+\.\d+[\w.+~-]*)")
_KEPT = 12
"""How many lines before a WARN may hold its message."""


class Splats:
    """Finds the WARNs and BUGs of KVM in a log, line by line."""

    def __init__(self) -> None:
        self._before: list[str] = []
        self._open: Splat | None = None
        self.found: list[Splat] = []

    def line(self, text: str) -> None:
        """Read the next line."""
        if "cut here" in text:
            self._before.clear()
            self._open = None
        match = _WARN.search(text) or _NEW_WARN.search(text) or _BUG.search(text)
        if match is not None:
            named = match.groupdict().get("function") or ""
            bug = match.re is _BUG
            self._open = Splat(_plain(named), match["file"], int(match["line"]), bug, [*self._before])
            self.found.append(self._open)
            self._before.clear()
        elif self._open is not None:
            if not self._open.function and (rip := _RIP.search(text)):
                self._open.function = _plain(rip["function"])
            if not self._open.release and (release := _RELEASE.search(text)):
                self._open.release = release["release"]
        self._before = [*self._before, text][-_KEPT:]

    def __iter__(self) -> Iterator[Splat]:
        return iter(self.found)


def _plain(function: str) -> str:
    """The name of a function without what the compiler appends: .cold.160, .isra.0, .part.3, .constprop.0."""
    return re.sub(r"\.(?:cold|isra|part|constprop|llvm)\b.*", "", function)

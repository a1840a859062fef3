# SPDX-License-Identifier: GPL-2.0-only
"""Events that no kernel produces, to be put into a clean trace: the rule that finds each, and how sure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from writing import Fact

from conformance.model.semantics import Semantics
from conformance.traces.rules import Standing

VIOLATION, SUSPICION = Standing.VIOLATION, Standing.SUSPICION
GFN, FRAME = 0x40123, 0x1ABCDE000
HUGE_GFN, HUGE_FRAME = 0x40200, 0x1AB800000


@dataclass(frozen=True)
class Plant:
    """One or more events, made for the masks of a mode, which the rule must find."""

    name: str
    rule: str
    make: Callable[[Semantics], list[Fact]]
    mode: str = "npt"
    release: tuple[int, ...] = (6, 1)
    standing: Standing = VIOLATION


def leaf(
    k: Semantics, frame: int = FRAME, *, w: bool = True, hw: bool = True, mw: bool = True, more: int = 0
) -> int:
    """A present leaf SPTE with Accessed and Dirty."""
    spte = frame | k.layout.spte_mmu_present_mask | k.shadow_present_mask | 1 | more
    spte |= (k.shadow_x_mask | k.shadow_xu_mask | 0x70) if k.shadow_x_mask else k.shadow_user_mask
    spte |= (
        (2 if w else 0)
        | (k.shadow_host_writable_mask if hw else 0)
        | (k.shadow_mmu_writable_mask if mw else 0)
    )
    if not k.shadow_accessed_mask:
        return spte | k.layout.spte_tdp_ad_disabled
    return spte | k.shadow_accessed_mask | k.shadow_dirty_mask


def table(k: Semantics, frame: int) -> int:
    spte = frame | k.layout.spte_mmu_present_mask | k.shadow_present_mask | 3
    return spte | k.shadow_x_mask | k.shadow_user_mask | k.shadow_accessed_mask


def mmio(k: Semantics, gfn: int, generation: int = 8) -> int:
    return k.shadow_mmio_value | gfn << 12 | (6 & k.shadow_mmio_access_mask) | generation << 3


def changed(old: int, new: int, *, gfn: int = GFN, level: int = 1) -> Fact:
    fields = {"as_id": 0, "gfn": gfn, "level": level, "old_spte": old, "new_spte": new}
    return Fact("kvm_tdp_mmu_spte_changed", fields)


def was_set(spte: int, *, gfn: int = GFN, level: int = 1) -> Fact:
    fields = {"gfn": gfn, "spte": spte, "rights": "rwxu", "level": level, "sptep": 0x7777018}
    return Fact("kvm_mmu_set_spte", fields)


def fast(old: int, new: int, error: int = 7, *, fixed: int = 0, spurious: int = 0) -> Fact:
    fields = {"vcpu_id": 0, "cr2_or_gpa": GFN << 12, "error_code": error, "sptep": 0xFFFF888007777018}
    return Fact(
        "fast_page_fault", {**fields, "old_spte": old, "new_spte": new, "spurious": spurious, "fixed": fixed}
    )


def checked(spte: int, kvm_gen: int = 8, spte_gen: int = 8, valid: int = 1) -> Fact:
    return Fact("check_mmio_spte", {"spte": spte, "kvm_gen": kvm_gen, "spte_gen": spte_gen, "valid": valid})


def marked(generation: int) -> Fact:
    fields = {"sptep": 0xFFFF888007777018, "gfn": 0x50000, "access": 7, "gen": generation}
    return Fact("mark_mmio_spte", fields)


def split(spte: int, *, gfn: int = HUGE_GFN, level: int = 2) -> Fact:
    return Fact("kvm_mmu_split_huge_page", {"gfn": gfn, "spte": spte, "level": level, "errno": 0})


def sp(name: str, **other: Any) -> Fact:
    fields = {
        "mmu_valid_gen": 0, "gfn": 0x77, "level": 1, "bytes": 8, "quadrant": 0, "direct": None,
        "access": "wux", "invalid": None, "nx": "", "ad": "", "root_count": 0, "unsync": "sync",
        "created": None,
    }  # fmt: skip
    if name == "get_page":
        fields["created"] = "existing"
    return Fact(f"kvm_mmu_{name}", {**fields, **other})


def fault() -> Fact:
    return Fact(
        "kvm_page_fault", {"vcpu_id": 0, "guest_rip": 0x1000, "fault_address": GFN << 12, "error_code": 6}
    )


def entry() -> Fact:
    return Fact("kvm_entry", {"vcpu_id": 0, "rip": 0x1000})


CHANGED, NEW = "R1 kvm_tdp_mmu_spte_changed old_spte", "R1 kvm_tdp_mmu_spte_changed new_spte"
SET, FAST = "R1 kvm_mmu_set_spte spte", "R1 fast_page_fault old_spte"

PLANTS = (
    # R1: SPTEs that are never made.
    Plant("W without MMU-writable", NEW, lambda k: [changed(0, leaf(k, mw=False))]),
    Plant("MMU-writable without host-writable", NEW, lambda k: [changed(0, leaf(k, hw=False))]),
    Plant("a large bit at level 1", NEW, lambda k: [changed(0, leaf(k, more=0x80))]),
    Plant("a huge page at an odd address", NEW,
          lambda k: [changed(0, leaf(k, more=0x80), gfn=HUGE_GFN, level=2)]),
    Plant("both A/D type bits", NEW, lambda k: [changed(0, leaf(k, more=k.layout.spte_tdp_ad_mask))]),
    Plant("A/D-disabled with NPT", NEW, lambda k: [changed(0, leaf(k, more=k.layout.spte_tdp_ad_disabled))]),
    Plant("a bit of nothing", NEW, lambda k: [changed(0, leaf(k, more=1 << 57))]),
    Plant("a bit of nothing that was there", CHANGED, lambda k: [changed(leaf(k, more=1 << 57), 0)]),
    Plant("no present bit", CHANGED, lambda k: [changed(leaf(k) & ~(1 << 11), 0)]),
    Plant("the frozen value of 6.12", NEW, lambda k: [changed(leaf(k), 1 << 63 | 0x5A0)]),
    Plant("the frozen value of 6.1", NEW,
          lambda k: [changed(leaf(k), 0x5A0)], mode="ept-ad", release=(6, 12)),
    Plant("an empty entry of 6.1", NEW, lambda k: [changed(leaf(k), 0)], mode="ept-ad", release=(6, 12)),
    Plant("a table with host-writable", NEW,
          lambda k: [changed(0, table(k, 0x7FFF000) | k.shadow_host_writable_mask, gfn=HUGE_GFN, level=2)]),
    Plant("a large page of 512 GiB", NEW,
          lambda k: [changed(0, leaf(k, 1 << 39, more=0x80), gfn=0, level=4)]),
    Plant("EPT: write without read", SET, lambda k: [was_set(leaf(k) & ~5)], mode="ept-ad"),
    Plant("EPT: a reserved memory type", SET, lambda k: [was_set(leaf(k) & ~0x38 | 0x18)], mode="ept-ad"),
    Plant("EPT: no access at all", SET, lambda k: [was_set(leaf(k, w=False) & ~7)], mode="ept-ad",
          standing=SUSPICION),
    Plant("EPT: saved bits", SET, lambda k: [was_set(leaf(k, more=1 << 54))], mode="ept-ad"),
    Plant("EPT without A/D: A/D-enabled", SET,
          lambda k: [was_set(leaf(k) & ~k.layout.spte_tdp_ad_mask)], mode="ept-noad"),
    Plant("A/D-disabled with EPT A/D bits", "R1 A/D new_spte",
          lambda k: [changed(0, leaf(k) & ~(k.shadow_accessed_mask | k.shadow_dirty_mask)
                             | k.layout.spte_tdp_ad_disabled)], mode="ept-ad"),
    Plant("A/D-disabled with EPT A/D bits before", "R1 A/D old_spte",
          lambda k: [changed(leaf(k) & ~(k.shadow_accessed_mask | k.shadow_dirty_mask)
                             | k.layout.spte_tdp_ad_disabled, 0)], mode="ept-ad"),
    Plant("7.2, EPT: the host-writable bit of 6.1", SET,
          lambda k: [was_set(leaf(k, more=1 << 57))], mode="ept-ad", release=(7, 2)),
    Plant("fast page fault on what is never made", FAST, lambda k: [fast(leaf(k, w=False, more=1 << 57), 0)]),
    Plant("split of what is never made", "R1 kvm_mmu_split_huge_page spte",
          lambda k: [split(leaf(k, HUGE_FRAME, more=0x80 | 1 << 57))]),
    # R2: changes.
    Plant("another page", "R2 page", lambda k: [changed(leaf(k), leaf(k, FRAME + 0x1000))]),
    Plant("another page, EPT", "R2 page",
          lambda k: [changed(leaf(k), leaf(k, FRAME + 0x1000))], mode="ept-ad"),
    Plant("another huge page", "R2 page",
          lambda k: [changed(leaf(k, HUGE_FRAME, more=0x80), leaf(k, HUGE_FRAME * 2, more=0x80),
                             gfn=HUGE_GFN, level=2)]),
    Plant("another table", "R2 table",
          lambda k: [changed(table(k, 0x7FFE000), table(k, 0x7FFD000), gfn=HUGE_GFN, level=2)]),
    Plant("nothing by nothing", "R2 empty", lambda k: [changed(1 << 63, 0)], release=(6, 12)),
    Plant("no change", "R2 equal", lambda k: [changed(leaf(k), leaf(k))]),
    Plant("a gfn within a huge page", "R2 gfn",
          lambda k: [changed(leaf(k, HUGE_FRAME, more=0x80), 0, gfn=HUGE_GFN + 1, level=2)]),
    Plant("level 6", "R2 level", lambda k: [changed(table(k, 0x7FFE000), 0, gfn=0, level=6)]),
    Plant("host-writable lost", "R2 host-writable lost",
          lambda k: [changed(leaf(k, w=False), leaf(k, w=False, hw=False, mw=False))], release=(7, 2)),
    Plant("host-writable lost, when faults could", "R2 host-writable lost",
          lambda k: [changed(leaf(k, w=False), leaf(k, w=False, hw=False, mw=False))], standing=SUSPICION),
    Plant("host-writable given", "R2 host-writable given",
          lambda k: [entry(), changed(leaf(k, w=False, hw=False, mw=False), leaf(k, w=False))],
          standing=SUSPICION),
    Plant("MMU-writable lost", "R2 MMU-writable lost",
          lambda k: [changed(leaf(k), leaf(k, w=False, mw=False))], standing=SUSPICION),
    Plant("W given", "R2 W given",
          lambda k: [entry(), changed(leaf(k, w=False), leaf(k))], standing=SUSPICION),
    Plant("a small page is split", "R2 split", lambda k: [split(leaf(k), gfn=GFN, level=1)]),
    Plant("a table is split", "R2 split", lambda k: [split(table(k, 0x7FFE000))]),
    Plant("a split within a page", "R2 split gfn",
          lambda k: [split(leaf(k, HUGE_FRAME, more=0x80), gfn=HUGE_GFN + 1)]),
    # R3: frozen entries and fast page faults.
    Plant("a frozen entry is changed", "R3 frozen", lambda k: [changed(k.layout.frozen_spte, leaf(k))]),
    Plant("a frozen entry is changed, 6.12", "R3 frozen",
          lambda k: [changed(k.layout.frozen_spte, leaf(k))], release=(6, 12)),
    Plant("fixed nothing", "R3 fixed nothing", lambda k: [fast(0, leaf(k), fixed=1)]),
    Plant("spurious on nothing", "R3 spurious without an SPTE", lambda k: [fast(0, 0, spurious=1)]),
    Plant("made writable without MMU-writable", "R3 W without MMU-writable",
          lambda k: [fast(leaf(k, w=False, mw=False), leaf(k), fixed=1)]),
    Plant("made writable without MMU-writable, EPT", "R3 W without MMU-writable",
          lambda k: [fast(leaf(k, w=False, mw=False), leaf(k), fixed=1)], mode="ept-ad"),
    Plant("fixed what was writable", "R3 fixed what was allowed",
          lambda k: [fast(leaf(k), leaf(k), fixed=1)]),
    Plant("spurious write on a read-only SPTE", "R3 spurious, yet denied",
          lambda k: [fast(leaf(k, w=False), leaf(k, w=False), spurious=1)]),
    Plant("reserved bits", "R3 reserved", lambda k: [fast(leaf(k, w=False), leaf(k), 0xF)]),
    Plant("not present, with A/D bits", "R3 not present", lambda k: [fast(leaf(k, w=False), leaf(k), 6)]),
    Plant("a denied read", "R3 denied read", lambda k: [fast(leaf(k, w=False), leaf(k), 5)]),
    Plant("other bits changed", "R3 other bits",
          lambda k: [fast(leaf(k, w=False), leaf(k, more=1 << 63), fixed=1)], standing=SUSPICION),
    # R4 and R5.
    Plant("not what was there", "R4 chain",
          lambda k: [changed(0, leaf(k)), changed(leaf(k, FRAME + 0x1000), 0)], standing=SUSPICION),
    Plant("a fault names another SPTE than it made", "R4 set",
          lambda k: [fault(), changed(0, leaf(k)), was_set(leaf(k, FRAME + 0x1000))], standing=SUSPICION),
    Plant("a fault names a page of another size", "R4 set",
          lambda k: [fault(), changed(k.layout.nonpresent_value, table(k, 0x7FFE000), gfn=HUGE_GFN, level=2),
                     was_set(leaf(k, HUGE_FRAME, more=0x80), gfn=HUGE_GFN, level=2)],
          release=(7, 2), standing=SUSPICION),
    Plant("a child of a table is left", "R4 children",
          lambda k: [changed(0, table(k, 0x7FFE000), gfn=HUGE_GFN, level=2),
                     changed(0, leaf(k), gfn=HUGE_GFN + 7),
                     changed(table(k, 0x7FFE000), 0, gfn=HUGE_GFN, level=2),
                     changed(0, table(k, 0x7FFD000), gfn=HUGE_GFN, level=2)], standing=SUSPICION),
    Plant("a fault without end", "R5 progress",
          lambda k: [one for _ in range(4) for one in (fault(), fast(leaf(k), leaf(k), spurious=1), entry())],
          standing=SUSPICION),
    # R6: MMIO.
    Plant("an MMIO SPTE of another gfn", "R6 gfn", lambda k: [changed(0, mmio(k, GFN + 1))]),
    Plant("an MMIO SPTE of another gfn, EPT", "R6 gfn",
          lambda k: [changed(0, mmio(k, GFN + 1))], mode="ept-ad"),
    Plant("checked a page", "R6 checked", lambda k: [checked(leaf(k))]),
    Plant("an MMIO SPTE with stray bits", "R6 made",
          lambda k: [checked(mmio(k, GFN) | 1 << 50)], mode="ept-ad"),
    Plant("another generation than that in the SPTE", "R6 generation",
          lambda k: [checked(mmio(k, GFN), 9, 9)]),
    Plant("a generation that is too long", "R6 length",
          lambda k: [checked(mmio(k, GFN, 0), 1 << 30, 0, 0)]),
    Plant("the generation goes back", "R6 goes back", lambda k: [marked(0xA), marked(2)], standing=SUSPICION),
    Plant("MMIO over a page", "R6 MMIO over present",
          lambda k: [changed(leaf(k), mmio(k, GFN))], standing=SUSPICION),
    # R7: shadow pages.
    Plant("an invalid page is found", "R7 invalid", lambda k: [sp("get_page", invalid=" invalid")]),
    Plant("a direct page is unsync", "R7 direct unsync",
          lambda k: [sp("prepare_zap_page", direct=" direct", gfn=0x200, unsync="unsync")]),
    Plant("a direct page becomes unsync", "R7 direct unsync",
          lambda k: [sp("unsync_page", direct=" direct", gfn=0x200)]),
    Plant("a page directory becomes unsync", "R7 high unsync", lambda k: [sp("unsync_page", level=2)]),
    Plant("a page directory is unsync", "R7 high unsync",
          lambda k: [sp("prepare_zap_page", level=3, unsync="unsync")]),
    Plant("a new page is unsync", "R7 new unsync",
          lambda k: [sp("get_page", created="new", unsync="unsync")]),
    Plant("unsync twice", "R7 unsync twice", lambda k: [sp("unsync_page", unsync="unsync")]),
    Plant("synchronized in sync", "R7 synchronized", lambda k: [sp("sync_page")]),
    Plant("a direct page of an odd gfn", "R7 gfn",
          lambda k: [sp("get_page", direct=" direct", gfn=0x201, created="new")]),
    Plant("a page of level 0", "R7 level", lambda k: [sp("get_page", level=0)]),
    Plant("a generation of pages", "R7 generation", lambda k: [sp("get_page", mmu_valid_gen=2)]),
    Plant("a zapped page is found", "R7 zapped",
          lambda k: [sp("prepare_zap_page"), sp("get_page")], standing=SUSPICION),
    Plant("an invalid page is found, 7.2", "R7 invalid",
          lambda k: [sp("get_page", invalid=" invalid")], release=(7, 2)),
)  # fmt: skip

PRINTED_ONLY = (
    Plant("valid is wrong", "R6 valid", lambda k: [checked(mmio(k, GFN), 9, 8, 1)]),
    Plant(
        "fixed and spurious",
        "R3 fixed and spurious",
        lambda k: [fast(leaf(k, w=False), leaf(k), fixed=1, spurious=1)],
    ),
    Plant("a quadrant of 8-byte entries", "R7 quadrant", lambda k: [sp("get_page", quadrant=1)]),
)
"""These are seen in texts of the print format only: the raw format does not have the field."""

# SPDX-License-Identifier: GPL-2.0-only
"""Shadow paging as text: roles, shadow pages and their entries, roots, registers, rmaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from conformance.interface.observation import (
    MemoryWord,
    PageEntry,
    PagingView,
    RmapView,
    RoleView,
    ShadowPageView,
    ShadowTlbEntry,
    ShadowView,
)
from conformance.model.semantics import Semantics
from conformance.model.spte.decode.text import describe
from conformance.model.spte.predicates import is_shadow_present_pte

__all__ = [
    "entry_text",
    "error_text",
    "memory_facts",
    "page_text",
    "rmap_facts",
    "role_text",
    "shadow_facts",
    "translation_text",
    "vcpu_facts",
]

Name = Callable[[int], str]
"""The name of the shadow page with a serial number."""

_LEVELS = {1: "4K", 2: "2M", 3: "1G", 4: "512G", 5: "256T"}
_FLAGS = (
    "direct", "invalid", "has_4_byte_gpte", "efer_nx", "cr0_wp", "smep", "smap_andnot_wp", "ad_disabled",
    "guest_mode", "passthrough", "smm",
)  # fmt: skip
"""Fields of a role that are shown by their name if they are set."""
_ERROR = (("P", 1 << 0), ("W", 1 << 1), ("U", 1 << 2), ("RSVD", 1 << 3), ("I", 1 << 4), ("PK", 1 << 5))
"""Bits of a page fault's error code."""
_RIGHTS = (("R", 1), ("W", 2), ("X", 4), ("U", 8))


def error_text(code: int) -> str:
    """A page fault's error code: the names of its bits, the others as a number."""
    names = [name for name, bit in _ERROR if code & bit]
    rest = code & ~sum(bit for _, bit in _ERROR)
    return "+".join([*names, *([hex(rest)] if rest else [])]) or "0"


def access_text(k: Semantics, access: int) -> str:
    """The ACC_* bits of a role or of a shadowed translation."""
    layout = k.layout
    bits = (
        ("R", layout.acc_read_mask), ("W", layout.acc_write_mask), ("X", layout.acc_exec_mask),
        ("U", layout.acc_user_mask),
    )  # fmt: skip
    return "".join(letter if access & bit else "-" for letter, bit in bits if bit)


def role_text(k: Semantics, role: RoleView) -> str:
    """The fields of a role that are set; its level comes first."""
    parts = [f"level {role.level}", f"access {access_text(k, role.access)}"]
    parts += [f"quadrant {role.quadrant}"] if role.quadrant else []
    parts += [name for name in _FLAGS if getattr(role, name)]
    return ", ".join(parts)


def page_text(k: Semantics, page: ShadowPageView) -> str:
    """A shadow page: its role, and what of its state is set."""
    parts = [role_text(k, page.role)]
    parts += ["unsync"] if page.unsync else []
    parts += ["NX huge page disallowed"] if page.nx_huge_page_disallowed else []
    counts = (
        ("unsync children", page.unsync_children), ("root count", page.root_count), ("parents", page.parents),
        ("write flooding", page.write_flooding_count), ("generation", page.mmu_valid_gen),
    )  # fmt: skip
    parts += [f"{name} {number}" for name, number in counts if number]
    return ", ".join(parts)


def entry_text(k: Semantics, entry: PageEntry) -> str:
    """What an entry of a shadow page holds, without its raw value."""
    if entry.child:
        return "a table" + (", something unsync below" if entry.unsync else "")
    return describe(k, entry.spte) + translation_text(k, entry)


def translation_text(k: Semantics, entry: PageEntry) -> str:
    """The shadowed translation of an entry that has one."""
    if not entry.access or not is_shadow_present_pte(k, entry.spte):
        return ""
    return f", shadows gfn {entry.gfn:#x} {access_text(k, entry.access)}"


def vcpu_facts(k: Semantics, number: int, vcpu: PagingView, name: Name) -> Iterator[tuple[str, str]]:
    """A vCPU's registers, role, roots, counts and TLB, each with its name."""
    yield (
        f"registers {number}",
        f"cr0 {vcpu.cr0:#x}, cr3 {vcpu.cr3:#x}, cr4 {vcpu.cr4:#x}, efer {vcpu.efer:#x}",
    )
    guest = "in L2, " if vcpu.guest_mode else ""
    yield f"MMU {number}", f"{guest}{role_text(k, vcpu.root_role)}"
    cached = [_root(*each, name) for each in vcpu.prev_roots if each != (0, 0)]
    current = _root(vcpu.root, vcpu.pgd, name) if vcpu.root or vcpu.pgd else "none"
    yield f"roots {number}", f"{current}; cached {', '.join(cached) or 'none'}"
    if any(vcpu.pae_roots):
        entries = ", ".join(name(root) if root else "none" for root in vcpu.pae_roots)
        yield f"PAE roots {number}", entries
    yield f"counts {number}", f"{vcpu.pf_guest} faults of the guest, {vcpu.invlpg} INVLPG"
    for entry in vcpu.tlb:
        where = f" of {name(entry.root)}" if entry.root else f" of PCID {entry.pcid}"
        yield f"TLB {number} page {entry.page:#x}{where}", tlb_text(entry)


def _root(serial: int, pgd: int, name: Name) -> str:
    """A root, and the tables of the guest that it is for."""
    return f"{name(serial) if serial else 'no shadow page'} for {pgd:#x}"


def tlb_text(entry: ShadowTlbEntry) -> str:
    """What a TLB entry translates to, and its rights."""
    letters = "".join(letter if entry.rights & bit else "-" for letter, bit in _RIGHTS)
    return f"{_LEVELS[entry.level]} pfn {entry.pfn:#x} {letters}{' dirty' if entry.dirty else ''}"


def rmap_facts(rmaps: Sequence[RmapView]) -> Iterator[tuple[str, str]]:
    """What KVM keeps for each gfn, with its name."""
    for rmap in rmaps:
        counts = (
            ("SPTEs", rmap.sptes),
            ("disallow_lpage", rmap.disallow_lpage),
            ("write_track", rmap.write_track),
        )
        text = ", ".join(f"{number} {name}" for name, number in counts if number)
        space = " of SMM" if rmap.as_id else ""
        yield f"gfn {rmap.gfn:#x}{space} {_LEVELS[rmap.level]}", text


def memory_facts(words: Sequence[MemoryWord]) -> Iterator[tuple[str, str]]:
    """The words of guest memory, each with its name."""
    for word in words:
        yield f"memory pfn {word.pfn:#x} word {word.at:#x}", f"{word.value:#018x}"


def shadow_facts(k: Semantics, shadow: ShadowView) -> Iterator[tuple[str, str]]:
    """Everything of shadow paging, one fact at a time; shadow pages are named by their place."""
    names = _places(k, shadow)
    yield from ((name, str(value)) for name, value in shadow.counters._asdict().items())
    for number, vcpu in enumerate(shadow.vcpus):
        for fact, text in vcpu_facts(
            k, number, vcpu, lambda serial: names.get(serial, "a page that is gone")
        ):
            yield f"{fact} of shadow paging", text
    yield "order of shadow pages", ", ".join(names.values())
    for page in shadow.pages:
        yield names[page.serial], page_text(k, page)
        for entry in page.entries:
            yield f"{names[page.serial]} > entry {entry.at:#x}", f"{entry.spte:#018x} {entry_text(k, entry)}"
    yield from rmap_facts(shadow.rmaps)


def _places(k: Semantics, shadow: ShadowView) -> dict[int, str]:
    """A name for every shadow page, by serial number: its place and role, numbered where they are alike."""
    seen: Counter[str] = Counter()
    names: dict[int, str] = {}
    for page in shadow.pages:
        place = f"shadow page of gfn {page.gfn:#x}, {role_text(k, page.role)}"
        seen[place] += 1
        names[page.serial] = place if seen[place] == 1 else f"{place}, number {seen[place]}"
    return names

# SPDX-License-Identifier: GPL-2.0-only
"""The state of shadow paging at the end of an execution, held against the guest's own page tables.

A shadow page that is not unsync has the translations of its table, and no SPTE maps that table writable.
"""

from __future__ import annotations

from collections.abc import Iterator

from conformance.interface.access import FETCH, WRITE
from conformance.interface.observation import (
    Observation,
    PageEntry,
    ShadowPageView,
    ShadowTlbEntry,
    ShadowView,
    TlbEntry,
)
from conformance.races.guest_tables import GuestEntry, GuestTables, entry_of

__all__ = ["looser", "writable_table"]

_PRESENT, _W, _EPT_X, _NX = 1 << 11, 1 << 1, 1 << 2, 1 << 63
_PFN = (1 << 40) - 1


def writable_table(tables: GuestTables, final: Observation) -> str | None:
    """How a table that KVM takes for synchronized can be written without an exit; None if none can."""
    shadow = final.shadow
    assert shadow is not None
    protected = {tables.frames.get(page.gfn): page.gfn for page in _synced(shadow)}
    for where, pfn, level in _writable(final, shadow):
        for frame, gfn in protected.items():
            if frame is not None and 0 <= frame - pfn < 1 << 9 * (level - 1):
                return f"{where} maps gfn {gfn:#x} writable, whose shadow page is synchronized"
    return None


def looser(tables: GuestTables, final: Observation) -> str | None:
    """How a synchronized shadow page maps more than the guest's table does; None if none does."""
    shadow = final.shadow
    assert shadow is not None
    memory = {(word.pfn, word.at): word.value for word in final.memory}
    pages = {page.serial: page for page in shadow.pages if page.serial}
    for page in _synced(shadow):
        frame = tables.frames.get(page.gfn)
        if frame is None:
            continue
        nested = bool(page.role.guest_mode)
        for entry in page.entries:
            guest = entry_of(memory.get((frame, entry.at), 0), page.role.level, nested)
            how = _differs(tables, entry, guest, pages.get(entry.child), nested)
            if how is not None:
                return f"entry {entry.at:#x} of the shadow page for gfn {page.gfn:#x} {how}"
    return None


def _synced(shadow: ShadowView) -> Iterator[ShadowPageView]:
    """The shadow pages that follow a table of the guest."""
    for page in shadow.pages:
        role = page.role
        if not (role.direct or role.passthrough or role.invalid or role.has_4_byte_gpte or page.unsync):
            yield page


def _writable(final: Observation, shadow: ShadowView) -> Iterator[tuple[str, int, int]]:
    """Where writable translations are, each with its pfn and level: in page tables and in TLBs."""
    for page in shadow.pages:
        for leaf in page.entries:
            if not page.role.invalid and not leaf.child and leaf.spte & _PRESENT and leaf.spte & _W:
                yield f"an SPTE of the page for gfn {page.gfn:#x}", _pfn(leaf.spte), page.role.level
    for root in final.roots:
        for entry in root.entries():
            if not (root.invalid or entry.child) and entry.spte & _PRESENT and entry.spte & _W:
                yield "an SPTE of the TDP MMU", _pfn(entry.spte), entry.level
    for number, vcpu in enumerate(final.vcpus):
        # A vCPU does what it was asked to do before it enters the guest.
        if vcpu.tlb_flush_requested or vcpu.other_requests:
            continue
        cached: list[TlbEntry | ShadowTlbEntry] = [*final.tlb[number], *shadow.vcpus[number].tlb]
        for one in cached:
            # A write through a translation that is not dirty walks the tables again.
            if one.rights & WRITE and one.dirty:
                yield f"the TLB of vcpu{number}", one.pfn, one.level


def _differs(
    tables: GuestTables,
    entry: PageEntry,
    guest: GuestEntry | None,
    child: ShadowPageView | None,
    nested: bool,
) -> str | None:
    """How an entry of a shadow page maps more than the guest's entry does."""
    if not entry.spte & _PRESENT:
        return None
    if guest is None:
        return "is present, and the guest's is not"
    if child is not None:
        differs = not guest.leaf and child.gfn != guest.gfn
        return f"leads to the table at gfn {child.gfn:#x}, the guest's does not" if differs else None
    if tables.frames.get(guest.gfn, _pfn(entry.spte)) != _pfn(entry.spte):
        return f"maps another frame than gfn {guest.gfn:#x}"
    if entry.spte & _W and not guest.rights & WRITE:
        return "is writable, and the guest's is not"
    if (entry.spte & _EPT_X if nested else not entry.spte & _NX) and not guest.rights & FETCH:
        return "is executable, and the guest's is not"
    return None


def _pfn(spte: int) -> int:
    return spte >> 12 & _PFN

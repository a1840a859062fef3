# SPDX-License-Identifier: GPL-2.0-only
"""Names for tables and host pages that are the same on every machine and in every run.

The serial numbers of tables differ between machines. Here a table is T(level, gfn, incarnation): the level of
its entries, the first gfn that it covers, and a count of the tables of that place since the VM was created.
Tables of system management mode's address space have an S instead of the T. A shadow page is
P(level, gfn, incarnation), whatever its role. A host page is H(slot, offset, version): a count of the pages
seen behind that offset of the slot; the zero page is Z.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from conformance.interface.observation import Observation, SlotView

__all__ = ["ZERO_PFN", "PageNames", "TableNames"]

ZERO_PFN = 0x100000


class TableNames:
    """The names of one machine's tables, by serial number, in the order of their appearance."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._seen: Counter[tuple[str, int, int]] = Counter()

    def note(self, observation: Observation) -> None:
        """Name the tables that appear here for the first time."""
        for root in observation.roots:
            for entry in root.entries():
                if entry.child and entry.child not in self._names:
                    self._name(entry.child, "S" if root.as_id else "T", entry.level - 1, entry.gfn)
        for table in observation.retired:
            if table.serial not in self._names:
                self._name(table.serial, "T", table.level, table.gfn)
        for page in observation.shadow.pages if observation.shadow is not None else ():
            if page.serial not in self._names:
                self._name(page.serial, "P", page.role.level, page.gfn)

    def __getitem__(self, serial: int) -> str:
        # Above the tables of PAE a root of a nested guest has pages that shadow nothing.
        return self._names.get(serial, "a special root")

    def _name(self, serial: int, letter: str, level: int, gfn: int) -> None:
        self._seen[letter, level, gfn] += 1
        self._names[serial] = f"{letter}({level},{gfn:#x},{self._seen[letter, level, gfn]})"


class PageNames:
    """The names of host pages, by pfn, in the order in which SPTEs first map them, or a step writes them."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {ZERO_PFN: "Z"}
        self._versions: Counter[tuple[int, int, int]] = Counter()

    def name(self, pfn: int, as_id: int, gfn: int, slots: Sequence[SlotView]) -> str:
        """The name of the page at ``pfn``, which an SPTE for ``gfn`` maps or userspace wrote as ``gfn``."""
        if pfn not in self._names:
            self._names[pfn] = self._new(pfn, as_id, gfn, slots)
        return self._names[pfn]

    def known(self, pfn: int) -> str:
        """The name of the page at ``pfn``; it has its number from now on, if no gfn of it has been seen."""
        return self._names.setdefault(pfn, f"H(?,{pfn:#x},1)")

    def _new(self, pfn: int, as_id: int, gfn: int, slots: Sequence[SlotView]) -> str:
        for slot in slots:
            if slot.as_id == as_id and slot.gfn <= gfn < slot.gfn + slot.npages:
                place = (as_id, slot.id, gfn - slot.gfn)
                self._versions[place] += 1
                return f"H({slot.id},{gfn - slot.gfn:#x},{self._versions[place]})"
        return f"H(?,{pfn:#x},1)"

# SPDX-License-Identifier: GPL-2.0-only
"""Names for tables and host pages that mean the same on every machine and in every run.

A machine numbers its tables as it likes. Here a table is T(level, gfn, incarnation): the level of its
entries, the first gfn that it covers, and the how-manieth table of that place it is since the VM began.
Tables of system management mode's address space have an S for the T. A host page is H(slot, offset,
version): the how-manieth page that is seen behind that offset of the slot; the zero page is Z.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from conformance.scenarios.observing import Observation, root_entries, roots

__all__ = ["ZERO_PFN", "PageNames", "Pairing", "TableNames"]

ZERO_PFN = 0x100000


class TableNames:
    """The names of one machine's tables, by serial number, in the order of their appearance."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._seen: Counter[tuple[int, int, int]] = Counter()

    def note(self, observation: Observation) -> None:
        """Name the tables that appear here for the first time."""
        for root in roots(observation):
            for entry in root_entries(root):
                if entry.child and entry.child not in self._names:
                    self._name(entry.child, root.as_id, entry.level - 1, entry.gfn)
        for level, gfn, serial, *_ in observation["retired"]:
            if serial not in self._names:
                self._name(serial, 0, level, gfn)

    def __getitem__(self, serial: int) -> str:
        return self._names[serial]

    def _name(self, serial: int, as_id: int, level: int, gfn: int) -> None:
        self._seen[as_id, level, gfn] += 1
        letter = "S" if as_id else "T"
        self._names[serial] = f"{letter}({level},{gfn:#x},{self._seen[as_id, level, gfn]})"


class PageNames:
    """The names of host pages, by pfn, in the order in which SPTEs first map them."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {ZERO_PFN: "Z"}
        self._versions: Counter[tuple[int, int, int]] = Counter()

    def name(self, pfn: int, as_id: int, gfn: int, slots: Sequence[Sequence[int]]) -> str:
        """The name of the page at ``pfn``, which an SPTE for ``gfn`` maps."""
        if pfn not in self._names:
            self._names[pfn] = self._new(pfn, as_id, gfn, slots)
        return self._names[pfn]

    def _new(self, pfn: int, as_id: int, gfn: int, slots: Sequence[Sequence[int]]) -> str:
        for slot_as, slot, base, npages, *_ in slots:
            if slot_as == as_id and base <= gfn < base + npages:
                place = (as_id, slot, gfn - base)
                self._versions[place] += 1
                return f"H({slot},{gfn - base:#x},{self._versions[place]})"
        return f"H(?,{pfn:#x},1)"


class Pairing:
    """Which table of one machine is which of the other: as long as it stays one to one, they are equal.

    A table's serial number says nothing in itself, so the first time two appear in the same place they are
    taken to be the same table; from then on they must stay so.
    """

    def __init__(self) -> None:
        self._there: dict[int, int] = {0: 0}
        self._back: dict[int, int] = {0: 0}
        self._unnoted: list[Observation] = []

    def same(self, here: Observation, there: Observation) -> bool:
        """Whether the two observations agree, but for the numbers of tables."""
        if here == there:
            # Numbers too are equal, as they are while both count alike; noted when they no longer are.
            self._unnoted.append(here)
            return True
        for observation in self._unnoted:
            self._pair(observation, observation)
        self._unnoted.clear()
        if any(here[key] != there[key] for key in here if key not in ("roots", "retired")) or len(
            here
        ) != len(there):
            return False
        return self._pair(here, there)

    def matches(self, one: int, other: int) -> bool:
        """Whether the two serial numbers are known, or may be taken, to be of the same table."""
        if one not in self._there and other not in self._back:
            self._there[one], self._back[other] = other, one
        return self._there.get(one) == other and self._back.get(other) == one

    def _pair(self, here: Observation, there: Observation) -> bool:
        if len(here["roots"]) != len(there["roots"]) or len(here["retired"]) != len(there["retired"]):
            return False
        for one, other in zip(here["roots"], there["roots"], strict=True):
            flat, flat_other = one[4], other[4]
            if one[:4] != other[:4] or len(flat) != len(flat_other):
                return False
            for at in range(0, len(flat), 4):
                if flat[at : at + 3] != flat_other[at : at + 3]:
                    return False
                if not self.matches(flat[at + 3], flat_other[at + 3]):
                    return False
        return self._pair_retired(here["retired"], there["retired"])

    def _pair_retired(self, here: Sequence[Sequence[int]], there: Sequence[Sequence[int]]) -> bool:
        """Whether the same tables wait for their grace period; several may have been of one place."""
        left = [list(table) for table in there]
        fresh = []
        for level, gfn, serial, *rest in here:
            if serial not in self._there:
                fresh.append((level, gfn, serial, rest))
                continue
            known = [level, gfn, self._there[serial], *rest]
            if known not in left:
                return False
            left.remove(known)
        # What was made and retired in one step was never seen in place.
        return all(
            [level, gfn, *rest] == [*other[:2], *other[3:]] and self.matches(serial, other[2])
            for (level, gfn, serial, rest), other in zip(fresh, left, strict=True)
        )

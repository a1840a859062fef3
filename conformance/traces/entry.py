# SPDX-License-Identifier: GPL-2.0-only
"""SPTEs as the rules see them: kind, leaf or table, and why KVM never makes them, each judged once.

What the model says of an SPTE depends on few of its address bits, so SPTEs that differ in others only are
judged together: traces hold tens of thousands of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from conformance.model.layout import (
    PG_LEVEL_4K,
    PT_PAGE_SIZE_MASK,
    PT_WRITABLE_MASK,
    SPTE_BASE_ADDR_MASK,
)
from conformance.model.semantics import Semantics
from conformance.model.spte.decode.hardware import SIZES
from conformance.model.spte.decode.kinds import kind_of
from conformance.model.spte.illegal import complaints

__all__ = ["EMPTY", "Entries", "Entry"]

EMPTY = ("zero", "zapped")
"""The kinds that map nothing and hold nothing."""

_LOW = 36
"""Below this bit every host has address bits."""


@dataclass(frozen=True)
class Entry:
    """An SPTE without those address bits that decide nothing.

    ``wrong`` has the reasons why KVM never makes it. ``host`` is whether these are only that the host has
    too few address bits for it.
    """

    kind: str
    leaf: bool
    host_writable: bool
    mmu_writable: bool
    writable: bool
    wrong: tuple[str, ...]
    host: bool = False

    @property
    def present(self) -> bool:
        """Whether it is shadow-present."""
        return self.kind == "present"

    @property
    def empty(self) -> bool:
        """Whether it maps nothing and holds nothing."""
        return self.kind in EMPTY

    @property
    def table(self) -> bool:
        """Whether it points to a table."""
        return self.kind == "present" and not self.leaf


class Entries:
    """The SPTEs of a trace, as one kernel in one mode understands them."""

    def __init__(self, k: Semantics) -> None:
        self.k = k
        self._present: dict[tuple[int, int], Entry] = {}
        self._others: dict[tuple[int, int], Entry] = {}
        self._masks = {level: ~_decides_nothing(k, level) for level in (0, *SIZES)}

    def __call__(self, spte: int, level: int) -> Entry:
        """The SPTE in a table of ``level``; 0 if the level is not known."""
        mask = self._masks.get(level)
        if mask is None:
            mask, level = self._masks[0], 0
        found = self._others.get((spte, level))
        if found is None:
            key = spte & mask, level
            found = self._present.get(key) if key[0] else None
            if found is None:
                found = self._judged(spte, level)
                if found.present:
                    self._present[key] = found
                else:
                    # The address of an MMIO SPTE is that of a gfn, and a stray one may have any.
                    self._others[spte, level] = found
        return found

    def _judged(self, spte: int, level: int) -> Entry:
        k = self.k
        kind = kind_of(k, spte)
        levels = (level,) if level else (1, 2, 3)
        reasons = [complaints(k, spte, at) for at in levels]
        wrong = min(reasons, key=len)
        leaf = kind == "present" and (level in (0, PG_LEVEL_4K) or bool(spte & PT_PAGE_SIZE_MASK))
        return Entry(
            kind,
            leaf,
            bool(spte & k.shadow_host_writable_mask),
            bool(spte & k.shadow_mmu_writable_mask),
            bool(spte & PT_WRITABLE_MASK),
            tuple(wrong),
            len(wrong) == 1 and wrong[0].startswith("Address bits"),
        )


def _decides_nothing(k: Semantics, level: int) -> int:
    """The address bits of a present SPTE of ``level`` that decide nothing about it."""
    lowest = 12 + 9 * (max(level, 3 if level == 0 else 1) - 1)
    free = SPTE_BASE_ADDR_MASK & ((1 << _LOW) - 1) & ~((1 << lowest) - 1)
    return int(free & ~k.shadow_me_mask & ~k.shadow_mmio_value & ~k.shadow_nonpresent_or_rsvd_mask)

# SPDX-License-Identifier: GPL-2.0-only
"""The TDP MMU's walk over its tables: pre-order, towards and then beyond a guest frame number.

Unlike the rest of the model this follows pointers, so it runs over ints only.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Protocol

from conformance.model.changes import RESTART_AFTER_YIELD
from conformance.model.layout import PAGE_SHIFT, SPTE_BASE_ADDR_MASK
from conformance.model.semantics import Semantics
from conformance.model.spte.make_spte import make_nonleaf_spte
from conformance.model.spte.predicates import is_last_spte, is_shadow_present_pte

__all__ = ["Tables", "Tree", "tdp_iter"]

ENTRIES = 512


class Tree(Protocol):
    """What a walk needs of page tables, which it names by ints of their owner's choice."""

    @property
    def k(self) -> Semantics:
        """The kernel that made them."""

    @property
    def root(self) -> int:
        """The table at the top ..."""

    @property
    def root_level(self) -> int:
        """... and its level."""

    def read(self, table: int, index: int) -> int:
        """The SPTE at ``index`` of ``table``."""

    def child(self, spte: int, level: int) -> int | None:
        """The table that the SPTE at ``level`` points to, None if it points to none."""


@dataclass
class Tables:
    """Page tables in host memory: tables by physical address, sparse; an absent entry is non-present.

    ``root`` has level ``root_level``. Tables are placed page after page from address 4096.
    """

    k: Semantics
    root_level: int
    tables: dict[int, dict[int, int]] = field(default_factory=dict)
    root: int = field(init=False)

    def __post_init__(self) -> None:
        self.root = self._new_table()

    def _new_table(self) -> int:
        address = (len(self.tables) + 1) << PAGE_SHIFT
        self.tables[address] = {}
        return address

    def read(self, table: int, index: int) -> int:
        """The SPTE at ``index`` of the table at address ``table``."""
        return self.tables[table].get(index, self.k.layout.nonpresent_value)

    def child(self, spte: int, level: int) -> int | None:
        """The address of the table that the SPTE at ``level`` points to, None if it points to none."""
        if not is_shadow_present_pte(self.k, spte) or is_last_spte(self.k, spte, level):
            return None
        return spte & SPTE_BASE_ADDR_MASK

    def place(self, gfn: int, level: int, spte: int) -> None:
        """Put ``spte`` where it maps ``gfn`` at ``level``, with the tables needed on the way.

        One that would point to a table of its own is left out: there is none where it points.
        """
        if self.child(spte, level) is not None:
            return
        table = self.root
        for above in range(self.root_level, level, -1):
            index = _index(gfn, above)
            child = self.child(self.read(table, index), above)
            if child is None:
                child = self._new_table()
                self.tables[table][index] = int(make_nonleaf_spte(self.k, child, False))
            table = child
        self.tables[table][_index(gfn, level)] = spte


def _index(gfn: int, level: int) -> int:
    return gfn >> (9 * (level - 1)) & (ENTRIES - 1)


def _round(gfn: int, level: int) -> int:
    return gfn >> (9 * (level - 1)) << (9 * (level - 1))


def tdp_iter(tables: Tree, min_level: int, start: int) -> Generator[tuple[int, int, int], bool, None]:
    """Every SPTE on the way to and after ``start``, as (gfn, level, SPTE), down to ``min_level``.

    Send True to yield the CPU between two SPTEs: the walk restarts at the root, on the way to where it
    was, and the step does not also advance, since 3a0f64de479c in v5.16.
    """
    k = tables.k
    goal, gfn, level = start, _round(start, tables.root_level), tables.root_level
    path = {level: tables.root}
    while True:
        yielded = yield gfn, level, tables.read(path[level], _index(gfn, level))
        if yielded and k.has(RESTART_AFTER_YIELD):
            level = tables.root_level
            gfn = _round(goal, level)
            continue
        child = tables.child(tables.read(path[level], _index(gfn, level)), level)
        if level > min_level and child is not None:
            level -= 1
            path[level] = child
            gfn = _round(goal, level)
            continue
        while _index(gfn, level) == ENTRIES - 1:
            if level == tables.root_level:
                return
            level += 1
            gfn = _round(gfn, level)
        gfn += 1 << (9 * (level - 1))
        goal = gfn

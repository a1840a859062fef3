# SPDX-License-Identifier: GPL-2.0-only
"""Whether a page of the guest contains a table that translates the page itself."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.model.semantics import Semantics
from conformance.model.words import Truth, Word, any_set, bits, clear, either, no

__all__ = ["is_self_change_mapping"]


def is_self_change_mapping(
    k: Semantics,
    gfn: Word,
    table_gfns: Sequence[Word],
    *,
    level: Word,
    max_level: Word,
    pte_access: Word,
    cr0_wp: Truth | bool,
    user: Truth | bool,
) -> tuple[Truth, Truth]:
    """Whether the page of ``level`` that holds ``gfn`` can be written and contains one of the tables.

    And whether ``gfn`` is one of them. ``table_gfns`` are those of the walk by level, from 1 on; used are
    those from ``level`` to ``max_level``. A huge page would have to be split for the table at once. Gone with
    9a967700496f in v6.4.
    """
    inside: Word = level & 0
    for at in range(2, 6):
        inside = either(level == at, bits(9 * (at - 1) - 1, 0), inside)
    contains = itself = level != level
    for at, table in enumerate(table_gfns, 1):
        walked = (level <= at) & (max_level >= at)
        contains = contains | (walked & (clear(gfn ^ table, inside) == 0))
        itself = itself | (walked & (gfn == table))
    writable = any_set(pte_access, k.layout.acc_write_mask) | (no(cr0_wp) & no(user))
    return contains & writable, itself & writable

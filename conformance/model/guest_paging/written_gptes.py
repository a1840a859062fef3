# SPDX-License-Identifier: GPL-2.0-only
"""Which SPTEs a write to a table of the guest concerns, and whether the page still looks like a table.

Positions are offsets in the written page. A page of SPTEs holds 512 entries, a table of 4-byte entries 1024.
"""

from __future__ import annotations

from conformance.model.guest_paging.gptes import GuestFormat
from conformance.model.layout import PAGE_SHIFT, PG_LEVEL_2M, PG_LEVEL_4K, SPTE_ENT_PER_PAGE
from conformance.model.semantics import Semantics
from conformance.model.words import Truth, Word, either, no, shl, shr, when

__all__ = [
    "FLOOD",
    "detect_write_flooding",
    "detect_write_misaligned",
    "get_level1_sp_gpa",
    "get_written_sptes",
]

FLOOD = 3
"""How many writes in a row make an upper table a page that is no table any more."""


def detect_write_misaligned(*, has_4_byte_gpte: Truth | bool, offset: Word, size: Word) -> Truth:
    """Whether the write is not to one entry.

    Writes of fewer than 4 bytes count as such, but for one of a single byte at the beginning of an entry, by
    which some systems change status bits.
    """
    entry = either(has_4_byte_gpte, 2, 3)
    at_beginning = offset & (shl(offset * 0 + 1, entry) - 1) == 0
    other_entry = shr(offset, entry) != shr(offset + size - 1, entry)
    return no(at_beginning & (size == 1)) & (other_entry | (size < 4))


def detect_write_flooding(level: Word, count: Word) -> tuple[Truth, Word]:
    """Whether a page that was written ``count`` times before is flooded by one more write; the new count.

    Pages of level 1 do not count: they become unsync, and are written without exits then.
    """
    counts = level != PG_LEVEL_4K
    now = count + when(counts, 1)
    return counts & (now >= FLOOD), now


def get_written_sptes(
    level: Word, *, has_4_byte_gpte: Truth | bool, quadrant: Word, offset: Word
) -> tuple[Word, Word]:
    """How many SPTEs of the page were made from the entry that holds ``offset``, and the first one's index.

    Of a table of 4-byte entries each page shadows a half (level 1) or a quarter (level 2), as its quadrant
    says. An entry of level 2 maps 4 MiB there, so that two SPTEs are made from it. 0 and 0 for another part.
    """
    of_directory = level == PG_LEVEL_2M
    entry = shr(offset, 2)
    spread = either(of_directory, shl(entry, 1), entry)
    mine = (shr(spread, 9) == quadrant) | no(has_4_byte_gpte)
    count = either(has_4_byte_gpte & of_directory, 2, 1)
    first = either(has_4_byte_gpte, spread & 511, shr(offset, 3))
    return when(mine, count), when(mine, first)


def get_level1_sp_gpa(k: Semantics, fmt: GuestFormat, gfn: Word, quadrant: Word, level: Word) -> Word:
    """The address of the first entry that a page of level 1 shadows, in the table ``gfn``."""
    k.warn_on(f"{fmt.value}_get_level1_sp_gpa", level != PG_LEVEL_4K)
    half = quadrant if fmt is GuestFormat.PAGING32 else quadrant & 0
    return shl(gfn, PAGE_SHIFT) + half * (SPTE_ENT_PER_PAGE * fmt.gpte_bytes)

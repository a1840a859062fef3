# SPDX-License-Identifier: GPL-2.0-only
"""Shadow pages: which guest frame, with which rights, each of their entries shadows.

From David Matlack's "Cache the access bits of shadowed translations": what shadow paging found in the
guest's tables is kept in one word an entry, the gfn above bit 12 and the ACC_* bits below.
"""

from __future__ import annotations

from dataclasses import dataclass

from conformance.model.changes import PASSTHROUGH_PAGES, SHADOWED_ACCESS, TRANSLATION_BY_POINTER
from conformance.model.layout import PAGE_SHIFT
from conformance.model.semantics import Semantics
from conformance.model.words import ALL, Truth, Word, either, no, shl, shr

__all__ = [
    "ShadowPage",
    "kvm_mmu_page_get_access",
    "kvm_mmu_page_get_gfn",
    "kvm_mmu_page_set_access",
    "kvm_mmu_page_set_gfn",
    "kvm_mmu_page_set_translation",
]


@dataclass(frozen=True)
class ShadowPage:
    """One entry of a shadow page: role.level (1 to 4), .direct, .passthrough and .access, sp->gfn, slot.

    A direct page has no array of translations; ``slot`` is then unused.
    """

    level: Word
    direct: Truth | bool
    passthrough: Truth | bool
    access: Word
    gfn: Word
    slot: Word


def kvm_mmu_page_get_gfn(k: Semantics, sp: ShadowPage, index: Word) -> Word:
    """The guest frame that entry ``index`` maps.

    A direct page maps frames in order; the offset is computed in an int, so that entry 16 and up of a
    page at level 4 goes wrong by sign extension. An indirect page remembers it.
    """
    offset = index
    for level in (2, 3, 4):
        offset = either(sp.level == level, _as_int(shl(index, 9 * (level - 1))), offset)
    remembered = shr(sp.slot, PAGE_SHIFT) if k.has(SHADOWED_ACCESS) else sp.slot
    gfn = either(sp.direct, (sp.gfn + offset) & ALL, remembered)
    if k.has(PASSTHROUGH_PAGES):
        return either(sp.passthrough, sp.gfn, gfn)
    return gfn


def _as_int(offset: Word) -> Word:
    """A shift result as C's int holds it: 32 bits, the sign repeated above."""
    low = offset & 0xFFFFFFFF
    return either((low & (1 << 31)) != 0, low | (ALL ^ 0xFFFFFFFF), low)


def _has_translations(k: Semantics, sp: ShadowPage) -> Truth:
    """Whether the page's own array says what its entries shadow.

    Before 9ecc1c119b28 in v6.11 the role decided, and a passthrough page was held to have none.
    """
    if k.has(TRANSLATION_BY_POINTER):
        return no(sp.direct)
    return no(sp.direct) & no(sp.passthrough)


def kvm_mmu_page_get_access(k: Semantics, sp: ShadowPage, index: Word) -> Word:
    """The guest's rights (ACC_* bits) that entry ``index`` shadows; the SPTE itself may grant fewer."""
    return either(_has_translations(k, sp), sp.slot & k.layout.acc_all, sp.access)


def kvm_mmu_page_set_translation(k: Semantics, sp: ShadowPage, index: Word, gfn: Word, access: Word) -> Word:
    """Remember ``gfn`` and ``access`` for entry ``index``; gives the entry's word afterwards.

    A page that maps in order cannot remember, and must agree: WARNs if it does not.
    """
    remembers = _has_translations(k, sp)
    function = "kvm_mmu_page_set_translation"
    k.warn_on(function, no(remembers) & (access != kvm_mmu_page_get_access(k, sp, index)))
    k.warn_on(function, no(remembers) & (gfn != kvm_mmu_page_get_gfn(k, sp, index)))
    return either(remembers, shl(gfn, PAGE_SHIFT) | access, sp.slot)


def kvm_mmu_page_set_access(k: Semantics, sp: ShadowPage, index: Word, access: Word) -> Word:
    """Remember ``access`` for entry ``index``, whose gfn stays; gives the entry's word afterwards."""
    return kvm_mmu_page_set_translation(k, sp, index, kvm_mmu_page_get_gfn(k, sp, index), access)


def kvm_mmu_page_set_gfn(k: Semantics, sp: ShadowPage, index: Word, gfn: Word) -> Word:
    """Remember ``gfn`` for entry ``index``: all there was before 6a97575d5cff in v6.0."""
    k.warn_on("kvm_mmu_page_set_gfn", sp.direct & (gfn != kvm_mmu_page_get_gfn(k, sp, index)))
    return either(sp.direct, sp.slot, gfn)

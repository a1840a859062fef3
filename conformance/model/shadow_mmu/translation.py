# SPDX-License-Identifier: GPL-2.0-only
"""Shadow pages: the gfn and the rights that each entry shadows.

Source: commit 6a97575d5cff ("KVM: x86/mmu: Cache the access bits of shadowed translations"). For each entry
KVM keeps one word with what it read in the guest's page table: the gfn from bit 12 on, and the ACC_* bits
below.
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
    """The gfn that entry ``index`` maps.

    A direct page maps consecutive gfns. The kernel computes their offset in an int, so that from entry 16 on
    of a page at level 4 the result is wrong by sign extension. An indirect page stores the gfn.
    """
    offset = index
    for level in (2, 3, 4):
        offset = either(sp.level == level, _as_int(shl(index, 9 * (level - 1))), offset)
    stored = shr(sp.slot, PAGE_SHIFT) if k.has(SHADOWED_ACCESS) else sp.slot
    gfn = either(sp.direct, (sp.gfn + offset) & ALL, stored)
    if k.has(PASSTHROUGH_PAGES):
        return either(sp.passthrough, sp.gfn, gfn)
    return gfn


def _as_int(offset: Word) -> Word:
    """The value truncated to C's int, and sign-extended to 64 bits."""
    low = offset & 0xFFFFFFFF
    return either((low & (1 << 31)) != 0, low | (ALL ^ 0xFFFFFFFF), low)


def _has_translations(k: Semantics, sp: ShadowPage) -> Truth:
    """Whether the page has an array of shadowed translations.

    Before commit 9ecc1c119b28 in v6.11 the role decided, and a passthrough page counted as having none.
    """
    if k.has(TRANSLATION_BY_POINTER):
        return no(sp.direct)
    return no(sp.direct) & no(sp.passthrough)


def kvm_mmu_page_get_access(k: Semantics, sp: ShadowPage, index: Word) -> Word:
    """The guest's rights (ACC_* bits) that entry ``index`` shadows; the SPTE itself may grant fewer."""
    return either(_has_translations(k, sp), sp.slot & k.layout.acc_all, sp.access)


def kvm_mmu_page_set_translation(k: Semantics, sp: ShadowPage, index: Word, gfn: Word, access: Word) -> Word:
    """Store ``gfn`` and ``access`` for entry ``index``; return the entry's word afterwards.

    A page without the array stores nothing; WARN if its gfn or access differ from the arguments.
    """
    has_translations = _has_translations(k, sp)
    function = "kvm_mmu_page_set_translation"
    k.warn_on(function, no(has_translations) & (access != kvm_mmu_page_get_access(k, sp, index)))
    k.warn_on(function, no(has_translations) & (gfn != kvm_mmu_page_get_gfn(k, sp, index)))
    return either(has_translations, shl(gfn, PAGE_SHIFT) | access, sp.slot)


def kvm_mmu_page_set_access(k: Semantics, sp: ShadowPage, index: Word, access: Word) -> Word:
    """Store ``access`` for entry ``index`` and keep its gfn; return the entry's word afterwards."""
    return kvm_mmu_page_set_translation(k, sp, index, kvm_mmu_page_get_gfn(k, sp, index), access)


def kvm_mmu_page_set_gfn(k: Semantics, sp: ShadowPage, index: Word, gfn: Word) -> Word:
    """Store ``gfn`` for entry ``index``; return the entry's word afterwards. Used before v6.0."""
    k.warn_on("kvm_mmu_page_set_gfn", sp.direct & (gfn != kvm_mmu_page_get_gfn(k, sp, index)))
    return either(sp.direct, sp.slot, gfn)

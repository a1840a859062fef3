# SPDX-License-Identifier: GPL-2.0-only
"""The kinds of SPTE: present, MMIO, frozen, zapped, zero, and stray for no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from conformance.model.changes import REMOVED_SPTE_5A0
from conformance.model.layout import PG_LEVEL_4K, PT_PAGE_SIZE_MASK
from conformance.model.semantics import Semantics
from conformance.model.spte.decode.hardware import unlike_table
from conformance.model.spte.decode.named_bits import FROZEN, MMIO, NONPRESENT, PRESENT, BitName
from conformance.model.spte.predicates import is_frozen_spte, is_mmio_spte, is_shadow_present_pte

__all__ = ["KINDS", "Kind", "is_leaf", "kind", "kind_of"]


@dataclass(frozen=True)
class Kind:
    """A kind of SPTE: how it is recognised, and its named bits."""

    name: str
    test: Callable[[Semantics, int], bool]
    bits: Sequence[BitName]


KINDS = (
    Kind("frozen", lambda k, spte: k.has(REMOVED_SPTE_5A0) and bool(is_frozen_spte(k, spte)), FROZEN),
    Kind("zapped", lambda k, spte: spte == k.layout.nonpresent_value != 0, (NONPRESENT,)),
    Kind("zero", lambda k, spte: spte == 0, (NONPRESENT,)),
    Kind("present", lambda k, spte: bool(is_shadow_present_pte(k, spte)), PRESENT),
    Kind("mmio", lambda k, spte: bool(is_mmio_spte(k, spte)), MMIO),
    Kind("stray", lambda k, spte: True, PRESENT),
)
"""Every kind of SPTE; an SPTE is of the first whose test holds."""


def kind(k: Semantics, spte: int) -> Kind:
    """The kind of an SPTE."""
    return next(each for each in KINDS if each.test(k, spte))


def kind_of(k: Semantics, spte: int) -> str:
    """The name of the kind: "present", "frozen", "zapped", "zero", "mmio" or "stray"."""
    return kind(k, spte).name


def is_leaf(k: Semantics, spte: int, level: int | None = None) -> bool:
    """Whether a present SPTE maps a page. Without ``level``, one that could point to a table does not."""
    if level is not None:
        return level == PG_LEVEL_4K or bool(spte & PT_PAGE_SIZE_MASK)
    return bool(unlike_table(k, spte))

# SPDX-License-Identifier: GPL-2.0-only
"""An SPTE divided into fields: each bit in exactly one, with a name and a meaning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from conformance.model.semantics import Semantics
from conformance.model.spte.decode.kinds import KINDS, Kind, kind
from conformance.model.spte.decode.named_bits import BitName
from conformance.model.words import ALL, bits

__all__ = ["Field", "bit_map", "fields"]


@dataclass(frozen=True)
class Field:
    """Bits ``high`` to ``low`` of an SPTE, both included, shifted right to ``value``.

    ``name`` is "" where the bits have no name. ``meaning`` is that of this value, ``label`` the name in at
    most three characters, for pictures.
    """

    high: int
    low: int
    name: str
    value: int
    meaning: str
    label: str = ""


def fields(k: Semantics, spte: int, level: int | None = None) -> list[Field]:
    """Every bit of the SPTE in exactly one field, from bit 63 down.

    A name whose bits are not adjacent has several fields. A stray SPTE is decoded as if it were present.
    ``level`` is that of its table (1 is 4 KiB), None if it is not known.
    """
    found: list[Field] = []
    left = ALL
    for named, high, low in _named(k, kind(k, spte)):
        left &= ~bits(high, low)
        value = (spte & bits(high, low)) >> low
        means = named.means(k, spte, level) if callable(named.means) else named.means.get(value, "reserved")
        found.append(Field(high, low, named.name, value, means, named.label))
    for high, low in _runs(left):
        value = (spte & bits(high, low)) >> low
        found.append(Field(high, low, "", value, "nothing that KVM knows" if value else "unused"))
    return sorted(found, key=lambda field: -field.high)


def bit_map(k: Semantics, kind: str) -> list[Field]:
    """The fields of SPTEs of a kind, without values, from bit 63 down; unused bits are left out."""
    selected = next(each for each in KINDS if each.name == kind)
    found = (Field(high, low, named.name, 0, "", named.label) for named, high, low in _named(k, selected))
    return sorted(found, key=lambda field: -field.high)


def _named(k: Semantics, kind: Kind) -> Iterator[tuple[BitName, int, int]]:
    """Each run of adjacent bits with its name; a bit belongs to the first name whose mask has it."""
    left = ALL
    for named in kind.bits:
        for high, low in _runs(named.mask(k) & left):
            left &= ~bits(high, low)
            yield named, high, low


def _runs(mask: int) -> Iterator[tuple[int, int]]:
    """The highest and lowest bit of each run of adjacent bits in ``mask``."""
    high = None
    for n in range(63, -2, -1):
        if n >= 0 and mask >> n & 1:
            high = n if high is None else high
        elif high is not None:
            yield high, n + 1
            high = None

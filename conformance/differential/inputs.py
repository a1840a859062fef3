# SPDX-License-Identifier: GPL-2.0-only
"""Published inputs: for each property the same cases on every kernel, in every mode, on every machine.

Fingerprints and the identification of kernels rest on them, so nothing here depends on a profile, on
masks, or on numpy's generators. Whatever is drawn is the output of SHAKE-256 of
``kvm-mmu-conformance/<schema>/<property>/<number of the drawing>``, eight little-endian bytes a word. Of
``CASES`` cases:

- columns of few values count through all their combinations, if there are no more than cases, and are drawn
  otherwise;
- a property's first SPTE counts through all of its bits 11:0 in the first half of the cases and
  through its bits 63:52 in the second half, each in a drawn order, so that both are exhaustive;
- everything else is drawn: status bits half of the time each, numbers of all magnitudes, a few special
  SPTEs, and half of the time what is near another column of the same case.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

from conformance.differential.columns import Access, Bits, Choice, Column, SpteColumn
from conformance.differential.property import Property
from conformance.kernels import SERIES
from conformance.model.layout import SPTE_BASE_ADDR_MASK
from conformance.model.profiles import profile_of
from conformance.model.semantics import Semantics
from conformance.model.words import ALL

__all__ = ["CASES", "SCHEMA", "admitted", "asked", "inputs"]

Words = NDArray[np.uint64]

SCHEMA = 1
"""Goes up when the cases are made in another way; fingerprints of another schema cannot be compared."""
CASES = 1 << 13
SCALAR_CASES = 1 << 8
"""The same where the model's side runs over ints."""

_ADDRESS = np.uint64(SPTE_BASE_ADDR_MASK)
_SPECIAL = np.array([0, 1 << 63, 0x5A0, 0x1A0, 1 << 63 | 0x5A0, 1 << 63 | 0x1A0, ALL], np.uint64)
"""Nothing, and what has marked frozen entries since v5.12, without and with bit 63."""


class _Stream:
    """The words drawn for one property."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._asked = 0

    def words(self, n: int) -> Words:
        """The next ``n`` words."""
        self._asked += 1
        taken = hashlib.shake_256(f"{self._label}/{self._asked}".encode()).digest(8 * n)
        return np.frombuffer(taken, "<u8").astype(np.uint64)

    def order(self, n: int) -> Words:
        """The numbers below ``n``, shuffled."""
        return np.argsort(self.words(n), kind="stable").astype(np.uint64)


def inputs(prop: Property) -> Words:
    """The property's cases: a row a column."""
    n = SCALAR_CASES if prop.scalar else CASES
    stream = _Stream(f"kvm-mmu-conformance/{SCHEMA}/{prop.name}")
    listed = [_values(column) for column in prop.takes]
    counted = math.prod(len(values) for values in listed if values is not None) <= n
    radix = 1
    drawn: dict[str, Words] = {}
    first_spte = next((column.name for column in prop.takes if isinstance(column, SpteColumn)), None)
    for column, values in zip(prop.takes, listed, strict=True):
        if values is not None:
            numbers = np.arange(n, dtype=np.uint64) // np.uint64(radix) if counted else stream.words(n)
            made = values[numbers % np.uint64(len(values))]
            radix *= len(values)
        elif isinstance(column, SpteColumn):
            made = _sptes(stream, n)
            if column.name == first_spte:
                _count(stream, made)
            if column.near is not None:
                made = _near(stream, made, drawn[column.near])
        else:
            assert isinstance(column, Bits)
            made = _numbers(stream, column, n, drawn)
        drawn[column.name] = made
    return np.stack(list(drawn.values()))


def admitted(prop: Property, k: Semantics, cases: Words) -> NDArray[np.bool_]:
    """Which of the cases a kernel like ``k`` may be called with: some have no fourth bit of access."""
    allowed = np.ones(cases.shape[1], np.bool_)
    for row, column in zip(cases, prop.takes, strict=True):
        values = column.choices(k)
        if values is not None:
            allowed &= np.isin(row, np.array(values, np.uint64))
    return allowed


def asked(prop: Property, cases: Words) -> str:
    """A digest of what is asked: the names of what goes in and is observed, and the cases."""
    names = [prop.name, *(column.name for column in prop.takes)]
    names += [*(output.name for output in prop.gives), *prop.events]
    digest = hashlib.sha256("\0".join(names).encode() + b"\0")
    digest.update(np.ascontiguousarray(cases, "<u8").tobytes())
    return digest.hexdigest()[:12]


def _values(column: Column) -> Words | None:
    """All values of a column of few; those that any kernel knows."""
    if isinstance(column, Access):
        return np.arange(1 << column.width, dtype=np.uint64)
    if isinstance(column, Choice):
        return np.array(column.values, np.uint64)
    return None


def _sptes(stream: _Stream, n: int) -> Words:
    """SPTEs: any status bits beside a pfn of any magnitude; an eighth special, an eighth any word."""
    anything, status, chance = stream.words(n), stream.words(n), stream.words(n)
    made = (anything >> (chance & 31)) & _ADDRESS | status & ~_ADDRESS
    kind = chance >> 60
    made = np.where(kind == 0, _SPECIAL[anything % np.uint64(len(_SPECIAL))], made)
    return np.where(kind == 1, anything, made)


def _count(stream: _Stream, sptes: Words) -> None:
    """Let the low and then the high status bits go through all their values, if there are enough cases."""
    quarter = 1 << 12
    if len(sptes) >= 2 * quarter:
        low, high = sptes[:quarter], sptes[quarter : 2 * quarter]
        low[:] = low & ~np.uint64(quarter - 1) | stream.order(quarter)
        high[:] = high & ~(np.uint64(quarter - 1) << 52) | stream.order(quarter) << 52


def _near(stream: _Stream, sptes: Words, other: Words) -> Words:
    """A third of them the other, a third that with one to three status bits changed, the rest as drawn."""
    chance = stream.words(len(sptes))
    flips = np.zeros_like(sptes)
    for at in range(3):
        bit = (chance >> (8 * at)) % np.uint64(24)
        flips ^= np.uint64(1) << np.where(bit < 12, bit, bit + np.uint64(40))
    kind = (chance >> 32) % np.uint64(3)
    return np.where(kind == 0, other, np.where(kind == 1, other ^ flips, sptes))


def _numbers(stream: _Stream, column: Bits, n: int, drawn: dict[str, Words]) -> Words:
    """Numbers of all magnitudes, or of half, a 16th or no bits; half of them the neighbour's, if any."""
    anything, chance = stream.words(n), stream.words(n)
    top = np.uint64((1 << column.width) - 1)
    made = anything & top
    if column.dense:
        sparse = made & stream.words(n) & stream.words(n) & stream.words(n)
        made = np.where(chance & 1 == 0, sparse, made)
        made = np.where(chance & 7 == 1, np.uint64(0), made)
    else:
        made = np.where(chance & 7 == 0, np.uint64(1) << (anything % np.uint64(column.width)), made)
        made = np.where(chance & 7 != 0, made >> ((chance >> 8) % np.uint64(column.width)), made)
    if column.near is not None:
        other = drawn[column.near]
        if column.seen_as is not None:
            other = _as_seen(column, other)
        made = np.where(chance >> 63 == 1, other & top, made)
    return made


def _as_seen(column: Bits, other: Words) -> Words:
    """The neighbour as each pinned series in turn sees it."""
    assert column.seen_as is not None
    made = np.empty_like(other)
    for at, series in enumerate(SERIES):
        major, minor = series.split(".")
        k = Semantics(profile_of((int(major), int(minor))))
        made[at :: len(SERIES)] = column.seen_as(k, other[at :: len(SERIES)])
    return made

# SPDX-License-Identifier: GPL-2.0-only
"""Columns: the inputs of a property, one 64-bit word each, and how to draw values that are likely to matter.

A column is drawn by two drivers from the same data: numpy for volume, Hypothesis for structure and
shrinking. SPTEs are drawn legal for the mode, near-legal (a few bits off), arbitrary, or special
(zero, frozen, non-present, MMIO), and two SPTEs of one case are often alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from conformance.model.changes import ACC_READ
from conformance.model.layout import (
    PT_PAGE_SIZE_MASK,
    PT_PRESENT_MASK,
    PT_WRITABLE_MASK,
    SPTE_BASE_ADDR_MASK,
    VMX_EPT_IPAT_BIT,
)
from conformance.model.semantics import Semantics
from conformance.model.spte import mmio, states
from conformance.model.spte.decode.text import describe
from conformance.model.words import ALL, Word, any_set, when

__all__ = [
    "Access",
    "Bits",
    "Choice",
    "Column",
    "FlagColumn",
    "SpteColumn",
    "special_sptes",
    "spte_alternatives",
    "translated",
]

Words = NDArray[np.uint64]


@dataclass(frozen=True)
class Column:
    """One input word. ``name`` is its name in reports, ``width`` the number of its bits that may be set."""

    name: str
    width: int = 64

    def choices(self, k: Semantics) -> tuple[int, ...] | None:
        """All values, where there are few; None where there are too many to list."""
        return None

    def admits(self, k: Semantics, value: int) -> bool:
        """Whether ``value`` is one that the kernel function may be called with."""
        listed = self.choices(k)
        return value in listed if listed is not None else 0 <= value < 1 << self.width

    def decoded(self, k: Semantics, value: int) -> str:
        """The value decoded; "" where its number says it all."""
        return ""

    def text(self, value: int) -> str:
        """The value as reports write it: short decimals where it is a count or a choice, else hex."""
        return str(value) if self.width <= 16 else f"{value:#x}"

    def sample(self, k: Semantics, rng: np.random.Generator, n: int, drawn: Mapping[str, Words]) -> Words:
        """``n`` values, given those already ``drawn`` for earlier columns of the same cases."""
        raise NotImplementedError

    def strategy(self, k: Semantics, drawn: Mapping[str, int]) -> st.SearchStrategy[int]:
        """One value, given those already ``drawn`` for earlier columns of the same case."""
        raise NotImplementedError


@dataclass(frozen=True)
class Choice(Column):
    """One of a few values."""

    values: tuple[int, ...] = ()

    def choices(self, k: Semantics) -> tuple[int, ...]:
        """The values."""
        return self.values

    def text(self, value: int) -> str:
        """Numbers in decimal, masks in hex."""
        return str(value) if max(self.values, default=0) <= 64 else f"{value:#x}"

    def sample(self, k: Semantics, rng: np.random.Generator, n: int, drawn: Mapping[str, Words]) -> Words:
        """Each value equally often."""
        return rng.choice(np.array(self.choices(k), np.uint64), n)

    def strategy(self, k: Semantics, drawn: Mapping[str, int]) -> st.SearchStrategy[int]:
        """Shrinks towards the first value."""
        return st.sampled_from(self.choices(k))


@dataclass(frozen=True)
class FlagColumn(Choice):
    """A bool."""

    values: tuple[int, ...] = (0, 1)
    width: int = 1


@dataclass(frozen=True)
class Access(Choice):
    """ACC_* bits, any combination."""

    width: int = 4

    def choices(self, k: Semantics) -> tuple[int, ...]:
        """Three bits, or four since read access has its own."""
        return tuple(range(16 if k.has(ACC_READ) else 8))

    def decoded(self, k: Semantics, value: int) -> str:
        """The names of the granted rights."""
        names = ("read", "write", "exec", "user")
        granted = [name for name in names if value & getattr(k.layout, f"acc_{name}_mask")]
        return ", ".join(granted) or ("nothing" if k.has(ACC_READ) else "reading only")

    def translated(self, access: Word, ours: Semantics, theirs: Semantics) -> Word:
        """The same access in the bits of another kernel. Before it had a bit, read was always granted."""
        other: Word = 0 if ours.layout.acc_read_mask else theirs.layout.acc_read_mask
        for name in _ACCESS:
            other = when(any_set(access, getattr(ours.layout, name)), getattr(theirs.layout, name)) | other
        return other


_ACCESS = ("acc_exec_mask", "acc_write_mask", "acc_user_mask", "acc_read_mask")


def translated(
    columns: Iterable[Column], words: Iterable[Word], ours: Semantics, theirs: Semantics
) -> list[Word]:
    """Words of these columns for another kernel: access in the bits that it has for it."""
    if all(getattr(ours.layout, name) == getattr(theirs.layout, name) for name in _ACCESS):
        return list(words)
    return [
        column.translated(word, ours, theirs) if isinstance(column, Access) else word
        for column, word in zip(columns, words, strict=True)
    ]


@dataclass(frozen=True)
class Bits(Column):
    """A number of ``width`` bits: small, huge, a single bit, or anything. ``near`` another column at times.

    ``dense`` draws every bit half of the time instead, for masks and packed tables. ``near`` is taken
    as what ``seen_as`` makes of the other column, where the numbers meet only after a computation.
    """

    near: str | None = None
    dense: bool = False
    seen_as: Callable[[Semantics, Word], Word] | None = None

    def _other(self, k: Semantics, drawn: Mapping[str, Any]) -> Any:
        """The value to be near."""
        assert self.near is not None
        other = drawn[self.near] if self.seen_as is None else self.seen_as(k, drawn[self.near])
        return other & ((1 << self.width) - 1)

    def sample(self, k: Semantics, rng: np.random.Generator, n: int, drawn: Mapping[str, Words]) -> Words:
        """Magnitudes evenly over the widths, so that small and large numbers both occur; some of one bit."""
        top = np.uint64((1 << self.width) - 1)
        values = rng.integers(0, ALL, n, np.uint64, endpoint=True) & top
        if not self.dense:
            bit = rng.integers(0, self.width, n, np.uint64)
            values = np.where(rng.integers(0, 8, n) == 0, np.uint64(1) << bit, values >> bit)
        if self.near is not None:
            values = np.where(rng.integers(0, 2, n) == 1, self._other(k, drawn), values)
        return values

    def strategy(self, k: Semantics, drawn: Mapping[str, int]) -> st.SearchStrategy[int]:
        """Shrinks towards 0, or the other column's value."""
        kinds = [st.integers(0, (1 << self.width) - 1)]
        if not self.dense:
            kinds.append(st.integers(0, self.width - 1).map(lambda n: 1 << n))
        if self.near is not None:
            kinds.insert(0, st.just(self._other(k, drawn)))
        return st.one_of(kinds)


@dataclass(frozen=True)
class SpteColumn(Column):
    """An SPTE. ``near`` names an earlier one: then half of the values are that with a few bits changed."""

    near: str | None = None
    bits_off: int = field(default=3, repr=False)

    def decoded(self, k: Semantics, value: int) -> str:
        """The SPTE in one line."""
        return describe(k, value)

    def text(self, value: int) -> str:
        """All sixteen digits, so that SPTEs line up."""
        return f"{value:#018x}"

    def sample(self, k: Semantics, rng: np.random.Generator, n: int, drawn: Mapping[str, Words]) -> Words:
        """Half legal, a quarter near-legal, most of the rest arbitrary, some special."""
        anything = rng.integers(0, ALL, n, np.uint64, endpoint=True)
        chance = rng.integers(0, ALL, n, np.uint64, endpoint=True)
        table = _legal_sptes(k)
        # Real pfns are small more often than not; keep some arbitrary.
        address = (anything >> (chance & 31)) & np.uint64(SPTE_BASE_ADDR_MASK)
        legal = table[(chance >> 5) % len(table)] | address
        flips = np.zeros(n, np.uint64)
        for at in range(self.bits_off):
            flips ^= np.uint64(1) << ((chance >> (26 + 6 * at)) & 63)
        special = np.array(special_sptes(k), np.uint64)
        kind = chance >> 59
        values = np.where(kind < 16, legal, legal ^ flips)
        values = np.where(kind < 24, values, anything)
        values = np.where(kind < 30, values, special[anything % len(special)])
        if self.near is not None:
            other = drawn[self.near]
            alike = rng.integers(0, 6, n)
            values = np.where(
                alike < 3, values, np.where(alike < 4, other, other ^ (anything & _state_bits(k)))
            )
        return values

    def strategy(self, k: Semantics, drawn: Mapping[str, int]) -> st.SearchStrategy[int]:
        """The same kinds; shrinks towards the plainest legal SPTE."""
        parts = [st.sampled_from(alternatives) for alternatives in spte_alternatives(k)]
        address = st.integers(0, SPTE_BASE_ADDR_MASK >> 12).map(lambda pfn: pfn << 12)
        legal = st.tuples(*parts, address).map(_joined)
        flips = st.lists(st.integers(0, 63).map(lambda n: 1 << n), max_size=self.bits_off).map(_toggled)
        near = st.tuples(legal, flips).map(_toggled)
        kinds = [legal, near, st.integers(0, ALL), st.sampled_from(special_sptes(k))]
        if self.near is not None:
            other = drawn[self.near]
            kinds.insert(0, st.integers(0, ALL).map(lambda word: other ^ (word & int(_state_bits(k)))))
        return st.one_of(kinds)


def _joined(parts: tuple[int, ...]) -> int:
    word = 0
    for part in parts:
        word |= part
    return word


def _toggled(parts: tuple[int, ...] | list[int]) -> int:
    word = 0
    for part in parts:
        word ^= part
    return word


def spte_alternatives(k: Semantics) -> list[tuple[int, ...]]:
    """The parts of legal present SPTEs: one of each tuple, combined by OR."""
    bits = k.layout
    memtypes = (0x6 << 3 | VMX_EPT_IPAT_BIT, 0, 0x6 << 3) if k.shadow_acc_track_mask else (0,)
    saved = bits.acc_track_saved_mask << bits.acc_track_saved_shift
    return [
        (bits.spte_mmu_present_mask,),
        (k.shadow_present_mask | PT_PRESENT_MASK, k.shadow_present_mask),
        tuple(state.bits(k) for state in states.STATES),
        (0, bits.spte_tdp_ad_disabled, bits.spte_tdp_ad_wrprot_only),
        (k.shadow_accessed_mask, 0),
        (k.shadow_dirty_mask, 0),
        (k.shadow_x_mask | k.shadow_xu_mask, k.shadow_nx_mask, k.shadow_x_mask),
        (k.shadow_user_mask, 0),
        (0, PT_PAGE_SIZE_MASK),
        (k.shadow_me_value,),
        memtypes,
        (0, 0, saved, saved & (1 << bits.acc_track_saved_shift)) if k.shadow_acc_track_mask else (0,),
    ]


def _legal_sptes(k: Semantics) -> Words:
    """Every legal present SPTE, without an address."""
    return _combined(tuple(spte_alternatives(k)))


@lru_cache(maxsize=32)
def _combined(parts: tuple[tuple[int, ...], ...]) -> Words:
    """Every combination of one of each tuple by OR."""
    table = np.zeros(1, np.uint64)
    for alternatives in parts:
        table = np.bitwise_or.outer(table, np.array(alternatives, np.uint64)).ravel()
    return table


def special_sptes(k: Semantics) -> tuple[int, ...]:
    """Every kind of SPTE that is not present, zero, and all bits set."""
    mmio_spte = k.shadow_mmio_value | k.shadow_nonpresent_or_rsvd_mask
    return (
        k.layout.nonpresent_value,
        0,
        k.layout.frozen_spte,
        k.layout.frozen_spte ^ 1 << 63,
        mmio_spte,
        mmio_spte | mmio.generation_mmio_spte_mask(k, k.layout.mmio_gen_mask) | 0xFEE00000,
        ALL,
    )


def _state_bits(k: Semantics) -> np.uint64:
    """The bits in which two states of one SPTE usually differ."""
    return np.uint64(
        k.shadow_host_writable_mask
        | k.shadow_mmu_writable_mask
        | PT_WRITABLE_MASK
        | k.shadow_accessed_mask
        | k.shadow_dirty_mask
        | k.shadow_acc_track_mask
        | k.layout.spte_tdp_ad_mask
        | k.layout.spte_mmu_present_mask
    )

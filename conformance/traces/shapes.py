# SPDX-License-Identifier: GPL-2.0-only
"""The shapes of a trace's SPTEs: those that differ in address bits that decide nothing are one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from conformance.model.layout import PT_PRESENT_MASK, SPTE_BASE_ADDR_MASK
from conformance.traces.trace import Trace

__all__ = ["PRESENT", "Shape", "address_bits", "common_bits", "lowest_mmio_bit", "shapes_of"]

PRESENT = 1 << 11
"""Shadow-present, since v5.13; before, most present SPTEs have it too."""
_NO_GFN = 12
_NEARLY_ALL = (9, 10)
_SEEN_OFTEN = 100
"""An address bit of fewer SPTEs than one in this many does not say that the host has it."""


class Shape(NamedTuple):
    """SPTEs that differ in address bits only that decide nothing: one of them, and how many there are.

    ``level`` is 0 if it is not known. ``direct``: the TDP MMU changed it, so it is of no nested guest.
    ``gfn`` is that of an SPTE that is not present, else and if it is not known -1.
    """

    spte: int
    level: int
    direct: bool
    gfn: int
    number: int


def shapes_of(trace: Trace) -> list[Shape]:
    """The shapes of all SPTEs but 0, the most frequent first."""
    return [Shape(*key, number) for key, number in _sptes(trace).most_common() if key[0]]


def _sptes(trace: Trace) -> Counter[tuple[int, int, bool, int]]:
    """How often each shape of SPTE was seen: by level, whether the TDP MMU changed it, and gfn."""
    found: Counter[tuple[int, int, bool, int]] = Counter()
    for event in trace.events:
        values = event.values
        if event.name == "kvm_tdp_mmu_spte_changed":
            level = values["level"]
            for spte in (values["old_spte"], values["new_spte"]):
                gfn = -1 if spte & PRESENT or spte >> _NO_GFN == 0 else values["gfn"]
                found[_shape(spte, level), level, True, gfn] += 1
        elif event.name == "kvm_mmu_set_spte":
            found[_shape(values["spte"], values["level"]), values["level"], False, -1] += 1
        elif event.name == "fast_page_fault":
            found[_shape(values["old_spte"], 1), 0, False, -1] += 1
        elif event.name in ("check_mmio_spte", "kvm_mmu_split_huge_page"):
            level = values.get("level", 1)
            found[_shape(values["spte"], level), level, False, -1] += 1
    return found


_FREE = {level: SPTE_BASE_ADDR_MASK & ((1 << 34) - 1) & -(1 << 12 + 9 * (level - 1)) for level in range(1, 4)}


def _shape(spte: int, level: int) -> int:
    if spte & PRESENT:
        return spte & ~_FREE.get(level, _FREE[1])
    return spte


def common_bits(shapes: Iterable[Shape]) -> int:
    """The address bits that nearly all SPTEs have which are not shadow-present."""
    counts: Counter[int] = Counter()
    total = 0
    for spte, _, _, _, number in shapes:
        if not spte & PRESENT:
            total += number
            counts.update({bit: number for bit in range(12, 52) if spte >> bit & 1})
    return sum(
        1 << bit for bit, number in counts.items() if number * _NEARLY_ALL[1] >= total * _NEARLY_ALL[0]
    )


def lowest_mmio_bit(shapes: Sequence[Shape]) -> int:
    """The lowest of the reserved address bits that MMIO SPTEs of AMD hosts have, from bit 51 down.

    With memory encryption they have all of them (svm_adjust_mmio_mask()), else bit 51 only.
    """
    common = common_bits(shape for shape in shapes if shape.spte >> 51 & 1 and shape.spte & PT_PRESENT_MASK)
    lowest = 51
    while common >> lowest - 1 & 1 and lowest > 40:
        lowest -= 1
    return lowest


def address_bits(shapes: Sequence[Shape]) -> int:
    """How many address bits the present SPTEs need, without those that few of them have."""
    counts = [0] * 52
    total = 0
    for spte, _, _, _, count in shapes:
        if spte & PRESENT and not spte >> 51 & 1:
            total += count
            counts[max((spte & SPTE_BASE_ADDR_MASK).bit_length() - 1, 0)] += count
    needed = [bit + 1 for bit, count in enumerate(counts) if count and count * _SEEN_OFTEN >= total]
    return max(needed, default=0)

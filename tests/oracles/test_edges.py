# SPDX-License-Identifier: GPL-2.0-only
"""Edges of the MMU, from counters as gcc's libgcov writes them."""

from __future__ import annotations

import struct

import pytest

from conformance.oracles.coverage import ARCS, FUNCTION
from conformance.oracles.edges import read_edges


def unit(name: str, *functions: list[int]) -> bytes:
    """A unit as c/coverage.c writes it; counters that are all 0 are written as a negative length."""
    content = name.encode() + b"\0" + b"adcg" + bytes(12)
    for number, counts in enumerate(functions):
        content += struct.pack("<IiIII", FUNCTION, 12, number, 7, 8)
        size = 8 * len(counts)
        content += struct.pack("<Ii", ARCS, size if any(counts) else -size)
        content += struct.pack(f"<{len(counts)}q", *counts) if any(counts) else b""
    content += bytes(8)
    return struct.pack("<Q", len(content)) + content


def test_edges_are_numbered_through_functions_and_units_of_the_mmu():
    dump = (
        unit("theirs/arch-x86-kvm-mmu-mmu.gcda", [0, 3], [0, 0, 0], [1])
        + unit("theirs/arch-x86-kvm-x86.gcda", [5, 5, 5])
        + unit("theirs/arch-x86-kvm-mmu-spte.gcda", [0, 0, 9])
    )
    found = read_edges(dump)
    assert found.executed == {1, 5, 8} and found.total == 9
    same = read_edges(dump.replace(struct.pack("<q", 9), struct.pack("<q", 1)))
    assert same.layout == found.layout
    other = read_edges(unit("arch-x86-kvm-mmu-mmu.gcda", [0, 3], [0, 0], [1]))
    assert other.layout != found.layout


def test_what_cannot_be_read_is_said():
    with pytest.raises(ValueError, match="counters cannot be read"):
        read_edges(unit("arch-x86-kvm-mmu-mmu.gcda", [1, 2])[:-30])
    with pytest.raises(ValueError, match="counters cannot be read"):
        read_edges(b"short")

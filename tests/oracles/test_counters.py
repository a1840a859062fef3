# SPDX-License-Identifier: GPL-2.0-only
"""Counters: read from the content of a .gcda file, added, and written again."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from conformance.oracles.coverage import Counters, _read

HEADER = struct.pack("<4sIII", b"adcg", 0x42323352, 1, 2)
ONE, OTHER = b"f" * 12, b"g" * 12


def content(**functions):
    """A unit with two functions and their counters; those of a function without any are left out, as 0."""
    parts = [HEADER]
    for key, name in ((ONE, "one"), (OTHER, "other")):
        counts = functions.get(name)
        size = -16 if counts is None else 16
        parts += [struct.pack("<Ii", 0x01000000, 12), key, struct.pack("<Ii", 0x01A10000, size)]
        parts += [] if counts is None else [struct.pack("<2q", *counts)]
    return b"".join(parts)


def counters(**functions):
    return Counters({"mmu": _read(content(**functions))})


def values(found):
    return {key: list(counts) for key, counts in found["mmu"].functions.items()}


def test_what_was_not_executed_is_0():
    found = counters(one=(1, 2))
    assert values(found) == {ONE: [1, 2], OTHER: [0, 0]}
    assert [*found.ran()] == [("mmu", {ONE})]
    assert [*counters().ran()] == []


@pytest.mark.parametrize(
    ("left", "right", "total"),
    [
        ({}, {}, {ONE: [0, 0], OTHER: [0, 0]}),
        ({"one": (1, 2)}, {}, {ONE: [1, 2], OTHER: [0, 0]}),
        ({}, {"other": (3, 0)}, {ONE: [0, 0], OTHER: [3, 0]}),
        ({"one": (1, 2)}, {"one": (5, 0), "other": (1, 1)}, {ONE: [6, 2], OTHER: [1, 1]}),
    ],
)
def test_sums(left, right, total):
    one, other = counters(**left), counters(**right)
    found = one + other
    assert values(found) == total
    assert values(found - other) == values(one)
    assert values(one) == values(counters(**left)), "an operand has changed"


def test_what_executed_nothing_since_did_not_run():
    once = counters(one=(1, 2))
    assert [*(once - once).ran()] == []


def test_they_are_written_as_they_are_read():
    found = counters(one=(7, 0))
    again = _read(found.content("mmu"))
    assert all(np.array_equal(again.functions[key], counts) for key, counts in found["mmu"].functions.items())


def test_what_is_no_counters():
    for wrong in (b"", b"oncg" + bytes(12), content(one=(1, 2))[:-30]):
        with pytest.raises((ValueError, struct.error)):
            _read(wrong)

# SPDX-License-Identifier: GPL-2.0-only
"""An SPTE of unknown mode and level is decoded in the modes in which KVM makes it, and at each level."""

from __future__ import annotations

import pytest

from conformance.model.modes import MODES
from conformance.model.profiles import profile_of
from conformance.model.readings import LEVELS, best, reading, readings, role

V6_1 = profile_of((6, 1))
LEAF = 0x0600000001234975
HUGE = 0x06000000002009F7
GIB = 0x06000000400009F7
TABLE = 0x0000000001234907
NPT = 0x8000000000200EE7
MMIO = 0x00080000FEE0002D


def modes(spte, *given):
    return [one.mode.name for one in readings(V6_1, spte, *given) if one.legal]


@pytest.mark.parametrize(
    ("spte", "legal"),
    [(LEAF, (1,)), (HUGE, (2,)), (GIB, (2, 3)), (TABLE, (2, 3, 4, 5)), (0, LEVELS), (0x977, ())],
)
def test_levels(spte, legal):
    assert reading(V6_1, MODES["ept-ad"], spte).legal == legal


def test_what_it_is_at_a_level():
    k = reading(V6_1, MODES["ept-ad"], HUGE).kernel
    assert [role(k, HUGE, level) for level in LEVELS] == [
        "4 KiB page",
        "2 MiB page",
        "1 GiB page",
        "page",
        "page",
    ]
    assert [role(k, TABLE, level) for level in LEVELS] == ["4 KiB page", "table", "table", "table", "table"]
    assert role(k, 0, 1) == ""


def test_modes_in_which_it_is_legal():
    assert modes(LEAF) == ["ept-ad", "ept-ad-noxo", "ept-l1tf", "ept-tme"]
    assert modes(NPT)[:2] == ["npt", "shadow"] and "ept-ad" not in modes(NPT)
    assert modes(MMIO) == ["npt", "shadow", "npt-me"]
    assert modes(0x977) == []


def test_the_most_plausible_is_legal_if_one_is():
    assert best(readings(V6_1, LEAF)).mode.name == "ept-ad"
    assert best(readings(V6_1, NPT)).mode.name == "npt"
    assert not best(readings(V6_1, 0x977)).legal


def test_a_host_with_more_address_bits_is_assumed_only_if_none_was_named():
    wide = LEAF | 1 << 50
    one = reading(V6_1, MODES["ept-ad"], wide)
    assert (one.legal, one.assumed) == ((1,), 51)
    for bits, legal in ((46, ()), (50, ()), (51, (1,)), (52, (1,))):
        one = reading(V6_1, MODES["ept-ad"], wide, phys_bits=bits)
        assert (one.legal, one.assumed) == (legal, 0)
    # A mode whose host has a number of its own keeps it: here 46, of which L1TF hides none.
    assert not reading(V6_1, MODES["ept-l1tf"], wide).legal
    assert reading(V6_1, MODES["ept-l1tf"], LEAF | 1 << 45).legal
    assert not reading(V6_1, MODES["ept-l1tf"], LEAF | 1 << 46).legal


def test_what_is_wrong_everywhere_is_told_once():
    one = reading(V6_1, MODES["ept-ad"], LEAF | 1 << 62)
    (always,) = one.always()
    assert "0x4000000000000000" in always
    assert all(always not in only for _, _, only in one.groups())
    assert [levels for levels, _, _ in one.groups()] == [[1], [2, 3, 4, 5]]

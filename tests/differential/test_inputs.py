# SPDX-License-Identifier: GPL-2.0-only
"""The published inputs: always the same, and as exhaustive as they say."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest

from conformance.differential.columns import Choice, SpteColumn
from conformance.differential.fingerprints import blessed
from conformance.differential.inputs import CASES, admitted, asked, inputs
from conformance.differential.properties import PROPERTIES
from conformance.kernels import SERIES
from conformance.model.profiles import profile_of
from conformance.model.semantics import Semantics


@pytest.mark.parametrize("series", SERIES)
def test_what_is_asked_is_what_was_asked_when_blessed(series):
    """Whoever changes how cases are made, or what a property takes, must bless anew."""
    known = blessed(series)
    assert known is not None and known.marks
    stale = {
        mark.name
        for mark in known.marks.values()
        if mark.name not in PROPERTIES or mark.asked != asked_now(mark.name)
    }
    assert not stale


def asked_now(name, _known={}):  # noqa: B006 - computed once for all series
    if name not in _known:
        _known[name] = asked(PROPERTIES[name], inputs(PROPERTIES[name]))
    return _known[name]


@pytest.mark.parametrize("series", SERIES)
def test_every_property_of_a_series_is_blessed_in_every_mode(series):
    major, minor = series.split(".")
    profile = profile_of((int(major), int(minor)))
    expected = {(p.name, mode) for p in PROPERTIES.values() if not p.absent(profile) for mode in p.modes}
    assert set(blessed(series).marks) == expected


def test_words_are_of_shake_alone():
    (column,) = PROPERTIES["is_mmu_writable_spte"].takes
    assert isinstance(column, SpteColumn)
    drawn = [
        np.frombuffer(
            hashlib.shake_256(f"kvm-mmu-conformance/1/is_mmu_writable_spte/{n}".encode()).digest(8 * CASES),
            "<u8",
        )
        for n in (1, 3)
    ]
    anything, chance = drawn
    (cases,) = inputs(PROPERTIES["is_mmu_writable_spte"])
    plain = (chance >> np.uint64(60)) > 1
    middle = np.uint64((1 << 52) - (1 << 12))
    expected = (anything >> (chance & np.uint64(31))) & middle
    assert plain.any() and np.array_equal((cases & middle)[plain], expected[plain])


def test_an_spte_goes_through_all_low_and_all_high_bits():
    (sptes,) = inputs(PROPERTIES["spte_has_volatile_bits"])
    half = len(sptes) // 2
    assert len(set((sptes[:half] & np.uint64(0xFFF)).tolist())) == 1 << 12
    assert len(set((sptes[half:] >> np.uint64(52)).tolist())) == 1 << 12


def test_few_choices_are_counted_through():
    prop = PROPERTIES["kvm_mmu_set_ept_masks"]
    assert all(isinstance(column, Choice) for column in prop.takes)
    every = set(itertools.product(*(column.values for column in prop.takes)))
    assert set(map(tuple, inputs(prop).T.tolist())) == every


def test_only_what_a_kernel_may_be_asked_is_admitted():
    prop = PROPERTIES["make_mmio_spte"]
    cases = inputs(prop)
    old, new = (admitted(prop, Semantics(profile_of(release)), cases) for release in ((6, 1), (7, 3)))
    assert new.all() and not old.all()
    assert set(cases[1][old].tolist()) == set(range(8))

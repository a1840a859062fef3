# SPDX-License-Identifier: GPL-2.0-only
"""Columns: what is drawn may be passed, and what must turn up does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.differential.columns import Access, Bits, Choice, SpteColumn
from conformance.differential.properties import PROPERTIES
from conformance.model.changes import ACC_READ
from conformance.model.modes import MODES, kernel_in
from conformance.model.profiles import profile_of
from conformance.model.spte import predicates, states

RELEASES = [(5, 10), (6, 1), (6, 12), (7, 2), (7, 3)]


def kernels():
    return [kernel_in(mode, profile_of(release)) for release in RELEASES for mode in MODES.values()]


@pytest.mark.parametrize("prop", PROPERTIES.values(), ids=lambda prop: prop.name)
def test_drawn_cases_may_be_passed(prop):
    rng = np.random.default_rng(0)
    for release in RELEASES:
        k = kernel_in(MODES[prop.modes[0]], profile_of(release))
        drawn = {}
        for column in prop.takes:
            drawn[column.name] = column.sample(k, rng, 50, drawn)
            assert all(column.admits(k, int(word)) for word in drawn[column.name])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_hypothesis_draws_what_may_be_passed(data):
    prop = data.draw(st.sampled_from(list(PROPERTIES.values())))
    k = kernel_in(MODES[prop.modes[0]], profile_of(data.draw(st.sampled_from(RELEASES))))
    drawn = {}
    for column in prop.takes:
        drawn[column.name] = data.draw(column.strategy(k, drawn))
        assert column.admits(k, drawn[column.name])


@pytest.mark.parametrize("k", kernels(), ids=lambda k: f"{k.profile.name}")
def test_sptes_come_in_every_state(k):
    drawn = SpteColumn("spte").sample(k, np.random.default_rng(1), 4000, {})
    present = [int(spte) for spte in drawn if predicates.is_shadow_present_pte(k, int(spte))]
    seen = {states.state_of(k, spte) for spte in present}
    assert seen >= set(states.STATES)
    assert None in seen, "near-legal and arbitrary SPTEs turn up too"
    assert any(not predicates.is_shadow_present_pte(k, int(spte)) for spte in drawn)
    assert k.layout.frozen_spte in drawn


def test_a_near_column_is_often_alike():
    k = kernels()[0]
    rng = np.random.default_rng(2)
    drawn = {"old": SpteColumn("old").sample(k, rng, 2000, {})}
    new = SpteColumn("new", near="old").sample(k, rng, 2000, drawn)
    same_page = predicates.spte_to_pfn(k, new) == predicates.spte_to_pfn(k, drawn["old"])
    assert 0.3 < same_page.mean() < 0.8
    assert (new != drawn["old"]).any()


def test_access_bits_follow_the_kernel():
    old, new = (kernel_in(MODES["npt"], profile_of(release)) for release in ((6, 1), (7, 2)))
    assert not old.has(ACC_READ) and len(Access("access").choices(old)) == 8
    assert new.has(ACC_READ) and len(Access("access").choices(new)) == 16


def test_bounds():
    k = kernels()[0]
    assert Bits("gfn", 40).admits(k, (1 << 40) - 1) and not Bits("gfn", 40).admits(k, 1 << 40)
    assert Choice("level", 2, (1, 2)).admits(k, 2) and not Choice("level", 2, (1, 2)).admits(k, 3)

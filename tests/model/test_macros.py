# SPDX-License-Identifier: GPL-2.0-only
"""Layouts with the values of a kernel's own macros, and SPTEs read by them."""

from __future__ import annotations

import pytest

from conformance.model.layout import Layout
from conformance.model.modes import MODES, kernel_as_compiled, kernel_in
from conformance.model.profiles import profile_of
from conformance.model.spte.decode.text import describe
from conformance.model.spte.macros import MACROS, laid_out, value_of

PROFILE = profile_of((6, 1))
OWN = Layout.of(PROFILE)


@pytest.mark.parametrize("macro", MACROS)
def test_every_macro_is_part_of_a_layout(macro):
    assert laid_out(OWN, {macro: value_of(OWN, macro)}) == OWN
    assert value_of(laid_out(OWN, {macro: 5}), macro) == 5


def test_other_names_are_ignored():
    assert laid_out(OWN, {"PT_PAGE_SIZE_MASK": 5}) == OWN


def test_both_ends_of_a_pair():
    moved = laid_out(OWN, {"MMIO_SPTE_GEN_LOW_START": 4, "MMIO_SPTE_GEN_LOW_END": 8})
    assert moved.mmio_gen_low == (8, 4)


def test_an_spte_is_read_by_the_constants_of_its_kernel():
    mode = MODES["ept-ad"]
    host = OWN.ept_host_writable
    moved = laid_out(OWN, {"EPT_SPTE_HOST_WRITABLE": 1 << 60})
    spte = 0x0600000000000975
    assert spte & host
    assert "not host-writable" not in describe(kernel_in(mode, PROFILE), spte)
    assert "not host-writable" in describe(kernel_as_compiled(mode, PROFILE, moved), spte)


def test_constants_that_make_no_sense_are_those_of_the_profile():
    broken = laid_out(OWN, {"MMIO_SPTE_GEN_LOW_START": 400, "SPTE_TDP_AD_MASK": -1})
    assert kernel_as_compiled(MODES["ept-ad"], PROFILE, broken).profile is PROFILE

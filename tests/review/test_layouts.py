# SPDX-License-Identifier: GPL-2.0-only
"""Fields that moved: what is told of a structure that grew, lost a member, or was packed otherwise."""

from __future__ import annotations

import pytest
from planting import patch_for

from conformance.kernels import open_kernel
from conformance.kernels.substitutions import ITER_H, Substitution
from conformance.review import ReviewPlan, compare
from conformance.review.layouts import _compared
from conformance.review.review import ConstantReview


def told(before, after):
    return {(one.name, one.aspect): (one.before, one.after) for one in _compared("struct s", before, after)}


def test_nothing_moved():
    layout = {"all": (0, 128), "a": (0, 64), "b": (64, 64)}
    assert told(layout, layout) == {}


def test_what_came_went_moved_and_became_wider():
    before = {"all": (0, 128), "a": (0, 64), "gone": (64, 32), "b": (96, 3)}
    after = {"all": (0, 192), "new": (0, 64), "a": (64, 64), "b": (128, 4)}
    assert told(before, after) == {
        ("struct s", "size"): (128, 192),
        ("a", "first bit"): (0, 64),
        ("gone", "first bit"): (64, None),
        ("b", "first bit"): (96, 128),
        ("b", "width"): (3, 4),
        ("new", "first bit"): (None, 0),
    }


def test_places_are_told_in_decimal_and_constants_in_hex():
    assert ConstantReview("a", 64, None, "struct s", "first bit").texts == ("64", "-")
    assert ConstantReview("MASK", 64, None, "spte.h").texts == ("0x40", "-")


@pytest.mark.kernel
@pytest.mark.slow
def test_a_field_put_in_front_moves_those_behind_it(tmp_path):
    base = open_kernel("6.1")
    field = Substitution(ITER_H, "\tgfn_t gfn;\n", "\tu32 mine : 3;\n\tgfn_t gfn;\n")
    patched = open_kernel("6.1", [patch_for(field, tmp_path)])
    review = compare(base, patched, ReviewPlan(budget=0.1, only=("spte_index",)))
    found = {(one.name, one.aspect): one for one in review.constants if one.where == "struct tdp_iter"}
    assert found["mine", "first bit"].before is None
    assert found["gfn", "first bit"].after - found["gfn", "first bit"].before == 64
    assert found["struct tdp_iter", "size"].after > found["struct tdp_iter", "size"].before

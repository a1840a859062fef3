# SPDX-License-Identifier: GPL-2.0-only
"""Identifying real kernels: the pinned ones, one with a later fix put in by hand, one with a bug."""

from __future__ import annotations

import json

import pytest

from conformance.errors import ConformanceError
from conformance.kernels import SERIES, open_kernel
from conformance.kernels.pins import pinned_release
from conformance.kernels.substitutions import MMU_C, SPTE_C, TDP_C, Substitution, write_patch
from conformance.model import changes
from conformance.model.profiles import profile_of
from conformance.reports.identity import document, render, text
from conformance.review.identify import identify

BACKPORTS = {
    "AD_DISABLED_ALWAYS_VOLATILE": (
        SPTE_C,
        "\tif (is_access_track_spte(spte))\n\t\treturn true;\n",
        "\tif (!spte_ad_enabled(spte))\n\t\treturn true;\n",
    ),
    "DIRTY_IF_WRITABLE": (
        SPTE_C,
        "is_writable_pte(old_spte))\n\t\t\tgoto out;\n",
        "is_writable_pte(old_spte)) {\n\t\t\tspte |= spte_shadow_dirty_mask(spte);\n\t\t\tgoto out;\n\t\t}\n",
    ),
    "FLUSH_IFF_MMU_WRITABLE_CLEARED": (
        MMU_C,
        "if (is_mmu_writable_spte(old_spte) &&\n\t      !is_writable_pte(new_spte))",
        "if (is_mmu_writable_spte(old_spte) &&\n\t      !is_mmu_writable_spte(new_spte))",
    ),
}
"""Later fixes as small substitutions in 6.1."""


def quiet(message):
    pass


def patched(directory, file, *replaced):
    substitutions = [Substitution(file, old, new) for old, new in replaced]
    return write_patch(open_kernel("6.1"), substitutions, directory / "change.patch")


def test_all_is_not_a_kernel():
    with pytest.raises(ConformanceError, match="one kernel at a time"):
        identify("all", [], quiet)


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.parametrize("series", SERIES)
def test_a_pinned_kernel_has_its_profile(series):
    found = identify(series, [], quiet)
    profile = profile_of(pinned_release(series))
    assert found.status == 0 and found.misfits == []
    assert found.nearest == series and found.differing == []
    assert len(found.decided) > 45
    assert {each.change for each in found.decided if each.there != profile.has(each.change)} == set()
    known = {each.name for each in found.decided} | {each.name for each in found.undecided}
    assert known == set(changes.CHANGES)
    told = text(found)
    assert told[1] == f"is {series}, in all changes that could be decided"


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.parametrize("name", BACKPORTS)
def test_a_later_fix_put_in_by_hand_is_named(name, tmp_path):
    file, old, new = BACKPORTS[name]
    found = identify("6.1", [patched(tmp_path, file, (old, new))], quiet, with_stories=False)
    assert found.status == 0 and found.nearest == "6.1"
    (only,) = found.differing
    change = changes.CHANGES[name]
    assert (only.name, only.there, only.by) == (name, True, "behaviour")
    assert only.shown is not None and only.shown.kernel != only.shown.model
    told = "\n".join(text(found, 200))
    assert "is 6.1, plus 1" in told and f"plus  {change}" in told and only.question in told
    assert json.loads(render(found))["plus"] == [name]


@pytest.mark.kernel
@pytest.mark.slow
def test_two_fixes_in_one_function_are_both_named(tmp_path):
    substitutions = [BACKPORTS[name][1:] for name in ("AD_DISABLED_ALWAYS_VOLATILE", "DIRTY_IF_WRITABLE")]
    found = identify("6.1", [patched(tmp_path, SPTE_C, *substitutions)], quiet, with_stories=False)
    assert {each.name for each in found.differing} == {"AD_DISABLED_ALWAYS_VOLATILE", "DIRTY_IF_WRITABLE"}


@pytest.mark.kernel
@pytest.mark.slow
def test_a_kernel_with_a_bug_of_its_own_fits_no_profile(tmp_path):
    bug = ("(is_writable_pte(spte) && !(spte & shadow_dirty_mask))", "!(spte & shadow_dirty_mask)")
    found = identify("6.1", [patched(tmp_path, SPTE_C, bug)], quiet, with_stories=False)
    assert found.status == 1
    first = next(result for result in found.misfits if result.property == "spte_has_volatile_bits")
    assert first.counterexample is not None and first.counterexample.inputs
    told = "\n".join(text(found))
    assert "fits no profile. The nearest is 6.1" in told and "FAIL  spte_has_volatile_bits" in told
    plain = document(found)
    assert plain["fits"] is False and plain["misfits"][0]["counterexample"]["inputs"]


@pytest.mark.kernel
@pytest.mark.slow
def test_a_bug_that_only_stories_show_fits_no_profile(tmp_path):
    # The flush that one root wants is forgotten over the next.
    bug = ("range->may_block, flush);", "range->may_block, false);")
    found = identify("6.1", [patched(tmp_path, TDP_C, bug)], quiet)
    assert found.status == 1 and {result.oracle for result in found.misfits} == {"kvm"}
    assert any(result.property == "flush_across_roots" for result in found.misfits)
    assert "FAIL  flush_across_roots" in "\n".join(text(found))

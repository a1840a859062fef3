# SPDX-License-Identifier: GPL-2.0-only
"""The result of identify, as text and as JSON."""

from __future__ import annotations

import json

from report_samples import NASTY, failed, found

from conformance.model.changes import DIRTY_IF_WRITABLE, NO_ACCESS_WARNS, SPTE_INDEX, TDP_XCHG
from conformance.reports.identity import document, render, text
from conformance.review.identity import Decided, Identity, Undecided

PLUS = Decided(
    "DIRTY_IF_WRITABLE", DIRTY_IF_WRITABLE, True, "behaviour", "make_spte", "npt", "3 of 8192 inputs", found()
)
WITHOUT = Decided("SPTE_INDEX", SPTE_INDEX, False, "presence", "spte_index", "-", "cannot be called")
SAME = Decided("TDP_XCHG", TDP_XCHG, True, "story", "a_story", "npt", "step 3 of 9")


def identity(**changes) -> Identity:
    given = {
        "title": "6.1 + fix.mbox",
        "version": "6.1.192-2",
        "nearest": "6.1",
        "decided": [PLUS, WITHOUT, SAME],
        "undecided": [Undecided("NO_ACCESS_WARNS", NO_ACCESS_WARNS, TDP_XCHG)],
        "differing": [PLUS, WITHOUT],
    }
    return Identity(**{**given, **changes})


def test_text_lists_changes_with_their_evidence():
    lines = text(identity(), 300)
    assert lines[:2] == ["6.1 + fix.mbox  6.1.192-2", "is 6.1, plus 1, without 1"]
    assert f"plus  {DIRTY_IF_WRITABLE}" in lines and f"without  {SPTE_INDEX}" in lines
    assert "      shown by make_spte in npt: spte 0x600000000000975: returns false; without it true" in lines
    assert "      shown by cannot be called" in lines
    assert any(
        line.startswith("3 changes decided: 1 by the behaviour of functions, 1 by scenarios")
        for line in lines
    )
    assert f"  {NO_ACCESS_WARNS}, indistinguishable from {TDP_XCHG}" in lines


def test_how_patches_were_applied_is_said():
    noted = identity(notes=("hunk 1 of spte.h applied with fuzz 1",))
    assert "note: hunk 1 of spte.h applied with fuzz 1" in text(noted, 300)[:3]
    assert document(noted)["kernel"]["notes"] == ["hunk 1 of spte.h applied with fuzz 1"]


def test_a_kernel_without_deviations():
    assert text(identity(differing=[]))[1] == "is 6.1, in all changes that could be decided"


def test_a_kernel_that_fits_no_profile_fails():
    none = identity(misfits=[failed(), failed(property="a_story", counterexample=None, reason="step 3")])
    lines = text(none)
    assert identity().status == 0 and none.status == 1
    assert lines[1].startswith("fits no profile. The nearest is 6.1, plus 1, without 1")
    assert any(line.startswith("FAIL  spte_has_volatile_bits") for line in lines)
    assert "FAIL  a_story  ept-ad: step 3" in [line.replace("a_story ept", "a_story  ept") for line in lines]


def test_lines_are_folded_at_the_width():
    narrow = text(identity(untold="nothing reaches it, " * 9), 72)
    assert max(map(len, narrow)) <= 72 and any(line.startswith("No scenarios were run") for line in narrow)


def test_json_holds_everything_and_is_ascii():
    plain = json.loads(render(identity(title=NASTY, misfits=[failed()])))
    assert render(identity(title=NASTY)).isascii()
    assert (plain["schema"], plain["fits"], plain["nearest"]) == (1, False, "6.1")
    assert (plain["plus"], plain["without"]) == (["DIRTY_IF_WRITABLE"], ["SPTE_INDEX"])
    assert [each["by"] for each in plain["decided"]] == ["behaviour", "presence", "story"]
    assert plain["decided"][0]["shown"]["inputs"] == {"spte": "0x0600000000000975"}
    assert plain["undecided"][0]["along"] == TDP_XCHG.commit
    assert document(identity())["misfits"] == []


def test_text_is_clean():
    assert "\x1b" not in "".join(text(identity(title=NASTY, untold=NASTY)))


def test_scenarios_that_could_not_run_leave_the_result_open():
    lacking = identity(lacking="nothing stands in for foo: 9 of 9 stories could not be judged")
    lines = text(lacking)
    assert lacking.status == 2 and document(lacking)["fits"] is None
    assert "fits no profile" not in "".join(lines) and lines[1].endswith("as far as it could be examined")
    assert any(line.startswith("ERROR  nothing stands in for foo: 9 of 9") for line in lines)
    assert identity(lacking="x", misfits=[failed()]).status == 1

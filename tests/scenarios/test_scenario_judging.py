# SPDX-License-Identifier: GPL-2.0-only
"""What comes of a scenario: PASS, or FAIL with its story, its broken claim, its crash or its golden diff."""

import pytest
from model_sides import ModelSides, dies_at, drop_flushes

from conformance.differential.verdict import Verdict
from conformance.model.profiles import profile_of
from conformance.scenarios import goldens
from conformance.scenarios.comparing import play
from conformance.scenarios.judging_scenario import Facts, golden_of, judge
from conformance.scenarios.steps import parse
from conformance.scenarios.stories import STORIES
from conformance.scenarios.story import Claim, Script

FACTS = Facts("6.1", "6.1.1-1", ("--kernel", "6.1"))
UNMAP = STORIES["unmap_one_page"].script


@pytest.fixture(autouse=True)
def golden_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(goldens, "GOLDEN", tmp_path)
    return tmp_path


def judged(lie=None, script=UNMAP, golden=False, facts=FACTS):
    return judge(ModelSides(lie=lie), "unmap_one_page", script, facts, golden=golden)


def test_pass_says_what_it_covers():
    result = judged()
    assert (result.verdict, result.property, result.oracle, result.mode) == (
        Verdict.PASS, "unmap_one_page", "kvm", "ept-ad"
    )  # fmt: skip
    assert result.cases == len(UNMAP.steps)
    assert result.reason == f"{len(UNMAP.steps)} steps agree, {len(UNMAP.claims)} claims hold"


def test_a_difference_comes_with_its_story_and_command():
    result = judged(drop_flushes)
    assert result.verdict is Verdict.FAIL
    assert result.counterexample.kernel == {"flush_requests": "-1"}
    assert result.counterexample.again == (
        "conformance scenario run unmap_one_page --mode ept-ad --kernel 6.1"
    )
    assert [parse(step).kind for step in result.counterexample.steps] == ["madvise_dontneed"]


def test_a_crash_comes_with_its_transcript():
    found = judged(
        dies_at("madvise_dontneed", "BUG at mmu.c"), Script(UNMAP.steps, UNMAP.options)
    ).counterexample
    assert found.crash == "BUG at mmu.c"
    later = judged(dies_at("destroy"), STORIES["first_write"].script).counterexample
    assert later.crash and later.steps[-1] == "destroy"


def test_a_complaint_comes_with_its_transcript():
    def complain(name, seen):
        if name == "madvise_dontneed":
            seen.events.append("LOCKDEP held twice")
        return seen

    found = judged(complain).counterexample
    assert found.kernel["events"] == "LOCKDEP held twice" and "    ! LOCKDEP held twice" in found.details


def test_a_broken_claim_is_a_failure_though_both_agree():
    claim = Claim(3, "pigs fly", lambda now: False)
    result = judged(script=Script(UNMAP.steps, UNMAP.options, (claim,)))
    assert result.verdict is Verdict.FAIL and result.counterexample.kernel == {"pigs fly": "does not hold"}
    assert len(result.counterexample.steps) == 4
    # No side of the two is the model here, nor below: both did the same.
    assert result.counterexample.sides == ("kernel", "claim")


def test_without_a_golden_transcript_nothing_is_known():
    result = judged(golden=True)
    assert result.verdict is Verdict.ERROR and "scenario bless unmap_one_page" in result.reason
    assert judged(golden=True, facts=Facts(None, "7.4 (tree)", ())).verdict is Verdict.PASS


def test_a_golden_transcript_must_stay_as_it_is():
    sides = ModelSides()
    golden = golden_of(sides, "unmap_one_page", UNMAP, play(sides, UNMAP), FACTS)
    assert golden.body[-1].startswith("PASS ")
    golden.write()
    assert judged(golden=True).verdict is Verdict.PASS
    drifted = judged(golden=True, facts=Facts("6.1", "6.1.2-1", ()))
    assert drifted.verdict is Verdict.PASS and drifted.reason.endswith("its golden transcript is of 6.1.1-1")
    golden.path.write_text(golden.path.read_text().replace("requested 1", "requested 2"))
    result = judged(golden=True)
    assert result.verdict is Verdict.FAIL and "golden transcript" in result.reason
    assert result.counterexample.sides == ("now", "golden")
    assert {"-      FLUSH    requested 2, remote 0", "+      FLUSH    requested 1, remote 0"} <= {
        *result.counterexample.details
    }


def test_a_golden_transcript_of_a_kernel_with_other_changes_is_not_compared():
    sides, other = ModelSides(), "6.1.200-1"
    golden = golden_of(sides, "unmap_one_page", UNMAP, play(sides, UNMAP), Facts("6.1", other, ()))
    golden.write()
    golden.path.write_text(golden.path.read_text().replace("requested 1", "requested 2"))
    assert profile_of((6, 1, 200)).changes == sides.profile.changes
    assert judged(golden=True).verdict is Verdict.FAIL
    golden.path.write_text(golden.path.read_text().replace(other, "6.1.1-1"))
    assert profile_of((6, 1, 1)).changes != sides.profile.changes
    result = judged(golden=True, facts=Facts("6.1", other, ()))
    assert result.verdict is Verdict.PASS
    assert "not compared with its golden transcript: that is of 6.1.1-1" in result.reason


def test_a_script_that_makes_no_sense_is_no_finding():
    result = judged(script=Script((parse("walk_begin gfn=0"),), UNMAP.options))
    assert result.verdict is Verdict.ERROR and result.reason.startswith("has an impossible step: ")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b"package   6.1.1-1", b"package   none", "is not the golden transcript of unmap_one_page"),
        (b"mode      ", b"mode      x", "is not the golden transcript of unmap_one_page"),
        (b"package   6.1.1-1", b"package", "is not the golden transcript of unmap_one_page"),
        (b"schema", b"\xff", "it is not text"),
        (b"PASS", b"P" * 5000, "it has a line of"),
    ],
)
def test_a_damaged_golden_transcript_is_no_difference(old, new, told):
    sides = ModelSides()
    golden = golden_of(sides, "unmap_one_page", UNMAP, play(sides, UNMAP), FACTS)
    golden.write()
    content = golden.path.read_bytes()
    assert old in content
    golden.path.write_bytes(content.replace(old, new))
    result = judged(golden=True)
    assert result.verdict is Verdict.ERROR and told in result.reason
    assert goldens.difference(golden, package=True)[0].startswith("--- ")


def test_a_golden_transcript_that_is_cut_off_anywhere_is_no_difference():
    sides = ModelSides()
    golden = golden_of(sides, "unmap_one_page", UNMAP, play(sides, UNMAP), FACTS)
    golden.write()
    lines = golden.path.read_text().splitlines(keepends=True)
    for length in range(7):
        golden.path.write_text("".join(lines[:length]))
        assert judged(golden=True).verdict is (Verdict.ERROR if length < 6 else Verdict.FAIL)

# SPDX-License-Identifier: GPL-2.0-only
"""What a mutant's outcome is, by what the runs show of it; they end at the first that detects it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from conformance.coverage.compared import judging
from conformance.coverage.compared.detecting import NOTHING, Seen, Sight
from conformance.coverage.compared.judging import Judge, Libraries, Task
from conformance.coverage.compared.mutants import Outcome
from conformance.kernels import BuildError

RACE = "fault_against_release"
RUNS = (
    ("functions", "make_spte"),
    ("races", RACE),
    ("stories", "first_read"),
    ("stories", "first_write"),
)

DIFFERS = Sight(Seen.DIFFERS, "step 2")
KEPT = Sight(Seen.KEPT, "step 3: struct kvm")
LACKING = Sight(Seen.LACKING, "nothing stands in for a")


class Runs:
    """A detector with sights by the name of the run, and by name and mode."""

    def __init__(self, seen, kept):
        self.seen, self.kept = seen, kept
        self.asked = []

    def by_property(self, number, name, mode):
        self.asked.append((name, mode))
        return self.seen.get((name, mode), self.seen.get(name, NOTHING))

    by_story = by_race = by_property

    def by_kept_state(self, number, name, mode):
        self.asked.append((name, mode, "kept"))
        return self.kept.get(name, NOTHING)


class Code:
    """Equivalence that is known, or that cannot be determined."""

    def __init__(self, holds):
        self.answer = holds

    def holds(self, file, change):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def judged(monkeypatch):
    """A function that judges a mutant by what runs show."""

    def judge(seen=None, kept=None, equivalent=False, operator="call dropped"):
        one = Judge(Libraries(SimpleNamespace(release=(6, 1)), None, "kvm.so", {}, None, "racing.so"))
        one._detector = one._races = runs = Runs(seen or {}, kept or {})
        one.__dict__["_equivalence"] = Code(equivalent)
        return one.judge(Task(1, "a.c", SimpleNamespace(operator=operator), RUNS)), runs.asked

    return judge


def test_the_first_run_that_detects_a_mutant_is_the_last(judged):
    verdict, asked = judged({"first_read": DIFFERS, "first_write": DIFFERS})
    assert (verdict.outcome, verdict.how) == (Outcome.COMPARED, "step 2")
    assert verdict.by == ("stories", "first_read", "ept-ad")
    assert {name for name, _ in asked[:-1]} == {"make_spte"}
    assert asked[-1] == ("first_read", "ept-ad")


def test_all_modes_are_tried(judged):
    verdict, asked = judged({("first_write", "npt"): DIFFERS})
    assert verdict.by == ("stories", "first_write", "npt")
    assert ("first_read", "npt") in asked


def test_what_only_reviews_compare_has_its_own_outcome(judged):
    verdict, _ = judged(kept={"first_write": KEPT})
    assert verdict.outcome is Outcome.REVIEWS
    assert verdict.by == ("stories", "first_write", "ept-ad")


def test_what_nothing_detects_survives(judged):
    verdict, asked = judged()
    assert verdict.outcome is Outcome.SURVIVED
    assert ("first_read", "npt", "kept") in asked


def test_equal_machine_code_is_equivalent_and_ends_the_search(judged):
    verdict, asked = judged(equivalent=True, kept={"first_read": KEPT})
    assert verdict.outcome is Outcome.EQUIVALENT
    assert not [one for one in asked if len(one) == 3]


def test_what_the_suite_lacks_is_not_judged(judged):
    verdict, _ = judged({"first_read": LACKING})
    assert verdict.outcome is Outcome.NOT_JUDGED
    assert verdict.how == "first_read (ept-ad): nothing stands in for a"
    assert verdict.lasting


def test_what_the_system_lacks_may_be_judged_the_next_time(judged):
    verdict, _ = judged({"first_read": LACKING, "first_write": Sight(Seen.LACKING, "memory", lasting=False)})
    assert verdict.outcome is Outcome.NOT_JUDGED
    assert not verdict.lasting


def test_another_run_may_detect_what_one_cannot_judge(judged):
    verdict, _ = judged({"first_read": LACKING, "first_write": DIFFERS})
    assert verdict.outcome is Outcome.COMPARED


def test_code_that_cannot_be_compared_is_not_judged(judged):
    verdict, _ = judged(equivalent=BuildError("no compiler"))
    assert (verdict.outcome, verdict.how) == (Outcome.NOT_JUDGED, "no compiler")


def test_races_come_last(judged):
    verdict, asked = judged({RACE: DIFFERS})
    assert verdict.outcome is Outcome.COMPARED and verdict.by == ("races", RACE, "ept-ad")
    assert [name for name, *_ in asked].index(RACE) == len(asked) - 1
    assert ("first_write", "npt") in asked
    _, asked = judged()
    assert [mode for name, mode, *_ in asked if name == RACE] == ["ept-ad"]
    _, asked = judged(operator="lock dropped")
    assert [mode for name, mode, *_ in asked if name == RACE] == ["ept-ad", "ept-noad", "npt"]


def test_races_come_sooner_if_a_mutant_is_of_concurrency(judged):
    _, asked = judged({RACE: DIFFERS}, operator="lock dropped")
    assert ("first_write", "ept-ad") in asked and ("first_write", "npt") not in asked
    verdict, asked = judged({("first_read", "legacy-ept-ad"): DIFFERS}, operator="lock dropped")
    assert verdict.by == ("stories", "first_read", "legacy-ept-ad") and (RACE, "npt") in asked


def test_a_mutant_of_concurrency_is_played_once_for_each_mmu_and_not_compared_in_what_is_kept(judged):
    verdict, asked = judged(kept={"first_read": KEPT}, operator="lock dropped")
    assert verdict.outcome is Outcome.SURVIVED
    modes = ["ept-ad", "legacy-ept-ad"]
    assert [mode for name, mode, *_ in asked if name == "first_read"] == modes


def test_another_order_of_accesses_is_out_of_reach(judged):
    verdict, asked = judged(operator="barrier dropped")
    assert verdict.outcome is Outcome.OUT_OF_REACH and "one order" in verdict.how
    assert {name for name, *_ in asked} == {"make_spte"}
    assert judged(operator="barrier dropped", equivalent=True)[0].outcome is Outcome.EQUIVALENT
    assert judged({"make_spte": DIFFERS}, operator="barrier dropped")[0].outcome is Outcome.COMPARED


def test_the_time_for_a_mutant_is_limited(judged, monkeypatch):
    monkeypatch.setattr(judging, "LIMIT", -1.0)
    verdict, asked = judged({"first_read": DIFFERS})
    assert verdict.outcome is Outcome.NOT_JUDGED
    assert not asked

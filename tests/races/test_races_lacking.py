# SPDX-License-Identifier: GPL-2.0-only
"""How a race's process ends: what the suite or the system lacks is no crash, and a crash is a finding."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ending_worker
import pytest

from conformance.differential.unjudged import Unjudged
from conformance.differential.verdict import Verdict
from conformance.model.profiles import profile_of
from conformance.oracles.kvm.interface import Death
from conformance.oracles.lacking import Lacking
from conformance.races import server
from conformance.races.exploration import Exploration, Outcome, hold
from conformance.races.exploring import Breach, Explored
from conformance.races.invariants import NO_CRASH
from conformance.races.race import RACES
from conformance.races.run_races import _judged, _Task

NAME, MODE = "fault_against_release", "ept-ad"
EXPLORED = {
    "explored": {
        "differing": 1, "bounded": 0, "beyond": 0, "random": 0, "accesses": 9, "length": 0,
        "exhausted": True, "preemptions": None,
    },
    "breach": None, "legs": [], "drawn": [],
}  # fmt: skip
"""The outcome of a race without any conflict."""


@pytest.fixture
def contest(tmp_path) -> Exploration:
    (tmp_path / "symbols").write_text("100 kvm_arch_thing\n")
    return Exploration(NAME, MODE, profile_of((6, 1)), tmp_path / "kvm.so")


@pytest.fixture
def held(contest, monkeypatch) -> Iterator[Callable[..., Outcome]]:
    """Holds the contest, in processes that end as given: the one that explores, and the one that draws."""
    monkeypatch.setattr(server, "WORKER", Path(ending_worker.__file__))

    def hold_it(explores: dict[str, Any], draws: dict[str, Any] | None = None) -> Outcome:
        contest.library.write_text(json.dumps([explores, draws or {}]))
        return hold(contest)

    yield hold_it
    server.close_idle()


@pytest.mark.parametrize(
    ("death", "what", "number", "sentence"),
    [
        (Death.MISSING, "foo", 0, "nothing stands in for foo, which kvm_arch_thing wants"),
        (Death.LIMIT, "too much happens in a race", 0, "too much happens in a race"),
        (Death.SIGNAL, "", 7, "ended by SIGBUS"),
    ],
)
def test_the_process_ended_but_not_by_the_kernel(held, death, what, number, sentence):
    outcome = held({"death": death, "what": what, "number": number})
    assert outcome.breach is None and outcome.lacking is not None and sentence in str(outcome.lacking)


@pytest.mark.parametrize(
    ("ending", "how"),
    [
        ({"death": Death.SIGNAL, "number": 11}, "died of SIGSEGV in kvm_arch_thing (address 0x0)"),
        ({}, "broke off: it ended its process with status 1"),
        ({"code": 0}, "broke off: it ended its process with status 0"),
        ({"death": 77}, "broke off: it ended its process with status 1"),
        ({"answers": [{"refused": "me"}], "code": 0}, "broke off: it wrote what is not an answer"),
        ({"answers": [2, 2], "code": 0}, "broke off: it wrote what is not an answer"),
        ({"answers": [-1], "code": 0}, "broke off: it wrote what is not an answer"),
        ({"answers": [EXPLORED, EXPLORED], "code": 0}, "broke off: it wrote what is not an answer"),
        ({"answers": [EXPLORED], "code": 3}, "broke off: it ended its process with status 3"),
        ({"answers": [EXPLORED], "raw": "0123456789abcdef"}, "broke off: it wrote what is not an answer"),
        ({"raw": "garbage\n" * 9, "code": 0}, "broke off: it wrote what is not an answer"),
        ({"death": Death.BUG, "what": "\x1b[2J"}, "BUG in ?[2J"),
    ],
)
def test_kernel_code_that_breaks_off_is_a_finding(held, ending, how):
    outcome = held({"chosen": [0, 1, 0], **ending})
    assert outcome.breach == Breach(NO_CRASH.name, how, (0, 1, 0))
    assert outcome.threads == tuple(RACES[NAME].threads)


def test_signs_of_life_and_an_outcome(held):
    outcome = held({"answers": [5, 9, EXPLORED], "code": 0})
    assert outcome.breach is None and outcome.explored.exhausted and outcome.explored.seconds > 0


def test_a_schedule_that_is_drawn_up_to_the_crash(held):
    drawn = {**EXPLORED, "legs": [[0, "f locks", 2], [1, "", 1]], "drawn": [[1, "f reads", 1]]}
    outcome = held({"chosen": [0, 1, 0]}, {"answers": [drawn], "code": 0})
    first, second = RACES[NAME].threads
    assert [str(leg).split() for leg in outcome.legs] == [
        [first, "until", "f", "locks", "#2"],
        [second, "to", "its", "end"],
        [first, "to", "its", "end"],
    ]
    assert len(outcome.drawn) == len(outcome.sptes) == 1


@pytest.mark.parametrize("ending", [{}, {"chosen": [0, 9]}, {"nr_choices": 0}])
def test_a_schedule_that_is_not_known_is_a_finding_all_the_same(held, ending):
    outcome = held(ending)
    assert outcome.breach is not None and outcome.breach.promise == NO_CRASH.name
    assert outcome.breach.how.endswith("status 1, before the race began")


def test_more_choices_than_there_can_be_are_cut(held):
    outcome = held({"nr_choices": 1 << 63})
    assert outcome.breach is not None and len(outcome.breach.choices) == 1 << 16


def test_no_process_for_a_race_is_a_lack(monkeypatch, contest):
    def refuse(*_: object, **__: object) -> int:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("conformance.oracles.conversing.start", refuse)
    assert "no process (Resource temporarily unavailable)" in str(hold(contest).lacking)


def test_a_crash_without_a_change_is_not_what_is_expected_of_it(contest):
    historic = RACES[NAME].historic[0]
    task = _Task(contest, "kvm", historic, "6.1", ())
    for promise, verdict in ((historic.promise.name, Verdict.PASS), (NO_CRASH.name, Verdict.FAIL)):
        explored = Explored(differing=1, breach=Breach(promise, "so", (0,)))
        assert _judged(task, Outcome(explored), None).verdict is verdict


def test_a_crash_before_the_race_began_is_a_difference(contest):
    task = _Task(contest, "kvm", None, "6.1", ())
    explored = Explored(differing=1, breach=Breach(NO_CRASH.name, "broke off, before the race began", ()))
    result = _judged(task, Outcome(explored, RACES[NAME].threads), None)
    assert result.verdict is Verdict.FAIL and result.counterexample is not None
    assert result.counterexample.crash == "broke off, before the race began"


def test_a_lack_is_an_error_in_the_report(contest):
    task = _Task(contest, "kvm", None, "6.1", ())
    result = _judged(task, Outcome(lacking=Lacking("nothing stands in for foo")), None)
    assert isinstance(result, Unjudged) and result.verdict is Verdict.ERROR
    assert (result.counterexample, result.explored) == (None, None)

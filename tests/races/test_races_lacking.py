# SPDX-License-Identifier: GPL-2.0-only
"""How the worker of a race ends: a lack of the suite or the system is an ERROR, a crash is a finding."""

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
from conformance.races.explorer import Explored, Violation
from conformance.races.invariants import NO_CRASH
from conformance.races.judging import RaceTask, judged
from conformance.races.race import RACES
from conformance.races.run_exploration import Exploration, Outcome, explore_race

NAME, MODE = "fault_against_release", "ept-ad"
EXPLORED = {
    "explored": {
        "differing": 1, "bounded": 0, "beyond": 0, "random": 0, "accesses": 9, "length": 0,
        "exhausted": True, "preemptions": None,
    },
    "violation": None, "segments": [], "interactions": [],
}  # fmt: skip
"""The outcome of a race without any conflict."""


@pytest.fixture
def exploration(tmp_path) -> Exploration:
    (tmp_path / "symbols").write_text("100 kvm_arch_thing\n")
    return Exploration(NAME, MODE, profile_of((6, 1)), tmp_path / "kvm.so")


@pytest.fixture
def held(exploration, monkeypatch) -> Iterator[Callable[..., Outcome]]:
    """Explores, in workers that end as given: the one that explores, and the one that traces."""
    monkeypatch.setattr(server, "WORKER", Path(ending_worker.__file__))

    def hold_it(explores: dict[str, Any], draws: dict[str, Any] | None = None) -> Outcome:
        exploration.library.write_text(json.dumps([explores, draws or {}]))
        return explore_race(exploration)

    yield hold_it
    server.close_idle()


@pytest.mark.parametrize(
    ("death", "what", "number", "sentence"),
    [
        (Death.MISSING, "foo", 0, "nothing stands in for foo, which kvm_arch_thing wants"),
        (Death.LIMIT, "too much happens in a race", 0, "too much happens in a race"),
        (Death.SIGNAL, "", 9, "ended by SIGKILL"),
    ],
)
def test_a_worker_that_ends_for_a_lack_is_no_finding(held, death, what, number, sentence):
    outcome = held({"death": death, "what": what, "number": number})
    assert outcome.violation is None and outcome.lacking is not None and sentence in str(outcome.lacking)


@pytest.mark.parametrize(
    ("ending", "how"),
    [
        ({"death": Death.SIGNAL, "number": 11}, "died of SIGSEGV in kvm_arch_thing (address 0x0)"),
        ({"death": Death.SIGNAL, "number": 7}, "died of SIGBUS in kvm_arch_thing (address 0x0)"),
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
def test_a_worker_that_breaks_off_is_a_finding(held, ending, how):
    outcome = held({"chosen": [0, 1, 0], **ending})
    assert outcome.violation == Violation(NO_CRASH.name, how, (0, 1, 0))
    assert outcome.threads == tuple(RACES[NAME].threads)


def test_heartbeats_and_an_outcome(held):
    outcome = held({"answers": [5, 9, EXPLORED], "code": 0})
    assert outcome.violation is None and outcome.explored.exhausted and outcome.explored.seconds > 0


def test_a_crash_is_shown_with_the_schedule_up_to_it(held):
    traced = {
        **EXPLORED,
        "segments": [[0, "f locks", 2], [1, "", 1]],
        "interactions": [[1, "f reads", 1]],
    }
    outcome = held({"chosen": [0, 1, 0]}, {"answers": [traced], "code": 0})
    first, second = RACES[NAME].threads
    assert [str(segment).split() for segment in outcome.segments] == [
        [first, "until", "f", "locks", "#2"],
        [second, "to", "its", "end"],
        [first, "to", "its", "end"],
    ]
    assert len(outcome.interactions) == len(outcome.sptes) == 1


@pytest.mark.parametrize("ending", [{}, {"chosen": [0, 9]}, {"nr_choices": 0}])
def test_a_crash_without_a_known_schedule_is_a_finding(held, ending):
    outcome = held(ending)
    assert outcome.violation is not None and outcome.violation.invariant == NO_CRASH.name
    assert outcome.violation.how.endswith("status 1, before the race began")


def test_more_choices_than_there_can_be_are_cut(held):
    outcome = held({"nr_choices": 1 << 63})
    assert outcome.violation is not None and len(outcome.violation.choices) == 1 << 16


def test_no_process_for_a_race_is_a_lack(monkeypatch, exploration):
    def refuse(*_: object, **__: object) -> int:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("conformance.oracles.conversing.start", refuse)
    assert "no process (Resource temporarily unavailable)" in str(explore_race(exploration).lacking)


def test_a_crash_is_not_the_expected_violation_of_a_historic_variant(exploration):
    historic = RACES[NAME].historic[0]
    task = RaceTask(exploration, "kvm", historic, "6.1", ())
    for invariant, verdict in ((historic.invariant.name, Verdict.PASS), (NO_CRASH.name, Verdict.FAIL)):
        explored = Explored(differing=1, violation=Violation(invariant, "so", (0,)))
        assert judged(task, Outcome(explored))[0].verdict is verdict


def test_a_crash_before_the_race_began_is_a_difference(exploration):
    task = RaceTask(exploration, "kvm", None, "6.1", ())
    explored = Explored(
        differing=1, violation=Violation(NO_CRASH.name, "broke off, before the race began", ())
    )
    result, _ = judged(task, Outcome(explored, RACES[NAME].threads))
    assert result.verdict is Verdict.FAIL and result.counterexample is not None
    assert result.counterexample.crash == "broke off, before the race began"


def test_a_lack_is_an_error_in_the_report(exploration):
    task = RaceTask(exploration, "kvm", None, "6.1", ())
    result, _ = judged(task, Outcome(lacking=Lacking("nothing stands in for foo")))
    assert isinstance(result, Unjudged) and result.verdict is Verdict.ERROR
    assert (result.counterexample, result.explored) == (None, None)

# SPDX-License-Identifier: GPL-2.0-only
"""A race that needs what the suite or the system lacks breaks no promise, and is no crash."""

from __future__ import annotations

import os

import pytest

from conformance.differential.unjudged import Unjudged
from conformance.differential.verdict import Verdict
from conformance.model.profiles import profile_of
from conformance.oracles.kvm.interface import Death, Exchange
from conformance.oracles.lacking import Lacking
from conformance.races import contest as contests
from conformance.races.contest import Contest, Outcome, hold
from conformance.races.exploring import Explored
from conformance.races.running import _judged, _Task

NAME, MODE = "fault_against_release", "ept-ad"


@pytest.fixture
def contest(tmp_path) -> Contest:
    (tmp_path / "symbols").write_text("100 kvm_arch_thing\n")
    return Contest(NAME, MODE, profile_of((6, 1)), tmp_path / "kvm.so")


def dies(death: Death, what: bytes = b"", number: int = 0):
    """A contest's work in which the environment ends the process, as c/process.c does."""

    def task(contest, exchange):
        told = Exchange.from_buffer(exchange)
        told.death, told.what, told.number, told.at = death, what, number, 0x110
        os._exit(1)

    return task


@pytest.mark.parametrize(
    ("death", "what", "number", "sentence"),
    [
        (Death.MISSING, b"foo", 0, "nothing stands in for foo, which kvm_arch_thing wants"),
        (Death.LIMIT, b"too much happens in a race", 0, "too much happens in a race"),
        (Death.SIGNAL, b"", 7, "ended by SIGBUS"),
    ],
)
def test_the_process_ended_but_not_by_the_kernel(monkeypatch, contest, death, what, number, sentence):
    monkeypatch.setattr(Contest, "subject", dies(death, what, number))
    outcome = hold(contest)
    assert outcome.breach is None and outcome.lacking is not None and sentence in str(outcome.lacking)


def test_the_kernel_s_own_end_is_none_of_these(monkeypatch, contest):
    monkeypatch.setattr(Contest, "subject", dies(Death.SIGNAL, number=11))
    outcome = hold(contest)
    assert outcome.lacking is None and "died of SIGSEGV" in outcome.trouble


def test_kernel_code_that_ends_the_process_by_itself_is_no_lack(monkeypatch, contest):
    monkeypatch.setattr(Contest, "subject", dies(Death.ALIVE))
    outcome = hold(contest)
    assert outcome.lacking is None and "broke off: it ended its process with status 1" in outcome.trouble


def test_no_process_for_a_race_is_a_lack(monkeypatch, contest):
    def refuse() -> int:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(contests.os, "fork", refuse)
    assert "no process (Resource temporarily unavailable)" in str(hold(contest).lacking)


def test_a_lack_is_an_error_in_the_report(contest):
    task = _Task(contest, "kvm", None, "6.1", ())
    result = _judged(task, Outcome(Explored(), lacking=Lacking("nothing stands in for foo")), None)
    assert isinstance(result, Unjudged) and result.verdict is Verdict.ERROR
    assert (result.counterexample, result.explored) == (None, None)

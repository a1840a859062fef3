# SPDX-License-Identifier: GPL-2.0-only
"""``conformance history``: options, exit status, reports, bad input."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import pytest

from conformance.differential.verdict import KernelReport, Report, Result, Verdict
from conformance.history import FIXES, UNDETECTED
from conformance.history.run_reverts import History, Outcome

ASKED = []


def history_of(verdict: Verdict) -> History:
    fix = FIXES[0]
    result = Result(fix.commit, "shim", "noticed", "ept-ad", verdict, 12, 0.5, "a reason")
    report = Report([KernelReport("6.1", "6.1", "6.1.192-2", results=[result])], seed=1)
    return History((Outcome(fix, fix.reverts[0], (result,)),), UNDETECTED, report)


@pytest.fixture
def outcome(monkeypatch):
    """Sets the outcome of a run."""

    def decide(verdict: Verdict) -> None:
        made = ModuleType("conformance.history.run_reverts")

        def run(plan, *, progress, advance):
            ASKED.append(plan)
            return history_of(verdict)

        made.__dict__.update(HistoryPlan=lambda **given: given, run=run, History=History, Outcome=Outcome)
        monkeypatch.setitem(sys.modules, "conformance.history.run_reverts", made)

    ASKED.clear()
    decide(Verdict.PASS)
    return decide


@pytest.mark.parametrize(("verdict", "status"), [(Verdict.PASS, 0), (Verdict.FAIL, 1), (Verdict.ERROR, 2)])
def test_exit_status(cli, outcome, verdict, status):
    outcome(verdict)
    assert cli("history").exit_code == status
    assert cli("history", "--bisect").exit_code == (125 if status == 2 else status)


def test_options_reach_the_plan(cli, outcome):
    assert (
        cli("history", "--kernel", "6.1", "--only", "make_*", "--budget", "2", "--jobs", "3").exit_code == 0
    )
    assert ASKED == [{"kernels": ("6.1",), "only": ("make_*",), "budget": 2.0, "jobs": 3}]


def test_the_table_names_commit_function_and_what_detected_it(cli, outcome, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    shown = cli("history").stdout
    fix = FIXES[0]
    for part in (fix.commit, fix.function, fix.reverts[0].by, "Fixes that the suite cannot detect:"):
        assert part in shown
    assert "single functions: 1 of 1 detected" in shown
    assert "a whole VM: nothing reverted" in shown


def test_reports_are_those_of_run(cli, outcome, tmp_path):
    outcome(Verdict.FAIL)
    done = cli("history", "--json", "-", "--junit", tmp_path / "out.xml", "--ktap", tmp_path / "out.ktap")
    (kernel,) = json.loads(done.stdout)["kernels"]
    assert [row["verdict"] for row in kernel["results"]] == ["FAIL"]
    assert FIXES[0].commit in (tmp_path / "out.xml").read_text()
    assert f"not ok 1 {FIXES[0].commit}" in (tmp_path / "out.ktap").read_text()
    assert "nothing" in done.stderr


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("--only", "nonsense"), "no fix is called nonsense"),
        (("--kernel", "9.9"), "no fix can be taken out of 9.9"),
        (("--budget", "0"), "is not a positive, finite time"),
        (("--junit", "-"), "--junit writes to a file"),
    ],
)
def test_bad_input_is_a_sentence_and_status_2(cli, args, sentence):
    done = cli("history", *args)
    assert done.exit_code == 2
    assert sentence in done.stderr and "Traceback" not in done.stderr and "internal error" not in done.stderr

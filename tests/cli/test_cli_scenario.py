# SPDX-License-Identifier: GPL-2.0-only
"""``conformance scenario`` and ``conformance lockstep``: options, exit status, reports, bad input."""

import json
import sys
from pathlib import Path

import fake_scenarios
import pytest

from conformance.differential.verdict import Verdict


@pytest.fixture(autouse=True)
def asked():
    fake_scenarios.plans.clear()
    return fake_scenarios.plans


@pytest.fixture
def outcome(monkeypatch):
    """Sets the outcome of a run."""

    def decide(verdict: Verdict) -> None:
        for name, module in (
            ("run_scenarios", fake_scenarios.running),
            ("run_lockstep", fake_scenarios.run_lockstep),
        ):
            monkeypatch.setitem(sys.modules, f"conformance.scenarios.{name}", module(verdict))

    decide(Verdict.PASS)
    return decide


@pytest.mark.parametrize(("verdict", "status"), [(Verdict.PASS, 0), (Verdict.FAIL, 1), (Verdict.ERROR, 2)])
@pytest.mark.parametrize("command", [("scenario", "run"), ("lockstep",)], ids=" ".join)
def test_exit_status(cli, outcome, command, verdict, status):
    outcome(verdict)
    assert cli(*command).exit_code == status
    assert cli(*command, "--bisect").exit_code == (125 if status == 2 else status)


def test_options_of_run_reach_the_plan(cli, outcome, asked):
    done = cli("scenario", "run", "first_*", "./a.scenario", "--kernel", "6.1", "--kernel", "7.3",
               "--mode", "npt", "--patch", "fix.mbox", "--jobs", "4")  # fmt: skip
    assert done.exit_code == 0
    assert asked == [
        (("6.1", "7.3"), (Path("fix.mbox"),), ("first_*", "./a.scenario"), ("npt",), 4, None)
    ]  # fmt: skip


def test_options_of_lockstep_reach_the_plan(cli, outcome, asked, tmp_path):
    save = tmp_path / "found.scenario"
    done = cli("lockstep", "--mode", "npt", "--budget", "2", "--seed", "0x7", "--save", save)
    assert done.exit_code == 0 and "access 3" in done.stdout
    assert asked == [
        {
            "kernels": (),
            "patches": (),
            "modes": ("npt",),
            "budget": 2.0,
            "seed": 7,
            "save": save,
            "jobs": 2,
            "live": None,
        }
    ]


def test_reports_are_those_of_run(cli, outcome, tmp_path):
    outcome(Verdict.FAIL)
    done = cli(
        "scenario", "run", "--json", "-", "--junit", tmp_path / "out.xml", "--ktap", tmp_path / "out.ktap"
    )
    (kernel,) = json.loads(done.stdout)["kernels"]
    assert kernel["results"][0]["property"] == "first_read"
    assert kernel["results"][0]["counterexample"]["steps"] == ["grace_period"]
    assert "grace_period" in (tmp_path / "out.xml").read_text()
    assert "not ok 1 first_read" in (tmp_path / "out.ktap").read_text()


def test_lockstep_json_is_not_mixed_with_counts(cli, outcome):
    done = cli("lockstep", "--json", "-")
    assert json.loads(done.stdout)["summary"]["PASS"] == 1
    assert "access 3" in done.stderr


def test_list_names_every_story(cli):
    from conformance.scenarios.stories import STORIES

    done = cli("scenario", "list")
    assert done.exit_code == 0
    assert all(f"  {name} " in done.stdout for name in STORIES)
    assert "dirty logging" in done.stdout


def test_show_prints_the_steps(cli):
    done = cli("scenario", "show", "change_pte_changes_nothing")
    assert done.exit_code == 0
    for part in (
        ".change_pte() between start and end",
        "c13fda237f08",
        "until    f3b65bbaed7c",
        "  5 change_pte page=0x0\n      claim: the mapping is gone",
    ):
        assert part in done.stdout, part


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("scenario", "run", "nonsense"), "no scenario is called nonsense"),
        (("scenario", "run", "./nowhere.scenario"), "nowhere.scenario cannot be read"),
        (("scenario", "run", "--mode", "npt-me"), "mode npt-me is of single functions only"),
        (("scenario", "run", "--mode", "fast"), "mode fast does not exist"),
        (("scenario", "run", "--kernel", "9.9"), "9.9"),
        (("scenario", "show", "nonsense"), "no scenario is called nonsense"),
        (("scenario", "show", "*read*"), "show takes one"),
        (("scenario", "show"), "Missing argument"),
        (("scenario", "dance"), "No such command"),
        (("lockstep", "--mode", "npt-me"), "no random stories have mode npt-me"),
        (("lockstep", "--budget", "0"), "is not a positive, finite time"),
        (("lockstep", "--save", ""), "--save was given an empty file name"),
        (("lockstep", "--save", "/nowhere/at/all.scenario"), "is not a directory"),
    ],
)
def test_bad_input_is_a_sentence_and_status_2(cli, args, sentence):
    done = cli(*args)
    assert done.exit_code == 2
    assert sentence in done.stderr and "Traceback" not in done.stderr and "internal error" not in done.stderr


def test_bless_refuses_in_ci(cli, monkeypatch):
    monkeypatch.setenv("CI", "true")
    done = cli("scenario", "bless", "--yes")
    assert done.exit_code == 2 and "bless does not run in CI" in done.stderr


def test_show_ends_with_the_golden_transcript(cli):
    done = cli("scenario", "show", "first_read", "--mode", "npt")
    assert done.exit_code == 0
    assert "\nmode      npt\n" in done.stdout and "\n    + T(1,0x0,1)[0x100]  0x" in done.stdout
    assert cli("scenario", "show", "aged_by_access_tracking", "--mode", "npt").exit_code == 2

# SPDX-License-Identifier: GPL-2.0-only
"""``conformance explore``: what it lists, and what it refuses in a sentence."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from conformance.cli.group import commands


def called(*words):
    result = CliRunner().invoke(commands, ["explore", *words], standalone_mode=True)
    return result.exit_code, result.output


def test_list_names_races_invariants_and_changes():
    status, output = called("list")
    assert status == 0
    for name in ("fault_against_release", "writes are logged", "RETRY_AFTER_INVALIDATION"):
        assert name in output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "nothing"], "no race is called nothing"),
        (["run", "--mode", "dos"], "no race has mode dos"),
        (["run", "--without", "deadbeef"], "there is no change deadbeef"),
        (["run", "--without", "TDP_CMPXCHG", "--on", "kvm"], "--without is for the model"),
        (["run", "--on", "paper"], "'paper' is not one of"),
        (["run", "--schedules", "0"], "is not a number of schedules"),
        (["run", "--save", ""], "empty file name"),
        (["run", "--html", "/nonexistent/a.html"], "/nonexistent"),
        (["replay", "/nonexistent"], "cannot be read"),
        (["replay", "--kernel", "all", "/dev/null"], "has no schedule"),
    ],
)
def test_bad_input_is_a_sentence_and_status_2(words, sentence):
    status, output = called(*words)
    assert status == 2
    assert sentence in output
    assert "Traceback" not in output


@pytest.mark.kernel
def test_a_race_without_a_fix_is_found_saved_drawn_and_replayed(tmp_path):
    saved, page = tmp_path / "a.race", tmp_path / "a.html"
    words = ["run", "fault_against_release", "--on", "model", "--mode", "npt", "--without", "e930bffe95e1"]
    status, output = called(*words, "--save", str(saved), "--html", str(page))
    assert status == 1
    assert "released memory is out of reach" in output and "sequentially consistent" in output
    assert "<html" in page.read_text().lower()
    status, output = called("replay", str(saved))
    assert status == 1 and "broken: released memory is out of reach" in output


@pytest.mark.kernel
def test_random_schedules_report_their_guarantee():
    words = ["run", "two_vcpus_fault_on_one_gfn", "--on", "model", "--mode", "npt", "--seed", "7"]
    status, output = called(*words, "--schedules", "50", "--json", "-")
    assert status == 0
    assert "50 at random, each finds a bug of depth 3" in output


@pytest.mark.kernel
def test_the_report_says_how_far_a_race_was_exhausted(tmp_path):
    words = ["run", "dirty_lost_in_a_zap", "--on", "model", "--mode", "ept-ad"]
    status, output = called(*words)
    assert status == 0 and "All inequivalent schedules were run in 1 of 1 races and modes." in output
    status, output = called(*words, "--schedules", "80", "--json", str(tmp_path / "a.json"))
    assert status == 0 and "All inequivalent schedules were run in 0 of 1 races and modes." in output
    assert "80 inequivalent schedules are not all; exhausted up to 1 preemption" in " ".join(output.split())
    race, _ = json.loads((tmp_path / "a.json").read_text())["kernels"][0]["results"]
    assert race["explored"]["preemptions"] == 1 and not race["explored"]["exhausted"]

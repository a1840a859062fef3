# SPDX-License-Identifier: GPL-2.0-only
"""What is said of a race: by the side that it was explored on, with wall time, and how it is repeated."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

from conformance.differential.verdict import KernelReport, Verdict
from conformance.model.profiles import profile_of
from conformance.races.race import RACES
from conformance.races.run_races import RacePlan, _of_race, run
from conformance.reports.difference import difference, headline
from conformance.reports.mail import render


def explored(**more):
    plan = RacePlan(
        names=("fault_against_release",), on=("model",), modes=("ept-ad",), without=("e930bffe95e1",), **more
    )
    report, _ = run(plan, progress=lambda message: None)
    return report


@pytest.mark.kernel
def test_a_race_on_the_model_is_the_models():
    report = explored(schedules=5000)
    (kernel,) = report.kernels
    (result,) = kernel.results
    assert result.verdict is Verdict.FAIL and result.counterexample.sides == ("model", "promise")
    assert "in the model" in headline(result)
    told = difference(result, kernel.title, None)
    labels = {line[6:14].strip() for line in told}
    assert {"model", "promise", "found", "again"} <= labels and "kernel" not in labels
    assert "      found    on model" in told
    assert "kernel" not in " ".join(render(report).split()).replace("--kernel", "")


@pytest.mark.kernel
def test_what_shows_it_again_asks_for_the_same_schedules():
    (kernel,) = explored(schedules=777, seed=5).kernels
    again = shlex.split(kernel.results[0].counterexample.again)
    assert again[again.index("--schedules") + 1] == "777" and again[again.index("--seed") + 1] == "5"
    (kernel,) = explored().kernels
    assert not {"--schedules", "--seed"} & {*shlex.split(kernel.results[0].counterexample.again)}


@pytest.mark.kernel
def test_the_time_is_measured_and_no_sum():
    report = explored(schedules=5000)
    (kernel,) = report.kernels
    assert kernel.seconds is not None and report.seconds is not None and kernel.seconds <= report.seconds


def test_of_a_kernel_of_an_unknown_series_nothing_is_taken_out():
    told = next(race for race in RACES.values() if any(each.reverts for each in race.historic))
    kernel = SimpleNamespace(
        series=None, selector="tree:.", title="x", compiler=SimpleNamespace(arguments=())
    )
    report = KernelReport("tree:.", "x", "7.4.0-rc1 (tree)", None)
    side = ("kvm", kernel, Path("library"), profile_of((6, 1)), RacePlan(today=False), (), report, print)
    assert list(_of_race(told, *side)) == []
    assert len(report.results) == len(told.historic)
    assert {result.verdict for result in report.results} == {Verdict.SKIP}

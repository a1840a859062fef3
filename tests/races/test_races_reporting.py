# SPDX-License-Identifier: GPL-2.0-only
"""Reports of races: they name the side, give wall time, and the command that explores again."""

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
    assert result.verdict is Verdict.FAIL and result.counterexample.sides == ("model", "invariant")
    assert "in the model" in headline(result)
    text = difference(result, kernel.title, None)
    labels = {line[6:].split("  ")[0] for line in text}
    assert {"model", "invariant", "found", "again"} <= labels and "kernel" not in labels
    assert ["found", "on", "model"] in [line.split() for line in text]
    assert "kernel" not in " ".join(render(report).split()).replace("--kernel", "")


@pytest.mark.kernel
def test_the_again_command_explores_the_same_schedules():
    (kernel,) = explored(schedules=777, seed=5).kernels
    again = shlex.split(kernel.results[0].counterexample.again)
    assert again[again.index("--schedules") + 1] == "777" and again[again.index("--seed") + 1] == "5"
    (kernel,) = explored().kernels
    assert not {"--schedules", "--seed"} & {*shlex.split(kernel.results[0].counterexample.again)}


@pytest.mark.kernel
def test_the_time_is_wall_time_not_a_sum():
    report = explored(schedules=5000)
    (kernel,) = report.kernels
    assert kernel.seconds is not None and report.seconds is not None and kernel.seconds <= report.seconds


def test_a_kernel_of_no_series_has_no_historic_variants():
    race = next(race for race in RACES.values() if any(each.reverts for each in race.historic))
    kernel = SimpleNamespace(
        series=None, selector="tree:.", title="x", compiler=SimpleNamespace(arguments=())
    )
    report = KernelReport("tree:.", "x", "7.4.0-rc1 (tree)", None)
    side = ("kvm", kernel, Path("library"), profile_of((6, 1)), RacePlan(current=False), (), report, print)
    assert list(_of_race(race, *side)) == []
    assert len(report.results) == len(race.historic)
    assert {result.verdict for result in report.results} == {Verdict.SKIP}

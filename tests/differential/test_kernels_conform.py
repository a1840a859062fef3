# SPDX-License-Identifier: GPL-2.0-only
"""The pinned kernels conform, and nothing that they have is left out."""

from __future__ import annotations

import pytest

from conformance.differential.engines import usual
from conformance.differential.properties import PROPERTIES
from conformance.differential.property_plan import PropertyPlan
from conformance.differential.run_properties import run
from conformance.differential.verdict import Verdict
from conformance.kernels import SERIES
from conformance.model.profiles import profile_of

pytestmark = pytest.mark.kernel


SAMPLING = ("fuzz", "fingerprint")
"""Engines that end by themselves, so that a slow machine needs no larger budget for them."""


def judged(selector):
    """The results of all engines in a budget, and of those that end by themselves without one."""
    plans = [
        PropertyPlan(kernels=(selector,), budget=60, profile="ci"),
        PropertyPlan(kernels=(selector,), budget=3600, profile="ci", engines=SAMPLING),
    ]
    results = []
    for plan in plans:
        report = run(plan, progress=lambda line: None)
        assert report.kernels[0].error is None
        wrong = [one for one in report.kernels[0].results if one.verdict not in (Verdict.PASS, Verdict.SKIP)]
        assert report.status == 0, wrong
        results += report.kernels[0].results
    return results


def check(release, results):
    assert all(result.cases > 0 for result in results if result.verdict is Verdict.PASS)
    profile = profile_of(release)
    for prop in PROPERTIES.values():
        mine = [result for result in results if result.property == prop.name]
        if prop.absent(profile):
            assert {result.verdict for result in mine} == {Verdict.SKIP} and mine[0].reason
            continue
        passed = {(result.engine, result.mode) for result in mine if result.verdict is Verdict.PASS}
        assert {mode for engine, mode in passed if engine == "bulk"} == set(prop.modes)
        assert "fuzz" in {engine for engine, _ in passed}
        engines = {result.engine for result in mine}
        assert engines == set(usual()), "each engine has a say, if only why not"


def test_the_kernel_under_test_conforms(kernel):
    check(kernel.release, judged(kernel.selector))


@pytest.mark.slow
@pytest.mark.parametrize("series", SERIES)
def test_every_pinned_kernel_conforms(series):
    major, minor = series.split(".")
    check((int(major), int(minor)), judged(series))


def test_every_property_exists_in_a_pinned_kernel():
    profiles = [profile_of(tuple(map(int, series.split(".")))) for series in SERIES]
    nowhere = [prop.name for prop in PROPERTIES.values() if all(prop.absent(profile) for profile in profiles)]
    assert not nowhere

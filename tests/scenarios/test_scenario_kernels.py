# SPDX-License-Identifier: GPL-2.0-only
"""The kernel under test, and every pinned one: stories pass, and random steps find no difference."""

from __future__ import annotations

import pytest

from conformance.differential.verdict import Verdict
from conformance.interface.steps import KINDS
from conformance.kernels import SERIES
from conformance.scenarios import run_lockstep
from conformance.scenarios.run_scenarios import Ready, ScenarioPlan, prepare, run
from conformance.scenarios.stories import STORIES

pytestmark = pytest.mark.kernel

REACHED = [series for series in SERIES if series != "5.10"]


def check(selector: str) -> None:
    """Every story in every mode is either passed, or absent from the kernel with a reason."""
    report = run(ScenarioPlan(kernels=(selector,)), progress=lambda line: None)
    (kernel,) = report.kernels
    if kernel.unreached is not None:
        assert selector == "5.10" and report.status == 2
        return
    assert kernel.error is None
    bad = [result for result in kernel.results if result.verdict not in (Verdict.PASS, Verdict.SKIP)]
    assert not bad and report.status == 0
    assert len(kernel.results) == sum(len(told.modes) for told in STORIES.values())


def test_an_old_kernel_is_ready_for_modes_without_the_tdp_mmu():
    def of(*modes: str):
        return prepare("5.10", (), lambda line: None, modes)

    assert isinstance(of("legacy-npt", "shadow"), Ready)
    for more in ((), ("legacy-npt", "npt")):
        assert "needs a TDP MMU as 6.1 has it" in of(*more).unreached


def test_stories_pass_on_the_kernel_under_test(kernel):
    check(kernel.selector)


@pytest.mark.slow
@pytest.mark.parametrize("series", SERIES)
def test_stories_pass_on_every_pinned_kernel(series):
    check(series)


@pytest.mark.slow
@pytest.mark.parametrize("series", REACHED)
def test_lockstep_finds_no_difference(series):
    outcome = run_lockstep.run(
        run_lockstep.LockstepPlan(kernels=(series,), budget=20, seed=1), progress=lambda line: None
    )
    assert outcome.report.status == 0, [r.counterexample for r in outcome.report.kernels[0].results]
    assert {kind for kind, n in outcome.steps.items() if n} == set(KINDS)

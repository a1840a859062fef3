# SPDX-License-Identifier: GPL-2.0-only
"""The kernel under test, and every pinned one: stories pass, and random steps find no difference."""

from __future__ import annotations

import pytest

from conformance.differential.verdict import Verdict
from conformance.interface.steps import KINDS
from conformance.kernels import SERIES
from conformance.scenarios import run_lockstep
from conformance.scenarios.modes import TDP_MODES
from conformance.scenarios.ready import prepare
from conformance.scenarios.run_scenarios import ScenarioPlan, run
from conformance.scenarios.stories import STORIES

pytestmark = pytest.mark.kernel


def check(selector: str) -> None:
    """Every story in every mode is either passed, or absent from the kernel with a reason."""
    report = run(ScenarioPlan(kernels=(selector,)), progress=lambda line: None)
    (kernel,) = report.kernels
    assert kernel.error is kernel.unreached is None
    bad = [result for result in kernel.results if result.verdict not in (Verdict.PASS, Verdict.SKIP)]
    assert not bad and report.status == 0
    lacking = {result.mode for result in kernel.results if result.property == "stories"}
    assert lacking == ({*TDP_MODES, "shadow-nommio"} if selector == "5.10" else set())
    played = [(told, mode) for told in STORIES.values() for mode in told.modes if mode not in lacking]
    assert len(kernel.results) == len(played) + len(lacking)


def test_an_old_kernel_is_ready_for_modes_without_the_tdp_mmu():
    def of(*modes: str):
        return prepare("5.10", (), lambda line: None, modes)

    assert of("legacy-npt", "shadow").without_tdp_mmu == ""
    for more in ((), ("legacy-npt", "npt")):
        ready = of(*more)
        assert "needs a TDP MMU as 6.1 has it" in ready.absent("npt") and not ready.absent("legacy-npt")
    assert "needs a TDP MMU as 6.1 has it" in of("npt", "ept-ad").unreached


def test_an_old_kernel_cannot_switch_mmio_caching_off():
    ready = prepare("5.10", (), lambda line: None, ("shadow", "shadow-nommio"))
    assert "b09763da4dd8" in ready.absent("shadow-nommio") and not ready.absent("shadow")


def test_stories_pass_on_the_kernel_under_test(kernel):
    check(kernel.selector)


@pytest.mark.slow
@pytest.mark.parametrize("series", SERIES)
def test_stories_pass_on_every_pinned_kernel(series):
    check(series)


@pytest.mark.slow
@pytest.mark.parametrize("series", SERIES)
def test_lockstep_finds_no_difference(series):
    outcome = run_lockstep.run(
        run_lockstep.LockstepPlan(kernels=(series,), budget=20, seed=1), progress=lambda line: None
    )
    assert outcome.report.status == 0, [r.counterexample for r in outcome.report.kernels[0].results]
    absent = {"walk_begin", "walk_next", "walk_end"} if series == "5.10" else set()
    assert {kind for kind, n in outcome.steps.items() if n} == set(KINDS) - absent

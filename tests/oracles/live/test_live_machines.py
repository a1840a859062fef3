# SPDX-License-Identifier: GPL-2.0-only
"""Machines that run: stories agree, a machine that crashes or hangs is ended, a WARN is an event."""

from __future__ import annotations

from functools import partial

import pytest

from conformance.differential.verdict import Verdict
from conformance.kernels import Cache
from conformance.kernels.bootable import shipped_kernel
from conformance.model.modes import VM_MODES
from conformance.model.profiles import profile_of
from conformance.oracles.live.booted import boot
from conformance.oracles.live.machine import LiveMachine
from conformance.oracles.live.settings import setting_of
from conformance.sandbox.watching import Bounds
from conformance.scenarios.judging_scenario import Facts, judge
from conformance.scenarios.live_ready import LivePlan
from conformance.scenarios.live_sides import LiveSides
from conformance.scenarios.run_lockstep import LockstepPlan
from conformance.scenarios.run_lockstep import run as run_lockstep
from conformance.scenarios.run_scenarios import ScenarioPlan, run
from conformance.scenarios.stories import STORIES

pytestmark = [pytest.mark.kernel, pytest.mark.network, pytest.mark.slow]

LEAST = 80
"""Stories that are played in npt at the least."""

STORY = "unmap_one_page"


def quietly(line: str) -> None:
    pass


def test_live_stories_agree():
    (report,) = run(
        ScenarioPlan(("6.1",), (), (), ("npt",), jobs=1, live=LivePlan()), progress=quietly
    ).kernels
    assert not report.error and not report.unreached
    assert [one.property for one in report.results if one.verdict is Verdict.FAIL] == []
    assert sum(one.verdict is Verdict.PASS for one in report.results) >= LEAST


def test_live_random_stories_agree():
    plan = LockstepPlan(("6.1",), modes=("npt",), budget=30, seed=1, jobs=1, live=LivePlan())
    ((result,),) = (report.results for report in run_lockstep(plan, progress=quietly).report.kernels)
    assert result.verdict is Verdict.PASS and result.oracle == "live" and result.cases > 50


@pytest.fixture(scope="module")
def sides():
    mode = VM_MODES["npt"]
    boots = partial(boot, shipped_kernel("6.1", Cache()), setting_of(mode.host()), Cache())
    with LiveSides(profile_of((6, 1)), mode, boots) as made:
        yield made


def judged(sides, monkeypatch, before):
    """The result of a story in which something is asked of the machine before a step of its host."""
    ask = LiveMachine._ask

    def asked(self, name, arguments):
        if name == "madvise_dontneed":
            before(self._booted)
        return ask(self, name, arguments)

    monkeypatch.setattr(LiveMachine, "_ask", asked)
    found = judge(sides, STORY, STORIES[STORY].script, Facts(None, "6.1", ()), golden=False)
    monkeypatch.undo()
    return found


def conforms(sides) -> bool:
    found = judge(sides, STORY, STORIES[STORY].script, Facts(None, "6.1", ()), golden=False)
    return found.verdict is Verdict.PASS


def test_a_crash_is_a_finding_with_the_console(sides, monkeypatch):
    found = judged(sides, monkeypatch, lambda booted: booted.ask("write /proc/sysrq-trigger c"))
    assert found.verdict is Verdict.FAIL and found.counterexample.crash.startswith("crashed: ")
    assert any("sysrq" in line.lower() for line in found.counterexample.details)
    assert found.counterexample.steps[-1].startswith("madvise_dontneed")
    assert conforms(sides)


def test_a_hang_is_a_finding_in_bounded_time(sides, monkeypatch):
    bounds = Bounds(cpu=30, idle=2, wall=60)
    found = judged(sides, monkeypatch, lambda booted: booted.ask("wait milliseconds=1000000", bounds))
    assert found.verdict is Verdict.FAIL and found.counterexample.crash.startswith("did not come back within")
    assert found.counterexample.steps[-1].startswith("madvise_dontneed")
    assert conforms(sides)


def test_a_warning_on_the_console_is_an_event(sides, monkeypatch):
    line = "<4>WARNING: CPU: 0 PID: 1 at arch/x86/kvm/mmu/mmu.c:1 planted_warning+0x1/0x2 [kvm]"
    found = judged(sides, monkeypatch, lambda booted: booted.need(f"write /dev/kmsg {line}", "warning"))
    assert found.verdict is Verdict.FAIL
    assert "WARN planted_warning" in str(found.counterexample.kernel)
    assert conforms(sides)

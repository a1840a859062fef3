# SPDX-License-Identifier: GPL-2.0-only
"""Stands in for conformance.scenarios.run_scenarios and .run_lockstep, so that no kernel is needed."""

from __future__ import annotations

from collections import Counter
from types import ModuleType, SimpleNamespace
from typing import Any

from conformance.differential.verdict import Counterexample, KernelReport, Report, Result, Verdict

plans: list[Any] = []


def report(verdict: Verdict) -> Report:
    found = Counterexample(
        {}, {}, {"outcome": "0"}, {"outcome": "-22"}, "conformance scenario run x", steps=("grace_period",)
    )
    result = Result(
        "first_read",
        "kvm",
        "story",
        "npt",
        verdict,
        cases=4,
        counterexample=found if verdict is Verdict.FAIL else None,
    )
    return Report([KernelReport("6.1", "6.1", "6.1.1-1", results=[result])], seed=None)


def running(verdict: Verdict) -> ModuleType:
    made = ModuleType("conformance.scenarios.run_scenarios")

    def run(plan: Any, *, progress: Any, advance: Any) -> Report:
        plans.append(plan)
        return report(verdict)

    made.__dict__.update(ScenarioPlan=lambda *given: given, run=run)
    return made


def run_lockstep(verdict: Verdict) -> ModuleType:
    made = ModuleType("conformance.scenarios.run_lockstep")

    def run(plan: Any, *, progress: Any, advance: Any) -> SimpleNamespace:
        plans.append(plan)
        return SimpleNamespace(report=report(verdict), steps=Counter(access=3))

    made.__dict__.update(
        LockstepPlan=lambda **given: given, run=run, counts=lambda steps: [f"access {steps['access']}"]
    )
    return made

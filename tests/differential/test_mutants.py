# SPDX-License-Identifier: GPL-2.0-only
"""Every property notices what it is there to notice: planted mutants die, and their cases replay."""

from __future__ import annotations

import pytest
from planting import patch_for

from conformance.differential.engines import ENGINES
from conformance.differential.properties import PROPERTIES
from conformance.differential.property_plan import PropertyPlan
from conformance.differential.run_properties import run
from conformance.differential.verdict import PROVE, Verdict

SAMPLING = tuple(name for name in ENGINES if name != PROVE)
"""Without proofs, which test_proving_mutants.py holds against the same mutants alone."""

PLANTED = [
    pytest.param(prop.name, mutant, id=f"{prop.name}-{n}-{mutant.kernel}")
    for prop in PROPERTIES.values()
    for n, mutant in enumerate(prop.mutants)
]


def test_every_property_has_a_mutant():
    assert all(prop.mutants for prop in PROPERTIES.values())


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.parametrize(("name", "mutant"), PLANTED)
def test_mutant_dies_and_its_case_replays(name, mutant, tmp_path, counted):
    score = counted("mutants of functions")
    patch = patch_for(mutant, tmp_path)
    plan = PropertyPlan(
        kernels=(mutant.kernel,),
        patches=(patch,),
        only=(name,),
        engines=SAMPLING,
        budget=6,
        seed=1,
        profile="ci",
    )
    report = run(plan, progress=lambda line: None)
    (judged,) = report.kernels
    assert judged.error is None, judged.error

    score["planted"] += 1
    failed = [result for result in judged.results if result.verdict is Verdict.FAIL]
    for engine in ENGINES:
        score[engine] += any(result.engine == engine for result in failed)
    assert failed, f"survived: {[(r.engine, r.mode, r.verdict, r.cases) for r in judged.results]}"
    assert report.status == 1
    score["killed"] += 1

    smallest = failed[0]
    again = PropertyPlan(
        kernels=plan.kernels,
        patches=plan.patches,
        only=plan.only,
        modes=(smallest.mode,),
        case=tuple(smallest.counterexample.inputs.values()),
    )
    (replayed,) = run(again, progress=lambda line: None).kernels
    assert [result.verdict for result in replayed.results] == [Verdict.FAIL]
    assert replayed.results[0].counterexample.kernel == smallest.counterexample.kernel

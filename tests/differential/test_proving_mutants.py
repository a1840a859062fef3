# SPDX-License-Identifier: GPL-2.0-only
"""The proof engine needs no other: alone it refutes every planted mutant, with an input on which it shows."""

from __future__ import annotations

import pytest
from planting import patch_for

pytest.importorskip("pypcode")
pytest.importorskip("z3")

from conformance.differential.properties import PROPERTIES
from conformance.differential.property_plan import PropertyPlan
from conformance.differential.run_properties import run
from conformance.differential.verdict import PROVE, Verdict

PLANTED = [
    pytest.param(prop.name, mutant, id=f"{prop.name}-{n}-{mutant.kernel}")
    for prop in PROPERTIES.values()
    # Over a tree of tables the model runs case by case: it is not proved.
    if not prop.scalar
    for n, mutant in enumerate(prop.mutants)
]


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.parametrize(("name", "mutant"), PLANTED)
def test_mutant_is_refuted(name, mutant, tmp_path, counted):
    patch = patch_for(mutant, tmp_path)
    plan = PropertyPlan(
        kernels=(mutant.kernel,), patches=(patch,), only=(name,), engines=(PROVE,), jobs=1, timeout=60
    )
    report = run(plan, progress=lambda line: None)
    (judged,) = report.kernels
    assert judged.error is None, judged.error

    score = counted("mutants of functions, by the proof engine alone")
    score["planted"] += 1
    (result,) = judged.results
    assert result.verdict is Verdict.FAIL, result.reason
    assert result.engine == PROVE and result.reason.endswith("and replayed")
    assert result.counterexample.kernel != result.counterexample.model or result.counterexample.crash
    assert report.status == 1
    score["killed"] += 1

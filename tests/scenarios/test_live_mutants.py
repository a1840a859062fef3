# SPDX-License-Identifier: GPL-2.0-only
"""A live kernel with KVM's modules of a patched source: stories find the mutants planted beside them."""

from __future__ import annotations

import pytest
from planting import patch_for

from conformance.differential.verdict import Result, Verdict
from conformance.kernels.substitutions import TDP_C, Substitution
from conformance.scenarios.live_ready import LivePlan
from conformance.scenarios.run_scenarios import ScenarioPlan, run
from conformance.scenarios.stories import STORIES

pytestmark = [pytest.mark.kernel, pytest.mark.network, pytest.mark.slow]

FOUND = {
    "6.1": (
        "eager_split",
        "get_dirty_log",
        # The mutant crashes the kernel.
        "huge_page_across_the_edge_of_a_memslot",
        "logging_write_protects",
        "mapped_in_2m",
        "memory_appears_where_mmio_was",
        "mmio_is_cached",
        "unmap_a_range",
        "unmap_one_page",
        "write_after_logging_began",
    ),
    "7.3": ("eager_split", "write_after_logging_began"),
}
"""Stories, each with a mutant of that kernel that it finds on a live one."""

PLANTED = [
    (name, next(one for one in STORIES[name].mutants if one.substitution.kernel == series))
    for series, names in FOUND.items()
    for name in names
]

HARMLESS = {
    series: Substitution(TDP_C, '#include "spte.h"\n', '#include "spte.h"\n\n', series) for series in FOUND
}


def results(substitution: Substitution, tmp_path, names) -> list[Result]:
    """The results of stories on a live kernel with a substitution."""
    patch = patch_for(substitution, tmp_path)
    plan = ScenarioPlan((substitution.kernel,), (patch,), tuple(names), ("npt",), jobs=1, live=LivePlan())
    (report,) = run(plan, progress=lambda line: None).kernels
    assert not report.error and not report.unreached
    assert f"KVM's modules of {substitution.kernel} + {patch.name}" in " ".join(report.notes)
    return report.results


@pytest.mark.parametrize("series", FOUND)
def test_modules_built_again_conform(series, tmp_path):
    found = results(HARMLESS[series], tmp_path, FOUND[series])
    assert {one.property: one.verdict for one in found} == dict.fromkeys(FOUND[series], Verdict.PASS)


@pytest.mark.parametrize(
    ("name", "mutant"), PLANTED, ids=[f"{n}-{m.substitution.kernel}" for n, m in PLANTED]
)
def test_a_story_finds_the_mutant_of_a_live_kernel(name, mutant, tmp_path):
    (found,) = results(mutant.substitution, tmp_path, (name,))
    assert found.verdict is Verdict.FAIL, f"survived: {mutant.wrong}"
    assert found.oracle == "live" and found.counterexample is not None

# SPDX-License-Identifier: GPL-2.0-only
"""A live kernel with KVM's modules of a patched source: stories find the mutants planted beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from planting import patch_for

from conformance.differential.verdict import Result, Verdict
from conformance.kernels.substitutions import MMU_C, TDP_C, Substitution
from conformance.scenarios.live_ready import LivePlan
from conformance.scenarios.run_scenarios import ScenarioPlan, run
from conformance.scenarios.stories import STORIES
from conformance.scenarios.story import Mutant

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

LEGACY = (
    (
        "get_dirty_log",
        Mutant(
            "pages found by rmaps are not write-protected for the log",
            Substitution(
                MMU_C,
                "spte = spte & ~PT_WRITABLE_MASK;\n\n\treturn mmu_spte_update",
                "\n\treturn mmu_spte_update",
            ),
            "legacy-npt",
        ),
    ),
    (
        "unmap_one_page",
        Mutant(
            "the flush is lost that zapped rmaps need",
            Substitution(
                MMU_C,
                "flush = kvm_handle_gfn_range(kvm, range, kvm_zap_rmap);",
                "kvm_handle_gfn_range(kvm, range, kvm_zap_rmap);",
            ),
            "legacy-npt",
        ),
    ),
)
"""Stories that find mutants of the shadow MMU, which maps the guest's memory without the TDP MMU."""


def planted() -> Iterator[tuple[str, Mutant]]:
    """The stories and their mutants, in a mode of a live kernel."""
    for series, names in FOUND.items():
        for name in names:
            mutant = next(one for one in STORIES[name].mutants if one.substitution.kernel == series)
            yield name, replace(mutant, mode="npt")
    yield from LEGACY


PLANTED = [*planted()]

HARMLESS = {
    series: Substitution(TDP_C, '#include "spte.h"\n', '#include "spte.h"\n\n', series) for series in FOUND
}


def results(substitution: Substitution, tmp_path, names, *modes: str) -> list[Result]:
    """The results of stories on a live kernel with a substitution."""
    patch = patch_for(substitution, tmp_path)
    plan = ScenarioPlan((substitution.kernel,), (patch,), tuple(names), modes, jobs=1, live=LivePlan())
    (report,) = run(plan, progress=lambda line: None).kernels
    assert not report.error and not report.unreached
    assert f"KVM's modules of {substitution.kernel} + {patch.name}" in " ".join(report.notes)
    return report.results


@pytest.mark.parametrize("series", FOUND)
def test_modules_built_again_conform(series, tmp_path):
    modes = ("npt", "legacy-npt")
    found = results(HARMLESS[series], tmp_path, FOUND[series], *modes)
    passed = {(one.property, one.mode) for one in found if one.verdict is Verdict.PASS}
    assert len(passed) == len(found) and {mode for _, mode in passed} == {*modes}
    assert passed >= {(name, "npt") for name in FOUND[series]}


@pytest.mark.parametrize(
    ("name", "mutant"), PLANTED, ids=[f"{n}-{m.mode}-{m.substitution.kernel}" for n, m in PLANTED]
)
def test_a_story_finds_the_mutant_of_a_live_kernel(name, mutant, tmp_path):
    (found,) = results(mutant.substitution, tmp_path, (name,), mutant.mode)
    assert found.verdict is Verdict.FAIL, f"survived: {mutant.wrong}"
    assert found.oracle == "live" and found.counterexample is not None

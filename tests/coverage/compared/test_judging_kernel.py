# SPDX-License-Identifier: GPL-2.0-only
"""Each outcome of a mutant, on 6.1: some are of the kernel, some of code that the test adds to it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planting import patch_between

from conformance.coverage.compared.judging import Libraries, Task, begin, judge
from conformance.coverage.compared.mutants import Outcome
from conformance.coverage.compared.operators import changes
from conformance.coverage.compared.planted_kernel import plant_kernel
from conformance.coverage.compared.sample import sample
from conformance.coverage.measure import measure
from conformance.coverage.scope import scoped
from conformance.kernels import BuildError, Cache, Unit, open_kernel
from conformance.kernels.cache import temporary
from conformance.oracles.kvm.build import build_kvm, layouts_of
from conformance.oracles.shim.build import build_shim
from conformance.review.kvm_state import keeping

MMU = "arch/x86/kvm/mmu/mmu.c"
SPTE = "arch/x86/kvm/mmu/spte.c"
SPTE_H = "arch/x86/kvm/mmu/spte.h"
TDP = "arch/x86/kvm/mmu/tdp_mmu.c"

ADDED = """static noinline u64 conformance_dead(struct kvm_vcpu *vcpu, u64 address)
{
	volatile u64 page = address >> PAGE_SHIFT;

	if (page & 1)
		page += 2;
	vcpu->arch.apf.id = page & 0xffe;
	if ((address >> 60) < 16)
		page++;
	while (page)
		page >>= 1;
	return page;
}

"""
PLACE = "int noinline kvm_mmu_page_fault("
START = "\n\tif (WARN_ON(!VALID_PAGE(vcpu->arch.mmu->root.hpa)))"

STORY = ("stories", "first_read")
OWN = ("functions", "make_spte")
MAPPING = "tdp_mmu_map_handle_target_level"


def quiet(_):
    """Progress that is not shown."""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """The kernel with a function whose result nothing reads."""
    text = (open_kernel("6.1").root / "src" / MMU).read_text()
    head, rest = text.split(PLACE)
    before, after = rest.split(START, 1)
    there = f"{head}{ADDED}{PLACE}{before}\n\tconformance_dead(vcpu, cr2_or_gpa);{START}{after}"
    return open_kernel("6.1", [patch_between(MMU, text, there, tmp_path_factory.mktemp("dead"))])


MUTANTS = [
    # The file, the function, the operator, the beginning of the piece, the runs that execute it, the outcome.
    (SPTE, "make_spte", "assignment dropped", "spte |= shadow_x_mask", OWN, "compared"),
    (SPTE, "make_spte", "condition negated", "!prefetch", OWN, "compared"),
    (SPTE_H, "is_writable_pte", "operator replaced", "pte & ", ("functions", "is_writable_pte"), "compared"),
    (TDP, MAPPING, "condition negated", "unlikely(!fault->slot)", STORY, "compared"),
    (MMU, "conformance_dead", "comparison shifted", "(address >> 60) < 16", STORY, "equivalent"),
    (MMU, "conformance_dead", "assignment dropped", "page += 2", STORY, "survived"),
    (MMU, "conformance_dead", "constant changed", "0xffe", STORY, "survived"),
    (MMU, "conformance_dead", "operator replaced", "page & 0xffe", STORY, "compared in reviews only"),
    (MMU, "conformance_dead", "assignment dropped", "page >>= 1", STORY, "compared"),
]  # fmt: skip


@pytest.fixture(scope="module")
def tasks(kernel):
    """The mutants, by number."""
    found = {}
    for number, (file, function, operator, text, run, _) in enumerate(MUTANTS, 1):
        content = (kernel.root / "src" / file).read_bytes()
        change = next(
            one
            for one in changes(content)
            if (one.function, one.operator) == (function, operator)
            and content[one.start : one.end].startswith(text.encode())
        )
        found[number] = Task(number, file, change, (run,))
    return found


@pytest.fixture(scope="module")
def judging(kernel, tasks):
    """A function that judges a mutant in this process."""
    cache = Cache()
    planted = plant_kernel(
        kernel,
        {number: (task.file, task.change) for number, task in tasks.items()},
        cache,
        quiet,
        lambda one: (build_shim(one, cache, quiet), build_kvm(one, cache, quiet)),
    )
    assert not planted.rejected
    libraries = [build(planted.kernel, cache, quiet) for build in (build_shim, build_kvm)]
    begin(Libraries(kernel, *libraries, layouts_of(planted.kernel, cache), keeping))
    return judge


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, len(MUTANTS) + 1))
def test_the_outcome_of_a_mutant(judging, tasks, number):
    verdict = judging(tasks[number])
    *_, run, outcome = MUTANTS[number - 1]
    assert verdict.outcome == Outcome(outcome), verdict
    if verdict.outcome in (Outcome.COMPARED, Outcome.REVIEWS):
        assert verdict.by[:2] == run


@pytest.mark.kernel
@pytest.mark.slow
def test_a_mutant_that_hangs_is_compared(judging, tasks):
    assert "did not come back" in judging(tasks[len(MUTANTS)]).how


@pytest.mark.kernel
def test_what_does_not_compile_is_left_out():
    kernel, cache = open_kernel("6.1"), Cache()
    good, other = [one for one in changes((kernel.root / "src" / SPTE).read_bytes()) if one.rank == 0][:2]
    bad = replace(other, gate=("(", " ? no_such_variable : (", "))"))
    builds = []

    def build(one):
        builds.append(one)
        with temporary("planted") as place:
            one.compile([Unit(SPTE), Unit("arch/x86/kvm/mmu/tdp_iter.c")], place)

    mutants = {4: (SPTE, good), 7: (SPTE, bad)}
    planted = plant_kernel(kernel, mutants, cache, quiet, build)
    assert planted.rejected == {7}
    assert planted.mutants == {4: (SPTE, good)}
    # What compiles is known from then on.
    assert plant_kernel(kernel, mutants, cache, quiet, build) == planted
    assert len(builds) <= 2


@pytest.mark.kernel
def test_a_failure_that_no_mutant_explains_is_an_error():
    def build(one):
        raise BuildError("no room", [("include/linux/list.h", 3)])

    kernel = open_kernel("6.1")
    (one, *_) = changes((kernel.root / "src" / SPTE).read_bytes())
    with pytest.raises(BuildError, match="no room"):
        plant_kernel(kernel, {1: (SPTE, one)}, Cache(), quiet, build)


@pytest.mark.kernel
@pytest.mark.slow
def test_a_sample_of_the_kernel_is_judged_once():
    kernel, cache = open_kernel("6.1"), Cache()
    coverage = scoped(measure(kernel, cache, quiet, ["functions", "stories"]), kernel.root / "src")
    found = sample(kernel, coverage, 5, 0, cache, quiet, keeping=keeping)
    assert len(found.judged) == 5
    assert 0 < found.plantable < found.executed
    for one in found.judged:
        assert one.executed_by and one.mutant.before != one.mutant.after
        assert one.outcome not in (Outcome.COMPARED, Outcome.REVIEWS) or one.by[:2] in one.executed_by
    announced = []
    assert sample(kernel, coverage, 5, 0, cache, quiet, keeping=keeping, advance=announced.append) == found
    assert announced == []

# SPDX-License-Identifier: GPL-2.0-only
"""What runs a function is evidence about it only if it notices a difference planted there."""

from __future__ import annotations

import pytest
from planting import patch_between

from conformance.coverage.compared.pieces import Change
from conformance.errors import ConformanceError
from conformance.kernels import BuildError, Cache, open_kernel
from conformance.review import ReviewPlan, Standing, compare
from conformance.review.apply_evidence import apply_evidence
from conformance.review.evidence import Evidence, NotMeasured, _chosen
from conformance.review.functions import Text
from conformance.review.pairing import Pair
from conformance.review.ran import Seen
from conformance.review.review import FunctionReview

MMU = "arch/x86/kvm/mmu/mmu.c"


def quiet(_):
    """Progress that is not shown."""


class Noticing:
    """Evidence that is known beforehand."""

    def __init__(self, *names, trouble=None):
        self._names = names
        self._trouble = trouble

    def noticing(self, function, names):
        if self._trouble:
            raise self._trouble
        return [name for name in names if name in self._names]


def weighed(evidence, standing=Standing.UNSEEN):
    text = Text("zap", MMU, "")
    one = FunctionReview("zap", MMU, standing, cases=30, by=("first_read", "first_write"))
    seen = [Seen("first_read", cases=10), Seen("first_write", cases=20)]
    (found,) = apply_evidence([one], [Pair(text, text)], seen, evidence)
    return found


def test_what_notices_is_named_alone():
    found = weighed(Noticing("first_write"))
    assert found.standing is Standing.UNSEEN
    assert found.by == ("first_write",)
    assert found.cases == 20


def test_nothing_is_claimed_where_nothing_notices():
    found = weighed(Noticing())
    assert found.standing is Standing.UNOBSERVED
    assert "noticed by nothing" in found.reason


@pytest.mark.parametrize("trouble", [NotMeasured("no time"), BuildError("does not compile")])
def test_what_was_not_measured_is_no_evidence(trouble):
    found = weighed(Noticing(trouble=trouble))
    assert found.standing is Standing.UNMEASURED
    assert found.reason == str(trouble)
    assert isinstance(trouble, ConformanceError)


@pytest.mark.parametrize("standing", [Standing.DIFFERS, Standing.EQUIVALENT, Standing.UNCOVERED])
def test_other_standings_stay(standing):
    assert weighed(Noticing(), standing).standing is standing


def change(line, rank=0):
    return Change("condition negated", "f", 0, 1, line, line, line, "", ("", "", ""), rank)


def test_mutants_on_changed_lines_count_alone():
    mutants = {1: change(10), 2: change(11, 4), 3: change(12)}
    assert _chosen(mutants, {11}) == [2]
    assert _chosen(mutants, {99}) == [1, 3, 2]


DEAD = """static noinline u64 conformance_dead(u64 address)
{
	volatile u64 page = address >> PAGE_SHIFT;

	if (page & 1)
		page += 2;
	return page;
}

"""
PLACE = "int noinline kvm_mmu_page_fault("
START = "\n\tif (WARN_ON(!VALID_PAGE(vcpu->arch.mmu->root.hpa)))"


@pytest.fixture
def dead(tmp_path):
    """A kernel with a function whose result is thrown away, and the same with that function changed."""
    text = (open_kernel("6.1").root / "src" / MMU).read_text()
    head, rest = text.split(PLACE)
    before, after = rest.split(START, 1)
    there = f"{head}{DEAD}{PLACE}{before}\n\tconformance_dead(cr2_or_gpa);{START}{after}"
    patches = []
    for name, one, other in (("added", text, there), ("changed", there, there.replace("+= 2;", "+= 3;"))):
        (tmp_path / name).mkdir()
        patches.append(patch_between(MMU, one, other, tmp_path / name))
    return open_kernel("6.1", patches[:1]), open_kernel("6.1", patches)


@pytest.mark.kernel
@pytest.mark.slow
def test_a_function_with_a_dead_result_is_executed_and_not_observed(dead):
    review = compare(*dead, ReviewPlan(), quiet)
    (found,) = (one for one in review.functions if one.name == "conformance_dead")
    assert found.standing is Standing.UNOBSERVED
    assert found.by


@pytest.mark.kernel
@pytest.mark.slow
def test_without_time_it_is_not_measured(dead):
    text = Text("conformance_dead", MMU, DEAD)
    with Evidence(dead[0], Cache(), quiet, limit=-1.0) as evidence, pytest.raises(NotMeasured):
        evidence.noticing(Pair(text, text), ["first_write"])


@pytest.mark.kernel
@pytest.mark.slow
def test_plants_are_noticed_by_properties_and_by_stories():
    kernel = open_kernel("6.1")
    spte, fault = (Text(name, f"arch/x86/kvm/mmu/{file}", "") for name, file in (
        ("make_spte", "spte.c"), ("update_permission_bitmask", "mmu.c"),
    ))  # fmt: skip
    with Evidence(kernel, Cache(), quiet) as evidence:
        assert evidence.noticing(Pair(spte, spte), ["make_spte", "make_nonleaf_spte"]) == ["make_spte"]
        assert evidence.noticing(Pair(fault, fault), ["first_read"]) == ["first_read"]

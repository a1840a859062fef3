# SPDX-License-Identifier: GPL-2.0-only
"""Real patches on a real kernel: comments, refactorings, a changed behaviour, code that does not compile."""

from __future__ import annotations

import pytest

from conformance.errors import ConformanceError
from conformance.kernels import open_kernel
from conformance.kernels.substitutions import ITER_H, SPTE_C, SPTE_H, Substitution, unified_diff, write_patch
from conformance.review import ReviewPlan, Standing, compare

FIRST = "static inline bool is_large_pte(u64 pte)\n{\n"
BODY = "return pte & PT_PAGE_SIZE_MASK;"


@pytest.fixture(scope="module")
def base():
    return open_kernel("6.1")


@pytest.fixture
def patched(base, tmp_path):
    """The kernel with texts of a file replaced."""

    def call(file, *replaced):
        substitutions = [Substitution(file, old, new) for old, new in replaced]
        return open_kernel("6.1", [write_patch(base, substitutions, tmp_path / "change.patch")])

    return call


def changed(review):
    return {one.name: one for one in review.changed}


def test_a_plan_that_names_what_there_is_not():
    with pytest.raises(ConformanceError, match="no property is called nothing_"):
        compare(None, None, ReviewPlan(only=("nothing_*",)))  # type: ignore[arg-type]
    with pytest.raises(ConformanceError, match="no mode dos"):
        compare(None, None, ReviewPlan(modes=("dos",)))  # type: ignore[arg-type]
    with pytest.raises(ConformanceError, match="takes 1 words"):
        compare(None, None, ReviewPlan(only=("is_large_pte",), case=(1, 2)))  # type: ignore[arg-type]


@pytest.mark.kernel
@pytest.mark.slow
def test_the_same_kernel_twice_is_the_same_text(base):
    review = compare(base, base)
    assert {one.standing for one in review.functions} == {Standing.SAME} or not review.functions
    assert (review.changed, review.scope, review.constants) == ((), (), ())


@pytest.mark.kernel
def test_comments_are_proved_to_change_nothing(base, patched):
    after = patched(SPTE_H, (FIRST, f"/* Two\n * lines more. */\n{FIRST}\t/* Here, too. */\n\n"))
    review = compare(base, after)
    (one,) = review.changed
    assert (one.name, one.standing, one.cases) == ("is_large_pte", Standing.SAME_CODE, 0)
    assert review.proved and not review.errors


@pytest.mark.kernel
@pytest.mark.slow
def test_a_refactoring_is_followed_under_its_new_name(base, tmp_path):
    texts = {}
    for path in sorted((base.root / "src/arch/x86/kvm/mmu").glob("*.[ch]")):
        before = path.read_text()
        after = before.replace("is_large_pte", "pte_is_large")
        texts[str(path.relative_to(base.root / "src"))] = before, after
    before, after = texts[SPTE_H]
    texts[SPTE_H] = before, after.replace(BODY, "bool large = pte & PT_PAGE_SIZE_MASK;\n\n\treturn large;")
    (tmp_path / "rename.patch").write_text(unified_diff(texts))
    after = open_kernel("6.1", [tmp_path / "rename.patch"])
    review = compare(base, after, ReviewPlan(budget=1))
    assert not review.errors
    told = changed(review)["pte_is_large"]
    assert (told.was, told.standing) == ("is_large_pte", Standing.SAME_CODE)
    assert not review.errors


SETS_ACCESSED = "has_ad_bits ? VMX_EPT_ACCESS_BIT : 0ull;"


@pytest.mark.kernel
@pytest.mark.slow
def test_what_has_few_inputs_is_proved_by_all_of_them(base, patched):
    def review(condition):
        now = SETS_ACCESSED.replace("has_ad_bits", f"(has_ad_bits && {condition})")
        return changed(compare(base, patched(SPTE_C, (SETS_ACCESSED, now))))["kvm_mmu_set_ept_masks"]

    told = review("boot_cpu_data.x86_phys_bits < 53")
    assert (told.standing, told.by) == (Standing.EQUIVALENT, ("kvm_mmu_set_ept_masks",))
    assert told.cases >= 21 * 21 * 16
    assert review("boot_cpu_data.x86_phys_bits + boot_cpu_data.x86_cache_bits != 65").difference


@pytest.mark.kernel
@pytest.mark.slow
def test_a_macro_that_moves_is_told_with_those_that_use_it(base, patched):
    review = compare(
        base, patched(SPTE_H, ("REMOVED_SPTE\t0x5a0ULL", "REMOVED_SPTE\t0x5b0ULL")), ReviewPlan(budget=1)
    )
    (moved,) = review.constants
    assert (moved.name, moved.before, moved.after) == ("REMOVED_SPTE", 0x5A0, 0x5B0)
    told = changed(review)["is_removed_spte"]
    assert told.standing is Standing.DIFFERS
    assert told.reason == "its own text is the same, but it uses REMOVED_SPTE" or not told.reason
    assert told.difference.inputs["spte"] in (0x5A0, 0x5B0)


@pytest.mark.kernel
def test_a_race_that_a_write_loses_is_found_and_shown_again(base, patched):
    """The write of an SPTE with volatile bits as it was before ba3a6120a4e7 in v5.18: plain."""
    after = patched(ITER_H, ("spte_has_volatile_bits(old_spte))", "0)"))
    review = compare(base, after, ReviewPlan(budget=1))
    told = changed(review)["kvm_tdp_mmu_write_spte"]
    assert told.standing is Standing.DIFFERS
    found = told.difference
    assert found.inputs["memory"] != found.inputs["old_spte"]
    assert found.kernel["value"] != found.model["value"]
    assert "atomic" in found.kernel["accesses"] and "plain" in found.model["accesses"]
    mode = found.again.split("--mode ")[1].split()[0]
    plan = ReviewPlan(only=("kvm_tdp_mmu_write_spte",), modes=(mode,), case=tuple(found.inputs.values()))
    (again,) = compare(base, after, plan).functions
    assert again.difference.inputs == found.inputs


@pytest.mark.kernel
@pytest.mark.slow
def test_a_crash_is_a_difference(base, patched):
    after = patched(SPTE_H, (BODY, f"if (pte & 0x800)\n\t\t*(volatile int *)8 = 1;\n\t{BODY}"))
    told = changed(compare(base, after, ReviewPlan(budget=1)))["is_large_pte"]
    assert told.standing is Standing.DIFFERS
    assert told.difference.inputs["spte"] & 0x800 and told.difference.legal
    assert "SIGSEGV" in told.difference.model["answer"]


@pytest.mark.kernel
@pytest.mark.slow
def test_a_function_that_this_configuration_does_not_compile_is_not_judged(base, patched):
    extra = f"static inline int nobody(void)\n{{\n\treturn %d;\n}}\n\n{FIRST}"
    before, after = patched(SPTE_H, (FIRST, extra % 1)), patched(SPTE_H, (FIRST, extra % 2))
    (told,) = compare(before, after, ReviewPlan(budget=1)).changed
    assert (told.standing, told.reason) == (
        Standing.UNCOVERED,
        "it is not compiled in the configuration used here",
    )

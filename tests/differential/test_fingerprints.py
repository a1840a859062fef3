# SPDX-License-Identifier: GPL-2.0-only
"""Fingerprints: a kernel that changed has others, a run says so, and nobody blesses by accident."""

from __future__ import annotations

import pytest
from model_side import KernelLike, compared
from planting import patch_for

from conformance.cli.group import commands
from conformance.differential import fingerprints
from conformance.differential.engines.fingerprint import remember, sentence
from conformance.differential.fingerprints import Fingerprints, blessed, mark, marks
from conformance.differential.inputs import inputs
from conformance.differential.properties import PROPERTIES
from conformance.differential.property_plan import PropertyPlan
from conformance.differential.run_properties import run
from conformance.differential.verdict import Result, Verdict
from conformance.errors import ConformanceError
from conformance.kernels.substitutions import Substitution
from conformance.model.changes import AD_DISABLED_ALWAYS_VOLATILE
from conformance.model.modes import MODES
from conformance.model.profiles import profile_of

PACKAGE = "6.1.192-2"
PROFILE = profile_of((6, 1, 192))
FIXED = PROFILE.plus(AD_DISABLED_ALWAYS_VOLATILE)
VOLATILE = PROPERTIES["spte_has_volatile_bits"]


def semantics(profile, names=("spte_has_volatile_bits",)):
    found = marks(KernelLike(profile), names)
    return Fingerprints("6.1", PACKAGE, {each.place: each for each in found})


def remembered(kernel, model, before, mode="ept-noad"):
    comparison = compared(VOLATILE, MODES[mode], model, kernel)
    return remember(comparison, inputs(VOLATILE), before)


def test_the_same_kernel_is_as_it_was_blessed():
    found = remembered(PROFILE, PROFILE, semantics(PROFILE))
    assert found.verdict is Verdict.PASS and found.cases == 8192 and PACKAGE in found.reason


def test_another_kernel_is_not_and_the_input_is_told():
    found = remembered(FIXED, PROFILE, semantics(PROFILE))
    assert found.verdict is Verdict.FAIL
    assert found.difference.left[0] == 1 and found.difference.right[0] == 0
    assert semantics(PROFILE).marks["spte_has_volatile_bits", "ept-noad"].answered in found.reason


def test_where_the_model_agrees_with_the_new_kernel_it_says_so():
    found = remembered(PROFILE, PROFILE, semantics(FIXED))
    assert found.verdict is Verdict.FAIL and found.difference is None and "the model agrees" in found.reason


def test_a_kernel_of_other_changes_is_not_held_against_what_was_blessed():
    found = remembered(FIXED, FIXED, semantics(PROFILE))
    assert found.verdict is Verdict.SKIP and found.cases == 0 and f"not as {PACKAGE}" in found.reason


def test_modes_that_do_not_show_it_are_the_same():
    assert remembered(FIXED, PROFILE, semantics(PROFILE), mode="npt").verdict is Verdict.PASS


def test_what_was_never_asked_is_no_verdict():
    found = remembered(PROFILE, PROFILE, Fingerprints("6.1", "6.1.1-1", {}))
    assert found.verdict is Verdict.SKIP and "bless" in found.reason and found.cases == 0


def test_kernel_code_that_dies_has_a_mark_of_its_own():
    kernel = KernelLike(PROFILE, dies=lambda case: True)
    assert mark(kernel, VOLATILE, "npt", inputs(VOLATILE)).answered == "died-at-0"


def test_a_file_is_read_as_it_was_written(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprints, "GOLDEN", tmp_path)
    assert blessed("6.1") is None and blessed(None) is None
    written = semantics(PROFILE, ("spte_ad_*", "tdp_iter"))
    written.write()
    assert blessed("6.1") == written


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f"package {PACKAGE}\n", ""),
        (PACKAGE, "of-old"),
        (" 8192 ", " many "),
        (" 8192 ", " ² "),
        (" 8192 ", f" {'9' * 3000} "),
        ("series 6.1", "series"),
    ],
)
def test_an_edited_file_is_refused(tmp_path, monkeypatch, old, new):
    monkeypatch.setattr(fingerprints, "GOLDEN", tmp_path)
    semantics(PROFILE).write()
    path = tmp_path / "6.1" / "semantics.txt"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ConformanceError, match="is no fingerprint"):
        blessed("6.1")


@pytest.mark.parametrize(
    "content, told", [(b"\xff", "is not text"), (bytes((1 << 20) + 1), "larger than 1 MiB")]
)
def test_a_damaged_file_is_refused(tmp_path, monkeypatch, content, told):
    monkeypatch.setattr(fingerprints, "GOLDEN", tmp_path)
    semantics(PROFILE).write()
    (tmp_path / "6.1" / "semantics.txt").write_bytes(content)
    with pytest.raises(ConformanceError, match=told):
        blessed("6.1")


def test_another_schema_is_not_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprints, "GOLDEN", tmp_path)
    semantics(PROFILE).write()
    monkeypatch.setattr(fingerprints, "SCHEMA", 2)
    assert blessed("6.1") is None


def test_the_sentence_names_what_differs_with_its_old_digest():
    before = semantics(PROFILE)
    old = before.marks["spte_has_volatile_bits", "ept-noad"].answered
    good = Result("spte_has_volatile_bits", "shim", "fingerprint", "npt", Verdict.PASS, 8192)
    bad = Result("spte_has_volatile_bits", "shim", "fingerprint", "ept-noad", Verdict.FAIL, 8192)
    assert sentence([good], before).startswith("semantics: those blessed for 6.1 (6.1.192-2)")
    told = sentence([good, bad], before)
    assert told.startswith("semantics: not those") and f"(ept-noad was {old})" in told
    assert sentence([], before) is None and sentence([good], None) is None


def test_bless_refuses_in_ci(monkeypatch, capsys):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(SystemExit) as leaving:
        commands.main(["fingerprint", "bless"])
    assert leaving.value.code == 2 and "does not run in CI" in capsys.readouterr().err


@pytest.mark.kernel
def test_a_planted_mutant_changes_its_fingerprint(tmp_path):
    mutant = Substitution(
        "arch/x86/kvm/mmu/spte.h", "return pte & PT_WRITABLE_MASK;", "return pte & PT_PRESENT_MASK;"
    )
    only = ("is_writable_pte", "is_large_pte")
    plan = PropertyPlan(("6.1",), (patch_for(mutant, tmp_path),), only, engines=("fingerprint",))
    (judged,) = run(plan, progress=lambda line: None).kernels
    verdicts = {(result.property, result.verdict) for result in judged.results}
    assert verdicts == {("is_writable_pte", Verdict.FAIL), ("is_large_pte", Verdict.PASS)}
    assert "not those blessed" in judged.semantics and "is_writable_pte" in judged.semantics
    assert all(r.counterexample for r in judged.results if r.verdict is Verdict.FAIL)


@pytest.mark.kernel
def test_the_kernel_under_test_is_as_it_was_blessed(kernel):
    (judged,) = run(
        PropertyPlan((kernel.selector,), engines=("fingerprint",)), progress=lambda line: None
    ).kernels
    assert judged.semantics.startswith("semantics: those blessed")

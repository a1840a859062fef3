# SPDX-License-Identifier: GPL-2.0-only
"""Known fixes that a change takes out: by the text it puts back, and by what a function then answers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from conformance.differential.properties import PROPERTIES
from conformance.history import FIXES
from conformance.history.fix import Fix, without
from conformance.kernels import Kernel, open_kernel
from conformance.kernels.substitutions import SPTE_C, Substitution, write_patch
from conformance.model import changes
from conformance.review import compare
from conformance.review import reverted_fixes as module
from conformance.review.outcome import FailOn, Gate, outcome_of
from conformance.review.reverted_fixes import reverted_fixes

TEXT = "bool f(u64 spte)\n{\n\tif (%s)\n\t\treturn true;\n\treturn false;\n}\n"
OLD, NEW = "!is_writable_pte(spte) && is_mmu_writable_spte(spte)", "is_mmu_writable_spte(spte)"


@pytest.fixture
def stand(monkeypatch, tmp_path):
    """What is undone between two texts of a file, where one fix is known."""
    revert = without(Substitution(SPTE_C, f"if ({OLD})", f"if ({NEW})"), by="f")
    monkeypatch.setattr(module, "FIXES", (Fix(changes.WRITABLE_NOT_VOLATILE, "f", "wrong", (revert,)),))

    def kernel(name: str, text: str) -> Kernel:
        path = tmp_path / name / "src" / SPTE_C
        path.parent.mkdir(parents=True)
        path.write_text(text)
        return Kernel(name, name, None, "9", (6, 1), None, Path(tmp_path / name), fingerprint=name)

    return lambda before, after: reverted_fixes(
        kernel("a", before), kernel("b", after), (), lambda text: None
    )


def test_the_text_that_is_put_back(stand):
    (said,) = stand(TEXT % OLD, TEXT % NEW)
    assert said.startswith("It undoes ") and changes.WRITABLE_NOT_VOLATILE.commit in said


def test_however_it_is_laid_out(stand):
    assert stand(TEXT % OLD, TEXT % f"/* as it was */ {NEW}\n\t   ")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (TEXT % OLD, TEXT % OLD.replace("!", "")),
        (TEXT % OLD, TEXT % f"{OLD} && {NEW}"),
        (TEXT % NEW, TEXT % OLD),
        (TEXT % OLD, "bool f(u64 spte)\n{\n\treturn false;\n}\n" + TEXT.replace("f(", "g(other, ") % NEW),
    ],
)
def test_other_changes_undo_nothing(stand, before, after):
    assert stand(before, after) == ()


def test_a_kernel_without_the_function_explains_no_difference(monkeypatch):
    prop = PROPERTIES["kvm_calc_cpu_role"]

    class Behaviour:
        """Answers that differ after the change, whatever the profile, if it has the function."""

        def __init__(self, prop, mode, cases, kernel):
            (self.differs,) = kernel.args

        def answer(self, profile):
            misfit = "differs" if self.differs and not prop.absent(profile) else None
            return SimpleNamespace(misfit=misfit, asked=frozenset({prop.since}))

    monkeypatch.setattr(module, "Behaviour", Behaviour)
    assert list(module._explaining(prop, SimpleNamespace(release=(6, 1)), False, True)) == []


@pytest.mark.kernel
@pytest.mark.slow
def test_a_fix_that_is_taken_out_otherwise_is_known_by_what_the_function_answers(tmp_path):
    base = open_kernel("6.1")
    (fix,) = [one for one in FIXES if one.change is changes.WRITABLE_NOT_VOLATILE]
    (revert,) = [one for one in fix.reverts if one.kernel == "6.1"]
    (text,) = revert.substitutions
    # The same effect in words of its own.
    otherwise = Substitution(text.file, text.old, f"if (({NEW}) != 0)")
    after = open_kernel("6.1", [write_patch(base, [otherwise], tmp_path / "a.patch")])
    review = compare(base, after)
    assert fix.commit in " ".join(review.undone)
    assert Gate(FailOn.CLAIMS).status(outcome_of(review, promised=False), review) == 1

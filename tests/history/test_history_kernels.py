# SPDX-License-Identifier: GPL-2.0-only
"""On real kernels every missing fix is noticed, and the model without it agrees where it should."""

from __future__ import annotations

import pytest

from conformance.differential.verdict import Verdict
from conformance.history import FIXES
from conformance.history.judging_revert import Missing, judge
from conformance.kernels import open_kernel
from conformance.kernels.substitutions import write_patch

REVERTS = [
    pytest.param(fix, revert, id=f"{fix.commit}-{revert.kernel}-{revert.by}")
    for fix in FIXES
    for revert in fix.reverts
]


@pytest.mark.kernel
@pytest.mark.parametrize("fix", FIXES, ids=lambda fix: fix.commit)
def test_every_fix_can_be_taken_out(fix, tmp_path):
    for revert in fix.reverts:
        patch = write_patch(open_kernel(revert.kernel), revert.substitutions, tmp_path / "without.patch")
        assert patch.read_text()


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.parametrize(("fix", "revert"), REVERTS)
def test_missing_fix_is_noticed(fix, revert):
    results = judge(Missing(fix, revert, budget=0.5, seed=1))
    assert len(results) == (2 if revert.exact else 1)
    for result in results:
        assert result.verdict is Verdict.PASS, f"{result.engine}: {result.reason} {result.counterexample}"

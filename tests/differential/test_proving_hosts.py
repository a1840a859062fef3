# SPDX-License-Identifier: GPL-2.0-only
"""A difference that shows on no host of a mode: told with one that is plain, and found again."""

from __future__ import annotations

import shlex

import pytest
from planting import patch_for

pytest.importorskip("pypcode")
pytest.importorskip("z3")

from conformance.differential.property_plan import PropertyPlan
from conformance.differential.run_properties import run
from conformance.differential.verdict import PROVE, Verdict
from conformance.kernels.substitutions import Substitution

ON_FORTY_BITS = Substitution(
    "arch/x86/kvm/mmu/spte.h",
    "return (spte & shadow_mmio_mask) == shadow_mmio_value &&",
    "return boot_cpu_data.x86_phys_bits != 40 && (spte & shadow_mmio_mask) == shadow_mmio_value &&",
)


@pytest.mark.kernel
@pytest.mark.slow
def test_a_host_that_is_no_mode(tmp_path):
    patch = patch_for(ON_FORTY_BITS, tmp_path)
    plan = PropertyPlan(patches=(patch,), only=("is_mmio_spte",), engines=(PROVE,), jobs=1)
    (result,) = run(plan, progress=print).kernels[0].results
    assert result.verdict is Verdict.FAIL
    assert result.mode.startswith("shadow with phys_bits=40, cache_bits=")
    assert "me_" not in result.mode and "l1tf" not in result.mode and "ad_bits" not in result.mode
    told = result.counterexample
    assert told is not None and (told.kernel["value"], told.model["value"]) == ("false", "true")
    again = ["conformance", "run", "--kernel", "6.1", "--patch", str(patch), "--only", "is_mmio_spte"]
    assert shlex.split(told.again) == [*again, "--engine", PROVE]

# SPDX-License-Identifier: GPL-2.0-only
"""The same kernel compiled with clang means the same, and what needs gcc says so."""

from __future__ import annotations

import os
import shutil

import pytest

from conformance.differential.property_plan import PropertyPlan
from conformance.differential.run_properties import run
from conformance.differential.verdict import Verdict
from conformance.errors import ConformanceError
from conformance.kernels import Cache, Kernel, open_kernel
from conformance.kernels.compilers import using
from conformance.oracles.kvm.build import build_kvm
from conformance.oracles.shim.build import build_shim
from conformance.review import compare
from conformance.scenarios import run_scenarios

SERIES = os.environ.get("CONFORMANCE_KERNEL", "6.1")
CLANG = next(
    (name for name in ("clang", *(f"clang-{n}" for n in range(30, 14, -1))) if shutil.which(name)), None
)

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.slow,
    pytest.mark.skipif(CLANG is None, reason="needs clang"),
]


def quiet(line: str) -> None:
    pass


@pytest.fixture(autouse=True)
def clang():
    with using(CLANG):
        yield


@pytest.fixture
def kernel() -> Kernel:
    return open_kernel(SERIES)


def test_functions_answer_as_those_that_gcc_compiled():
    """Against the model, and against the fingerprints of the series, which were blessed with gcc."""
    report = run(PropertyPlan((SERIES,), engines=("fingerprint", "bulk"), budget=5, seed=1), progress=quiet)
    (kernel,) = report.kernels
    assert (
        report.status == 0 and kernel.compiler.startswith("clang ") and kernel.title == f"{SERIES} ({CLANG})"
    )
    assert kernel.semantics is not None and kernel.semantics.startswith("semantics: those blessed")


@pytest.mark.skipif(SERIES == "5.10", reason="5.10 is not run in TDP modes")
def test_stories_come_out_as_with_gcc():
    names = ("first_read", "eager_*", "*dirty*")
    report = run_scenarios.run(
        run_scenarios.ScenarioPlan((SERIES,), names=names, modes=("ept-ad",)), progress=quiet
    )
    assert report.status == 0
    assert report.summary[Verdict.PASS.value] > 3


@pytest.mark.parametrize(
    "use",
    [
        lambda kernel: build_shim(kernel, Cache(), quiet, traced=True),
        lambda kernel: build_kvm(kernel, Cache(), quiet, traced=True),
        lambda kernel: build_kvm(kernel, Cache(), quiet, racing=True),
        lambda kernel: compare(kernel, kernel),
    ],
    ids=["traced shim", "traced kvm", "races", "review"],
)
def test_what_needs_gcc_says_so(use, kernel):
    with pytest.raises(ConformanceError, match=r"gcc.*, and clang\S* is clang .*\. Use --cc gcc\."):
        use(kernel)

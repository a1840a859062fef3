# SPDX-License-Identifier: GPL-2.0-only
"""Reports to render: one of each verdict, and one of everything that could break a format."""

from __future__ import annotations

import pytest
from report_samples import NASTY, failed, found, result

from conformance.differential.verdict import KernelReport, Report, Verdict


@pytest.fixture
def mixed() -> Report:
    """Two kernels: one with every verdict, one that could not be built."""
    results = [
        result("is_writable_pte", Verdict.PASS),
        result(
            "is_writable_pte", Verdict.PASS, "2^11 combinations of 11 bits", engine="exhaustive", cases=2048
        ),
        failed(),
        failed(engine="bulk", mode="npt", reason="case 9 of 1000"),
        result("spte_to_pfn", Verdict.SKIP, "absent from this kernel", engine="-", mode="-"),
        result("make_spte", Verdict.ERROR, "the oracle hung\nin two lines"),
        result("make_mmio_spte", Verdict.MISS, ""),
    ]
    good = KernelReport(
        "6.1", "6.1 + fix.mbox", "6.1.176-1", drift="pinned 6.1.170-1 is gone", results=results
    )
    bad = KernelReport("tree:linux", "tree:linux", "", error="spte.c does not compile.\n  spte.c:3: error: x")
    return Report([good, bad], seed=7)


@pytest.fixture
def nasty() -> Report:
    """A report whose texts from outside are all malicious."""
    bad = found(
        inputs={NASTY: 1}, decoded={NASTY: NASTY}, kernel={NASTY: NASTY}, model={NASTY: ""}, again=NASTY
    )
    results = [
        failed(property=NASTY, mode=NASTY, reason=NASTY, counterexample=bad),
        failed(counterexample=found(crash=NASTY, kernel={}), reason=""),
        failed(mode="npt", counterexample=None, reason=""),
        result("a", Verdict.ERROR, NASTY, oracle=NASTY),
        result("b", Verdict.MISS, NASTY),
        result("c", Verdict.SKIP, NASTY),
        result("c", Verdict.PASS, NASTY),
    ]
    kernel = KernelReport(NASTY, NASTY, NASTY, drift=NASTY, results=results)
    return Report([kernel, KernelReport(NASTY, "#", NASTY, error=NASTY)], seed=0)


@pytest.fixture
def empty() -> Report:
    return Report([], seed=0)


@pytest.fixture
def idle() -> Report:
    """A kernel in which everything was skipped."""
    kernel = KernelReport("6.1", "6.1", "6.1.176-1", results=[result("a", Verdict.SKIP, "absent")])
    return Report([kernel], seed=0)


@pytest.fixture
def clean() -> Report:
    kernel = KernelReport("6.1", "6.1", "6.1.176-1", results=[result("is_writable_pte", Verdict.PASS)])
    return Report([kernel], seed=3)

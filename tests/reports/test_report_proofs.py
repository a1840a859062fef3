# SPDX-License-Identifier: GPL-2.0-only
"""The report of proofs: what is proved, refuted or neither, and kernels of which nothing could be."""

from __future__ import annotations

import io

from report_samples import NASTY, failed, result

from conformance.differential.verdict import PROVE, KernelReport, Report, Verdict
from conformance.reports.proofs import show
from conformance.reports.terminal import Screen


def shown(*kernels: KernelReport) -> str:
    written = io.StringIO()
    show(Report([*kernels], None), Screen(written))
    return written.getvalue()


def proof(name, verdict, reason, **changes):
    return result(name, verdict, reason, engine=PROVE, mode="-", **changes)


def judged(*results) -> KernelReport:
    return KernelReport("6.1", "6.1", "6.1.192-2", results=[*results])


def test_what_became_of_each_property():
    told = shown(
        judged(
            proof("is_large_pte", Verdict.PASS, "proved: 2^64 inputs, every host", cases=1024),
            proof("tdp_iter", Verdict.SKIP, "unproved: its input is a tree"),
            proof("spte_index", Verdict.SKIP, "absent: came with a commit"),
            failed(engine=PROVE),
        )
    )
    assert told.startswith("6.1  6.1.192-2  shim\n")
    assert "PROVED    is_large_pte" in told and "2^64, every host" in told
    assert "unproved  tdp_iter" in told and "spte_index" not in told
    assert "FAIL  spte_has_volatile_bits" in told and "conformance run" in told
    assert "3 properties: 1 PROVED, 1 REFUTED, 1 unproved; 1 absent" in told
    assert "on 1,024 random cases" in told


def test_kernels_of_which_nothing_could_be_proved_say_why():
    told = shown(
        KernelReport("5.10", "5.10", "", unreached="its kvm.ko has no types"),
        KernelReport("6.1", "6.1", "", error="it does not compile"),
    )
    assert "SKIP  its kvm.ko has no types" in told and "ERROR  it does not compile" in told
    assert "properties:" not in told


def test_nothing_reaches_the_terminal_that_moves_it():
    told = shown(KernelReport("6.1", NASTY, NASTY, results=[proof(NASTY, Verdict.SKIP, NASTY)]))
    assert "\x1b" not in told and "\x00" not in told


def test_what_the_code_has_no_way_into_is_named_apart():
    told = shown(
        judged(
            proof("make_spte", Verdict.PASS, "proved: 2^165 inputs, every host", cases=1024),
            proof("is_large_pte", Verdict.SKIP, "the compiler inlined it"),
        )
    )
    assert "1 property: 1 PROVED; 1 without access to the function" in told
    assert "without access (the JSON has the reasons): is_large_pte" in told

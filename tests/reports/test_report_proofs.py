# SPDX-License-Identifier: GPL-2.0-only
"""The report of proofs: proved, refuted and unproved properties, and kernels without any."""

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


def test_each_property_is_proved_refuted_or_unproved():
    text = shown(
        judged(
            proof("is_large_pte", Verdict.PASS, "proved: 2^64 inputs, every host", cases=1024),
            proof("tdp_iter", Verdict.SKIP, "unproved: its input is a tree"),
            proof("spte_index", Verdict.SKIP, "absent: came with a commit"),
            failed(engine=PROVE),
        )
    )
    assert text.startswith("6.1  6.1.192-2  shim\n")
    assert "PROVED    is_large_pte" in text and "2^64, every host" in text
    assert "unproved  tdp_iter" in text and "spte_index" not in text
    assert "FAIL  spte_has_volatile_bits" in text and "conformance run" in text
    assert "3 properties: 1 PROVED, 1 REFUTED, 1 unproved; 1 absent" in text
    assert "on 1,024 random cases" in text


def test_kernels_of_which_nothing_could_be_proved_say_why():
    text = shown(
        KernelReport("5.10", "5.10", "", unreached="its kvm.ko has no types"),
        KernelReport("6.1", "6.1", "", error="it does not compile"),
    )
    assert "SKIP  its kvm.ko has no types" in text and "ERROR  it does not compile" in text
    assert "properties:" not in text


def test_no_control_characters_reach_the_terminal():
    text = shown(KernelReport("6.1", NASTY, NASTY, results=[proof(NASTY, Verdict.SKIP, NASTY)]))
    assert "\x1b" not in text and "\x00" not in text


def test_unreachable_functions_are_listed_apart():
    text = shown(
        judged(
            proof("make_spte", Verdict.PASS, "proved: 2^165 inputs, every host", cases=1024),
            proof("is_large_pte", Verdict.SKIP, "the compiler inlined it"),
        )
    )
    assert "1 property: 1 PROVED; 1 without access to the function" in text
    assert "without access (the JSON has the reasons): is_large_pte" in text

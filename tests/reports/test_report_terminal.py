# SPDX-License-Identifier: GPL-2.0-only
"""The table has a line for each property; each difference is described once; all fits eighty columns."""

import io
import re

import pytest
from report_samples import failed, found, result

from conformance.differential.verdict import KernelReport, Report, Verdict
from conformance.reports.rows import IDLE
from conformance.reports.terminal import Screen, show


def shown(report: Report, monkeypatch, columns: str = "80") -> str:
    monkeypatch.setenv("COLUMNS", columns)
    stream = io.StringIO()
    show(report, Screen(stream))
    return stream.getvalue()


def test_one_line_per_property(mixed, monkeypatch):
    text = shown(mixed, monkeypatch)
    assert re.search(r"^ +property +bulk +exhaustive +fuzz +modes$", text, re.M)
    assert re.search(r"^PASS +is_writable_pte +65.5k +2.0k +- +1$", text, re.M)
    assert re.search(r"^FAIL +spte_has_volatile_bits +312 +- +312 +2$", text, re.M)
    assert text.count("is_writable_pte") == 1


def test_the_time_is_wall_time_not_a_sum(mixed, monkeypatch):
    assert " in 3.5 s" not in shown(mixed, monkeypatch) and "start to verdict" not in shown(
        mixed, monkeypatch
    )
    mixed.kernels[0].seconds = 2.0
    joined = " ".join(shown(mixed, monkeypatch).split())
    assert "68,208 cases, 2.0 s from start to verdict, seed 7" in joined


def test_reasons_follow_the_table(mixed, monkeypatch):
    text = shown(mixed, monkeypatch)
    assert text.startswith("6.1 + fix.mbox  6.1.176-1  shim\nnote: pinned 6.1.170-1 is gone\n")
    assert "\nSKIP   absent from this kernel: spte_to_pfn" in text.replace("SKIP  a", "SKIP   a")
    assert "ERROR  the oracle hung in two lines: make_spte (npt)" in text
    assert "no reason was given: make_mmio_spte (npt)" in text
    joined = " ".join(text.split())
    assert "5 properties: 1 PASS, 1 FAIL, 1 SKIP, 1 ERROR, 1 MISS; 68,208 cases, seed 7" in joined
    assert "ERROR  spte.c does not compile.\nERROR    spte.c:3: error: x" in text


def test_a_difference_is_described_once(mixed, monkeypatch):
    text = shown(mixed, monkeypatch)
    assert len(re.findall(r"^      again ", text, re.M)) == 1
    assert "      found   by fuzz in ept-ad; bulk in npt" in text


def test_different_differences_are_separate_with_their_smallest_inputs(monkeypatch):
    other = found(kernel={"memory": "1"}, model={"memory": "2"})
    small = found(inputs={"spte": 0x800})
    results = [failed(), failed(mode="npt", counterexample=small), failed(mode="m", counterexample=other)]
    text = shown(Report([KernelReport("6.1", "6.1", "", results=results)], 7), monkeypatch)
    assert len(re.findall(r"^      again ", text, re.M)) == 2
    assert "0x0000000000000800" in text and "found   by fuzz in npt, ept-ad" in text


def test_the_time_to_fetch_and_compile_is_shown(clean, monkeypatch):
    kernel = clean.kernels[0]
    kernel.seconds, kernel.prepared = 40.0, 35.0
    joined = " ".join(shown(clean, monkeypatch).split())
    assert "40 s from start to verdict (35 s to fetch and compile)" in joined


def test_a_legal_input_is_shown_before_a_smaller_one_that_is_not(monkeypatch):
    small = found(inputs={"spte": 1}, legal=False, precondition="this input breaks the precondition")
    results = [failed(counterexample=small), failed(mode="npt", counterexample=found(legal=True))]
    text = shown(Report([KernelReport("6.1", "6.1", "", results=results)], 7), monkeypatch)
    assert "0x0600000000000975" in text and "precondition" not in text


def test_fits_eighty_columns(mixed, monkeypatch):
    name = "kvm_mmu_changed_pte_notifier_make_spte"
    engines = ("fuzz", "bulk", "exhaustive")
    mixed.kernels[0].results += [
        result(name, Verdict.PASS, engine=engine, cases=999_900_000) for engine in engines
    ]
    text = shown(mixed, monkeypatch)
    long = [part for part in text.splitlines() if len(part) > 80]
    assert all(part.startswith("      again ") for part in long)
    assert re.search(rf"^PASS +{name} +999.9M", text, re.M)


def test_a_kernel_in_which_nothing_was_compared_says_so(idle, clean, monkeypatch):
    assert IDLE in shown(idle, monkeypatch)
    assert IDLE not in shown(clean, monkeypatch)


def test_an_empty_run_says_so(empty, monkeypatch):
    assert "nothing was compared" in shown(empty, monkeypatch)


def test_no_control_characters_reach_the_terminal(nasty, monkeypatch):
    text = shown(nasty, monkeypatch)
    assert "\\x1b[31mred" in text
    assert all(char == "\n" or char.isprintable() for char in text)


def test_colours_only_on_a_terminal(mixed, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    show(mixed, Screen(stream))
    assert "\x1b[" in stream.getvalue()
    assert "\x1b" not in shown(mixed, monkeypatch)


def test_a_broken_pipe_is_no_difference():
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        Screen(Closed()).print("x")


def test_a_kernel_out_of_reach_is_skipped_and_no_failure_beside_others(clean, monkeypatch):
    there = KernelReport("5.10", "5.10", "5.10.1-1", unreached="no way in")
    both = Report([*clean.kernels, there], seed=None)
    text = shown(both, monkeypatch)
    assert "SKIP  no way in" in text and "seed" not in text and IDLE not in text
    assert both.status == 0
    assert Report([there], seed=None).status == 2


def test_races_that_were_not_exhausted_are_listed_with_their_bounds(monkeypatch):
    said = "no invariant is violated: exhausted up to 3 preemptions"
    results = [
        result("a_race", Verdict.PASS, "exhausted", engine="kvm", explored={"exhausted": True}),
        result("another", Verdict.PASS, said, engine="kvm", explored={"exhausted": False}),
    ]
    text = " ".join(shown(Report([KernelReport("6.1", "6.1", "", results=results)], 7), monkeypatch).split())
    assert f"PASS {said}: another (npt)" in text
    assert "All inequivalent schedules were run in 1 of 2 races and modes." in text

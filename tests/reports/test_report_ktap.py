# SPDX-License-Identifier: GPL-2.0-only
"""KTAP has the form the kernel documents, and the kernel's own parser makes of it what we mean.

The parser comes with the fetched kernel; it is never part of this repository.
"""

import importlib
import inspect
import io
import re
import sys

import pytest
from report_samples import NASTY, failed, found, result

from conformance.differential.verdict import KernelReport, Report, Verdict
from conformance.kernels import open_kernel
from conformance.reports.ktap import render
from conformance.reports.rows import IDLE


def test_form(mixed):
    text = render(mixed)
    assert text.startswith(
        "KTAP version 1\n1..2\n# version: 6.1.176-1\n# note: pinned 6.1.170-1 is gone\n  KTAP version 1\n"
    )
    expected = """\
  KTAP version 1
  # Subtest: 6.1 + fix.mbox
  1..5
    KTAP version 1
    # Subtest: is_writable_pte
    1..2
    ok 1 npt bulk
    ok 2 npt exhaustive
  ok 1 is_writable_pte
    KTAP version 1
    # Subtest: spte_has_volatile_bits
    1..2
    # FAIL  spte_has_volatile_bits  ept-ad  6.1 + fix.mbox            case 312 of 65536, seed 7
"""
    assert expected in text
    assert "\n    not ok 1 ept-ad fuzz\n" in text
    assert "\n  not ok 2 spte_has_volatile_bits\n  ok 3 spte_to_pfn # SKIP absent from this kernel\n" in text
    assert (
        "  # ERROR  the oracle hung\n  # ERROR  in two lines\n  not ok 4 make_spte # ERROR the oracle" in text
    )
    assert "\n  not ok 5 make_mmio_spte # ERROR MISS\nnot ok 1 6.1 + fix.mbox\n" in text
    assert text.endswith("\nnot ok 2 tree:linux # ERROR spte.c does not compile. spte.c:3: error: x\n")


def test_diagnostics_stand_before_the_line_they_explain(mixed):
    text = render(mixed).splitlines()
    place = text.index("    not ok 1 ept-ad fuzz")
    assert text[place - 1].startswith("    #       again   conformance run ")


def test_plans_and_numbers(mixed, nasty):
    for report in (mixed, nasty):
        check_nesting(render(report).splitlines())


def check_nesting(text: list[str]) -> None:
    """Every plan is kept: as many results follow at its depth as it says, numbered from one."""
    plans: list[tuple[int, int, int]] = []
    for entry in text:
        assert entry.isprintable()
        depth = (len(entry) - len(entry.lstrip(" "))) // 2
        while plans and plans[-1][0] > depth:
            _, planned, seen = plans.pop()
            assert seen == planned
        if plan := re.fullmatch(r" *1\.\.([0-9]+)", entry):
            plans.append((depth, int(plan[1]), 0))
        elif line := re.match(r" *(?:not )?ok ([0-9]+) ", entry):
            _, planned, seen = plans.pop()
            assert int(line[1]) == seen + 1
            plans.append((depth, planned, seen + 1))
        else:
            assert re.match(r" *(KTAP version 1$|# )", entry)
    assert [(depth, planned == seen) for depth, planned, seen in plans] == [(0, True)]


@pytest.fixture
def parsed(kernel, monkeypatch):
    """Reads a report with the parser of the kernel under test: it, its Test, and what it printed."""
    if kernel.release < (6, 1):
        kernel = open_kernel("6.1")  # 5.10's is older than KTAP
    monkeypatch.syspath_prepend(str(kernel.root / "src" / "tools/testing/kunit"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    parser = importlib.import_module("kunit_parser")

    def read(report: Report):
        printer = importlib.import_module("kunit_printer").Printer(output=(out := io.StringIO()))
        text = render(report).splitlines()
        if "printer" in inspect.signature(parser.parse_run_tests).parameters:
            return parser, parser.parse_run_tests(text, printer), out
        parser.stdout._output = out  # Before it took one, the parser printed to one printer of its own.
        return parser, parser.parse_run_tests(text), out

    yield read
    for name in ("kunit_parser", "kunit_printer"):
        sys.modules.pop(name, None)


def tree(test):
    return {child.name: tree(child) if child.subtests else child.status.name for child in test.subtests}


@pytest.mark.kernel
def test_the_kernels_parser_reads_it(mixed, parsed):
    parser, test, out = parsed(mixed)
    assert tree(test) == {
        "6.1 + fix.mbox": {
            "is_writable_pte": {"npt bulk": "SUCCESS", "npt exhaustive": "SUCCESS"},
            "spte_has_volatile_bits": {"ept-ad fuzz": "FAILURE", "npt bulk": "FAILURE"},
            "spte_to_pfn": "SKIPPED",
            "make_spte": "FAILURE",
            "make_mmio_spte": "FAILURE",
        },
        "tree:linux": "FAILURE",
    }
    counts = test.counts
    assert (counts.passed, counts.failed, counts.skipped, counts.crashed, counts.errors) == (2, 5, 1, 0, 0)
    assert test.status is parser.TestStatus.FAILURE
    assert "kernel  false" in out.getvalue()


@pytest.mark.kernel
def test_the_kernels_parser_reads_one_difference_in_many_results(parsed):
    results = [failed(engine=engine, mode=mode) for mode in ("npt", "ept-ad") for engine in ("bulk", "fuzz")]
    _, test, out = parsed(Report([KernelReport("6.1", "6.1", "", results=results)], 7))
    named = {f"{one.mode} {one.engine}": "FAILURE" for one in results}
    assert tree(test) == {"6.1": {"spte_has_volatile_bits": named}}
    assert (test.counts.failed, test.counts.errors) == (4, 0)
    assert out.getvalue().count("kernel  false") == 1


@pytest.mark.kernel
def test_the_kernels_parser_reads_odd_text(nasty, parsed):
    parser, test, _ = parsed(nasty)
    counts = test.counts
    assert (counts.passed, counts.failed, counts.skipped, counts.crashed, counts.errors) == (1, 6, 1, 0, 0)
    assert [child.status for child in test.subtests] == [parser.TestStatus.FAILURE] * 2


@pytest.mark.kernel
def test_the_kernels_parser_reads_runs_without_results(clean, idle, empty, parsed):
    parser, test, _ = parsed(clean)
    assert (test.status, test.counts.errors) == (parser.TestStatus.SUCCESS, 0)
    _, test, _ = parsed(idle)
    assert (test.status, test.counts.errors) == (parser.TestStatus.FAILURE, 0)
    _, test, _ = parsed(empty)
    assert test.status is parser.TestStatus.NO_TESTS


@pytest.mark.kernel
def test_the_kernels_parser_keeps_names_apart(parsed):
    """A child of its parent's name, or one that looks like a header, would end or open a subtest."""
    results = [
        result("6.1", Verdict.PASS),
        result("Subtest: x", Verdict.SKIP, "a # SKIP b"),
        result("e", Verdict.ERROR, "Subtest: x\nKTAP version 1\n1..9 # SKIP b"),
        failed(property="- f", counterexample=found(decoded={"spte": NASTY})),
    ]
    _, test, _ = parsed(Report([KernelReport("6.1", "6.1", "Subtest: y", results=results)], 7))
    assert tree(test) == {"6.1": {"6.1_": "SUCCESS", "Subtest: x": "SKIPPED", "e": "FAILURE", "f": "FAILURE"}}
    assert test.counts.errors == 0


def test_nothing_compared_is_not_ok(idle):
    assert f"not ok 1 6.1 # ERROR {IDLE}" in render(idle)


def test_an_empty_run(empty):
    assert render(empty) == "KTAP version 1\n1..0\n"

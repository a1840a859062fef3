# SPDX-License-Identifier: GPL-2.0-only
"""Every report says how patches were applied if they did not match exactly."""

import importlib
import io
import json

import pytest
from rich.console import Console

from conformance.differential.verdict import KernelReport, Report, Result, Verdict
from conformance.reports import review, terminal
from conformance.review.review import Review

NOTE = "hunk 1 of spte.h applied with fuzz 1"


def report() -> Report:
    result = Result("is_large_pte", "shim", "bulk", "npt", Verdict.PASS, 512)
    return Report([KernelReport("6.1", "6.1 + p", "6.1.1", results=[result], notes=(NOTE,))], 7)


@pytest.mark.parametrize("form", ["mail", "ktap", "junit", "json"])
def test_in_files(form):
    text = importlib.import_module(f"conformance.reports.{form}").render(report())
    assert NOTE in " ".join(text.split())


def test_on_the_terminal():
    shown = io.StringIO()
    terminal.show(report(), Console(file=shown, width=120))
    assert f"note: {NOTE}" in shown.getvalue()


def test_of_a_comparison_of_two_kernels():
    shown = io.StringIO()
    one = Review("6.1", "6.1 + p", (), notes=(NOTE,))
    review.show(one, Console(file=shown, width=120))
    assert f"note: {NOTE}" in shown.getvalue()
    assert json.loads(review.render(one))["notes"] == [NOTE]
    assert review.as_report(one, 7).kernels[0].notes == (NOTE,)

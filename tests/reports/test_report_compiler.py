# SPDX-License-Identifier: GPL-2.0-only
"""Every report names the compiler of the code."""

from __future__ import annotations

import io
import json as stdlib_json

import pytest
from report_samples import result
from rich.console import Console

from conformance.differential.verdict import KernelReport, Report, Verdict
from conformance.reports import json, junit, ktap, mail, terminal

COMPILER = "clang 16.0.6 (Debian 15~deb12u1)"


@pytest.fixture
def report() -> Report:
    results = [result("is_writable_pte", Verdict.PASS)]
    return Report([KernelReport("6.1", "6.1 (clang-16)", "6.1.176-1", results=results, compiler=COMPILER)], 1)


def test_every_report_names_it(report):
    screen = Console(file=io.StringIO(), width=200)
    terminal.show(report, screen)
    assert COMPILER in screen.file.getvalue().splitlines()[0]
    assert stdlib_json.loads(json.render(report))["kernels"][0]["compiler"] == COMPILER
    assert f'<property name="compiler" value="{COMPILER}"' in junit.render(report)
    assert f"# compiler: {COMPILER}" in ktap.render(report)
    assert f"compiled with {COMPILER}" in mail.render(report)

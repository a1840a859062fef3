# SPDX-License-Identifier: GPL-2.0-only
"""Every report names the broken rule, and marks an input that no caller in the kernel can give."""

from __future__ import annotations

import importlib

import pytest
from report_samples import failed, found

from conformance.differential.verdict import KernelReport, Report

NOTE = "this input breaks the precondition: spte is not huge"
RULE = "Dirty was lost"


@pytest.mark.parametrize("name", ["json", "junit", "ktap", "sarif", "mail"])
def test_rule_and_precondition_are_in_every_report(name):
    shown = found(rule=RULE, source="spte.h", legal=False, precondition=NOTE)
    report = Report([KernelReport("6.1", "6.1", "6.1.1", results=[failed(counterexample=shown)])], 7)
    text = " ".join(importlib.import_module(f"conformance.reports.{name}").render(report).split())
    text = text.replace(" # ", " ")
    assert RULE in text
    assert NOTE in text


@pytest.mark.parametrize("name", ["json", "junit", "ktap", "sarif", "mail"])
def test_a_legal_input_is_not_remarked_on(name):
    shown = found(rule=RULE, source="spte.h", legal=True)
    report = Report([KernelReport("6.1", "6.1", "6.1.1", results=[failed(counterexample=shown)])], 7)
    text = importlib.import_module(f"conformance.reports.{name}").render(report)
    assert "breaks the precondition" not in text

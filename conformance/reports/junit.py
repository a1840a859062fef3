# SPDX-License-Identifier: GPL-2.0-only
"""The report as JUnit XML for CI: a suite for each kernel, a case for each property, mode and engine.

A difference is described in the first case that shows it; the others refer to that one.

junit-xml has had no release since 2020, so it is used in this module only, and its output is read back: it
lets some characters through that XML forbids, and counts errors without a message that it does not write.
Jenkins reads the report by a schema that has no ``disabled`` and requires decimal times.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from junit_xml import TestCase, TestSuite, to_xml_report_string

from conformance.differential.verdict import KernelReport, Report, Result, Verdict
from conformance.errors import ConformanceError
from conformance.reports.difference import difference, headline
from conformance.reports.grouping import Once
from conformance.reports.rows import ALL, place, rows
from conformance.reports.text import line, lines

__all__ = ["render"]

_ELEMENTS = {
    Verdict.FAIL: "failure",
    Verdict.SKIP: "skipped",
    Verdict.ERROR: "error",
    Verdict.MISS: "error",
}
_COUNTS = {"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"}


def render(report: Report) -> str:
    """The report as an XML document.

    Raises :class:`ConformanceError` if the document, read back, does not contain all results.
    """
    suites = [_suite(kernel, report.seed) for kernel in report.kernels]
    written = to_xml_report_string(suites, prettyprint=False)
    try:
        root = ET.fromstring(written)
    except ET.ParseError as problem:
        raise ConformanceError(
            f"The JUnit report is not well-formed XML ({problem}). Please report this; "
            "--json holds the same results."
        ) from problem
    _check(root, report)
    for element in root.iter():
        # Not in the schema of Jenkins.
        element.attrib.pop("disabled", None)
    for case in root.iter("testcase"):
        # junit-xml omits a time of zero; some readers then show no duration for the whole suite.
        case.set("time", _decimal(float(case.get("time", "0"))))
    wall = [report.seconds, *(kernel.seconds for kernel in report.kernels)]
    for element, seconds in zip([root, *root.findall("testsuite")], wall, strict=True):
        # junit-xml adds the times of cases, which ran in parallel.
        element.attrib.pop("time", None)
        if seconds is not None:
            element.set("time", _decimal(seconds))
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _decimal(seconds: float) -> str:
    return f"{seconds:.3f}"


def _suite(kernel: KernelReport, seed: int | None) -> TestSuite:
    properties = {"selector": line(kernel.selector), "version": line(kernel.version)}
    if seed is not None:
        properties["seed"] = str(seed)
    if kernel.compiler:
        properties["compiler"] = line(kernel.compiler)
    if kernel.drift:
        properties["drift"] = line(kernel.drift)
    if kernel.notes:
        properties["notes"] = line("; ".join(kernel.notes))
    if kernel.disagreement:
        properties["disagreement"] = line(kernel.disagreement)
    results = rows(kernel)
    once = Once(results)
    cases = [_case(row, kernel.title, seed, once) for row in results]
    return TestSuite(line(kernel.title), cases, properties=properties)


def _case(result: Result, title: str, seed: int | None, once: Once) -> TestCase:
    parts = ["conformance", result.oracle, "kernel" if result.property == ALL else result.property]
    case = TestCase(
        name=line(place(result)),
        classname=".".join(line(part) for part in parts if part != ALL),
        elapsed_sec=result.seconds,
    )
    reason = line(result.reason)
    if result.verdict is Verdict.FAIL:
        found = once.of(result)
        if isinstance(found, Result):
            text = f"The difference described at {line(place(found))}."
        else:
            text = "\n".join(difference(found.shown, title, seed, others=found.others))
        case.add_failure_info(headline(result), text, failure_type="FAIL")
    elif result.verdict is Verdict.SKIP:
        case.add_skipped_info(reason or "skipped")
    elif result.verdict in (Verdict.ERROR, Verdict.MISS):
        default = "expected, but did not run" if result.verdict is Verdict.MISS else "could not be judged"
        case.add_error_info(
            reason or default, "\n".join(lines(result.reason)), error_type=result.verdict.value
        )
    elif reason:
        first, *more = lines(result.reason)
        case.stdout = "\n".join([f"{result.cases} cases: {first}", *more])
    return case


def _check(root: ET.Element, report: Report) -> None:
    """Raise ConformanceError unless the counts, the elements and the report agree."""
    suites = root.findall("testsuite")
    if len(suites) != len(report.kernels):
        raise ConformanceError(_mismatch("suites", len(suites), len(report.kernels)))
    for suite, kernel in zip(suites, report.kernels, strict=True):
        results = rows(kernel)
        for attribute, tag in _COUNTS.items():
            expected = len(results)
            if attribute != "tests":
                expected = sum(_ELEMENTS.get(result.verdict) == tag for result in results)
            for found in (int(suite.get(attribute, "-1")), sum(1 for _ in suite.iter(tag))):
                if found != expected:
                    raise ConformanceError(_mismatch(f"{attribute} of {kernel.title}", found, expected))


def _mismatch(what: str, found: int, expected: int) -> str:
    return (
        f"The JUnit report, read back, has {found} instead of {expected} {what}. Please report this; "
        "--json holds the same results."
    )

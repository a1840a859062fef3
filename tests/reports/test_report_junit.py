# SPDX-License-Identifier: GPL-2.0-only
"""JUnit is well-formed, counts right, and keeps FAIL, ERROR, MISS and SKIP apart."""

import re
import xml.etree.ElementTree as ET

import pytest
from report_samples import failed

from conformance.errors import ConformanceError
from conformance.reports import junit


def suites(report):
    return ET.fromstring(junit.render(report).encode()).findall("testsuite")


def counts(suite):
    return {name: int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped")}


def test_a_suite_per_kernel_a_case_per_result(mixed):
    good, bad = suites(mixed)
    assert (good.get("name"), bad.get("name")) == ("6.1 + fix.mbox", "tree:linux")
    assert counts(good) == {"tests": 7, "failures": 2, "errors": 2, "skipped": 1}
    assert counts(bad) == {"tests": 1, "failures": 0, "errors": 1, "skipped": 0}
    case = good.findall("testcase")[2]
    assert case.get("classname") == "conformance.shim.spte_has_volatile_bits"
    assert (case.get("name"), float(case.get("time"))) == ("ept-ad fuzz", 0.25)
    assert all(case.get("time") is not None for case in good.iter("testcase"))
    properties = {entry.get("name"): entry.get("value") for entry in good.iter("property")}
    assert properties == {
        "selector": "6.1",
        "version": "6.1.176-1",
        "seed": "7",
        "drift": "pinned 6.1.170-1 is gone",
    }


def test_each_verdict_has_its_element(mixed):
    cases = suites(mixed)[0].findall("testcase")
    assert [[(child.tag, child.get("type")) for child in case] for case in cases] == [
        [],
        [("system-out", None)],
        [("failure", "FAIL")],
        [("failure", "FAIL")],
        [("skipped", "skipped")],
        [("error", "ERROR")],
        [("error", "MISS")],
    ]
    failure = cases[2][0]
    assert failure.get("message").startswith("spte=0x600000000000975: returns is false")
    assert failure.text.startswith("FAIL  spte_has_volatile_bits") and "\n      again " in failure.text
    assert cases[4][0].get("message") == "absent from this kernel"
    assert cases[5][0].text == "the oracle hung\nin two lines"
    assert cases[6][0].get("message") == "expected, but did not run"


ELEMENTS = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, set(), {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "time", "skipped", "timestamp", "hostname", "id", "package"},
        {"name", "tests", "failures", "errors"},
        {"properties", "testcase", "system-out", "system-err"},
    ),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, {"name", "value"}, set()),
    "testcase": (
        {"name", "time", "classname", "group"},
        {"name"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "failure": ({"type", "message"}, set(), set()),
    "error": ({"type", "message"}, set(), set()),
    "skipped": ({"type", "message"}, set(), set()),
    "system-out": (set(), set(), set()),
    "system-err": (set(), set(), set()),
}
"""What Jenkins' xunit plugin accepts of each element: its attributes, the required ones, its children."""


def check(element):
    """Hold an element, and those in it, against the table; times are decimals."""
    attributes, required, children = ELEMENTS[element.tag]
    assert required <= {*element.attrib} <= attributes, f"{element.tag}: {element.attrib}"
    assert re.fullmatch(r"[0-9]+\.[0-9]{3}", element.get("time", "0.000")), element.get("time")
    for child in element:
        assert child.tag in children, f"{child.tag} in {element.tag}"
        check(child)


def test_jenkins_schema_accepts_it(mixed, nasty, empty, idle):
    mixed.kernels[0].results.append(failed(seconds=0.00001234))
    for report in (mixed, nasty, empty, idle):
        root = ET.fromstring(junit.render(report).encode())
        assert root.tag == "testsuites"
        check(root)


def test_the_time_of_a_suite_is_wall_time(mixed):
    mixed.kernels[0].seconds, mixed.seconds = 1.5, 2.25
    root = ET.fromstring(junit.render(mixed).encode())
    assert [root.get("time"), *(suite.get("time") for suite in root)] == ["2.250", "1.500", None]


def test_nothing_compared_is_an_error(idle, clean):
    assert counts(suites(idle)[0]) == {"tests": 2, "failures": 0, "errors": 1, "skipped": 1}
    assert counts(suites(clean)[0]) == {"tests": 1, "failures": 0, "errors": 0, "skipped": 0}


def test_odd_text_stays_well_formed(nasty):
    first, second = suites(nasty)
    assert counts(first) == {"tests": 7, "failures": 3, "errors": 2, "skipped": 1}
    assert counts(second)["errors"] == 1
    assert "\\x1b[31mred\\x00" in first.get("name") and "\\ud800" in first.get("name")


def test_an_empty_run(empty):
    assert suites(empty) == []


@pytest.mark.parametrize("attribute", ["tests", "failures", "errors", "skipped"])
def test_a_wrong_count_is_noticed(mixed, monkeypatch, attribute):
    real = junit.to_xml_report_string

    def wrong(*args, **kwargs):
        root = ET.fromstring(real(*args, **kwargs))
        root[0].set(attribute, "99")
        return ET.tostring(root, encoding="unicode")

    monkeypatch.setattr(junit, "to_xml_report_string", wrong)
    with pytest.raises(ConformanceError, match=f"99 instead of . {attribute}"):
        junit.render(mixed)


def test_a_lost_element_and_broken_xml_are_noticed(mixed, monkeypatch):
    real = junit.to_xml_report_string
    monkeypatch.setattr(junit, "to_xml_report_string", lambda *a, **k: real(*a, **k).replace("failure", "x"))
    with pytest.raises(ConformanceError):
        junit.render(mixed)
    monkeypatch.setattr(junit, "to_xml_report_string", lambda *a, **k: real(*a, **k) + "\x00")
    with pytest.raises(ConformanceError, match="not well-formed"):
        junit.render(mixed)

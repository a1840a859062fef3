# SPDX-License-Identifier: GPL-2.0-only
"""One fault that shows in every mode and by every engine is described once; its tests keep their status."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET

import pytest
from report_samples import failed, found, result
from review_samples import function, review

from conformance.differential.verdict import KernelReport, Report, Verdict
from conformance.reports import junit, ktap, mail, sarif
from conformance.reports.difference import BEFORE_AFTER, headline
from conformance.reports.grouping import differences, places
from conformance.reports.review import as_report
from conformance.review import Standing

MODES = [f"mode{n}" for n in range(12)]
ENGINES = ["bulk", "exhaustive", "fingerprint"]
SMALLEST = found(inputs={"spte": 0x800})


@pytest.fixture
def same() -> Report:
    """One fault in 36 results and by prove, another fault of the same property, and a PASS."""
    many = [failed(engine=engine, mode=mode) for mode in MODES for engine in ENGINES]
    many[19] = failed(engine="exhaustive", mode="mode6", counterexample=SMALLEST)
    other = failed(mode="npt", counterexample=found(kernel={"memory": "1"}, model={"memory": "2"}))
    passed = result("spte_has_volatile_bits", Verdict.PASS, engine="bulk", mode="npt")
    proved = failed(engine="prove", mode="-")
    return Report([KernelReport("6.1", "6.1", "6.1-1", results=[*many, proved, other, passed])], seed=7)


def test_which_results_are_one_difference(same):
    one, other = differences(same.kernels[0].results)
    assert one.shown.counterexample is SMALLEST and len(one.others) == 36 and other.others == ()
    assert one.shown in one and other.shown not in one


def test_places_name_engines_and_modes():
    assert (
        places([failed(mode="a"), failed(mode="b"), failed(engine="bulk", mode="a")])
        == "fuzz in a, b; bulk in a"
    )
    assert places([failed(mode="a"), failed(engine="bulk", mode="a")]) == "fuzz and bulk in a"
    assert places([failed(mode="-")]) == "fuzz" and places([failed(engine="-")]) == ""


def test_a_mail_is_short_and_names_modes_and_engines(same):
    text = mail.render(same)
    assert len(re.findall(r"^FAIL ", text, re.M)) == len(re.findall(r"^      again ", text, re.M)) == 2
    assert len(text.splitlines()) < 40
    joined = " ".join(text.split())
    assert "found by exhaustive, bulk and fingerprint in mode6, mode0, mode1, " in joined
    assert "mode11; prove again " in joined


def test_ktap_has_every_status_and_each_difference_once(same):
    text = ktap.render(same)
    assert len(re.findall(r"^    not ok \d+ mode\d+ (bulk|exhaustive|fingerprint)$", text, re.M)) == 36
    assert len(re.findall(r"#       again ", text)) == 2
    assert text.index("0x0000000000000800") < text.index("not ok 1 mode0 bulk")
    assert text.count("# FAIL  the difference described at mode0 bulk\n") == 36
    assert len(text.splitlines()) < 130


def test_junit_has_every_status_and_each_difference_once(same):
    failures = [*ET.fromstring(junit.render(same).encode()).iter("failure")]
    assert len(failures) == 38
    assert sum("again " in failure.text for failure in failures) == 2
    assert failures[0].text.count("0x0000000000000800") == 1
    assert failures[1].text == "The difference described at mode0 bulk."
    assert all(failure.get("message") for failure in failures)


def test_sarif_has_a_result_for_each_difference(same):
    results = json.loads(sarif.render(same))["runs"][0]["results"]
    assert len(results) == 2
    assert "mode11" in results[0]["message"]["text"]
    assert len({one["partialFingerprints"]["finding/v1"] for one in results}) == 2


def test_a_fault_shows_in_more_columns_with_some_inputs():
    def differs(*columns: str):
        seen = found(kernel=dict.fromkeys(columns, "1"), model=dict.fromkeys(columns, "2"))
        return failed(counterexample=seen)

    value, accesses, both = differs("value"), differs("accesses"), differs("value", "accesses")
    assert len(differences([value, accesses])) == 2
    assert len(differences([value, accesses, both])) == len(differences([both, value, accesses])) == 1
    crashed = failed(counterexample=found(crash="died", kernel={}))
    assert len(differences([both, crashed, crashed])) == 2
    assert len(differences([both, failed(property="other", counterexample=both.counterexample)])) == 2
    assert len(differences([failed(counterexample=None, reason=why) for why in ("a", "b", "a")])) == 2


@pytest.mark.parametrize("render", [junit.render, ktap.render])
def test_a_review_has_a_before_and_an_after_and_no_model(render):
    differs = review(function("make_spte", Standing.DIFFERS, difference=found(again="conformance diff a b")))
    text = render(as_report(differs, None))
    assert re.search(r"before +false", text) and re.search(r"after +true", text)
    assert "kernel  false" not in text and "model" not in text and "found " not in text


def test_the_headline_of_a_review():
    result = failed(oracle="review", counterexample=found(sides=BEFORE_AFTER))
    assert headline(result).endswith("returns is false before, true after")

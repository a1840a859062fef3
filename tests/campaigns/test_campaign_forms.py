"""Every kind of campaign as JUnit, JSON and KCIDB, read from a file that is made by hand."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

pytest.importorskip("duckdb")
pytest.importorskip("kcidb_io")

from campaign_samples import campaign, commit, comparison, mutant
from kcidb_io.schema import LATEST

from conformance.campaigns.unit import Row
from conformance.errors import ConformanceError
from conformance.reports import campaign_kcidb
from conformance.reports.campaign_forms import render, status


def junit(found) -> ET.Element:
    return ET.fromstring(render(found, "junit"))


def kcidb(found) -> dict:
    document = json.loads(render(found, "kcidb"))
    LATEST.validate(document)
    assert document == json.loads(render(found, "kcidb"))
    return document


def test_comparisons(tmp_path):
    rows = [
        comparison("PASS"),
        comparison("FAIL"),
        comparison("SKIP", mode="ept-ad"),
        comparison("PASS", subject="a_race", kernel="7.2", version="7.2.1-1"),
        Row("lockstep", "ERROR", "6.1", reason="it was killed"),
    ]
    found = campaign(tmp_path / "one", "races", rows)
    assert status(found) == 1
    suites = junit(found).findall("testsuite")
    assert {suite.get("name"): len(suite.findall("testcase")) for suite in suites} == {"6.1": 3, "7.2": 1}
    assert len(junit(found).findall(".//failure")) == len(junit(found).findall(".//error")) == 1
    document = kcidb(found)
    paths = {(one["path"], one["status"]) for one in document["tests"]}
    assert ("kvm.mmu.a_race", "PASS") in paths and ("kvm.mmu.lockstep", "FAIL") in paths
    assert len(document["checkouts"]) == 2
    (failed,) = (one for one in document["tests"] if one["status"] == "FAIL")
    assert failed["misc"]["counterexample"]["again"] == "conformance lockstep --seed 6"
    assert failed["environment"]["misc"]["hosts"] == ["host"] and failed["duration"] == 4.0
    assert status(campaign(tmp_path / "two", "races", [rows[0]], planned=2)) == 2


def test_a_function_with_survivors_is_no_failure(tmp_path):
    rows = [
        mutant("compared"),
        mutant("survived"),
        mutant("survived", "mmu_spte", runs=9, before="\tnine();"),
        mutant("equivalent", "unseen"),
        Row("mutants", "ERROR", "6.1", reason="no coverage"),
    ]
    found = campaign(tmp_path / "out", "mutants", rows)
    assert status(found) == 0
    (suite,) = junit(found)
    cases = {case.get("classname"): case for case in suite.findall("testcase")}
    assert {name.rpartition(".")[2] for name in cases} == {"make_spte", "mmu_spte", "unseen", "kernel"}
    counts = {name: int(suite.get(name)) for name in ("failures", "errors", "skipped")}
    assert counts == {"failures": 0, "errors": 1, "skipped": 1}
    said = cases["conformance.kvm.make_spte"].findtext("system-out").splitlines()
    assert said[0] == "2 cases: score 50.0%: 1 of 2 decided mutants are compared"
    assert said[1] == "survived arch/x86/kvm/mmu/spte.c:100: > becomes >="
    assert said[3].endswith("if (a >= b)") and said[3].startswith("+")
    document = kcidb(found)
    numbers = {one["path"]: one.get("number") for one in document["tests"]}
    assert numbers == {
        "kvm.mmu.mutants.make_spte": {"value": 50.0, "unit": "%"},
        "kvm.mmu.mutants.mmu_spte": {"value": 0.0, "unit": "%"},
        "kvm.mmu.mutants": None,
    }
    assert [one["status"] for one in document["tests"]] == ["DONE", "DONE", "ERROR"]


def test_a_commit_is_a_suite_as_in_patch(tmp_path):
    rows = [
        commit(3, "says that nothing changes, and changes behaviour", "c", claim="NFC.", found=True),
        commit(1, "no functional change, proved", "a"),
        commit(2, "nothing here concerns the MMU", "b"),
        Row("commits", "ERROR", reason="internal error"),
    ]
    found = campaign(tmp_path / "out", "commits", rows)
    assert status(found) == 1
    suites = junit(found).findall("testsuite")
    assert [suite.get("name") for suite in suites] == [
        *(f"00000000000{n} {s}" for n, s in zip("123", "abc", strict=True)),
        "commits",
    ]
    assert [suite.get("failures") for suite in suites] == ["0", "0", "1", "0"]
    assert [suite.get("errors") for suite in suites] == ["0", "0", "0", "1"]
    document = kcidb(found)
    assert [one["status"] for one in document["tests"]] == ["PASS", "SKIP", "FAIL", "ERROR"]
    assert len(document["checkouts"]) == 4
    assert status(campaign(tmp_path / "two", "commits", rows[1:3])) == 0


def test_json_has_all_rows_of_any_kind(tmp_path):
    for kind, row in (
        ("mutants", mutant("survived")),
        ("commits", commit(1, "x", "y")),
        ("races", comparison("PASS")),
    ):
        document = json.loads(render(campaign(tmp_path / kind, kind, [row]), "json"))
        assert document["kind"] == kind and len(document["rows"]) == 1


def test_an_invalid_document_of_mutants_is_refused(tmp_path, monkeypatch):
    found = campaign(tmp_path / "out", "mutants", [mutant("survived")])
    monkeypatch.setattr(campaign_kcidb, "PATH", "no path")
    with pytest.raises(ConformanceError, match="The KCIDB document is invalid"):
        render(found, "kcidb")

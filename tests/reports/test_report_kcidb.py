# SPDX-License-Identifier: GPL-2.0-only
"""KCIDB: valid by its library, all results with their statuses, ids that are stable, and nothing invalid."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import datetime, timezone

import pytest
from report_samples import failed, result
from review_samples import series as sample

pytest.importorskip("kcidb_io")

from kcidb_io.schema import LATEST

from conformance.differential.verdict import KernelReport, Report, Source, Verdict
from conformance.errors import ConformanceError
from conformance.kernels.mails import Mail
from conformance.reports import kcidb
from conformance.reports.rows import rows
from conformance.reports.series import as_report
from conformance.review.series import Part, Series, sources

BEGUN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def made(report: Report, begun=BEGUN) -> dict:
    document = json.loads(kcidb.render(report, begun, ["host"]))
    assert LATEST.is_compatible(document) and LATEST.validate(document) is document
    return document


def test_every_row_is_a_test_with_its_verdict(mixed, nasty, empty, idle, clean):
    for report in (mixed, nasty, empty, idle, clean):
        document = made(report)
        expected = [row.verdict.value for kernel in report.kernels for row in rows(kernel)]
        assert [one["status"] for one in document["tests"]] == expected
        assert len(document["builds"]) == len(document["checkouts"]) == len(report.kernels)
    statuses = LATEST.json["$defs"]["status"]["enum"]
    assert {verdict.value for verdict in Verdict} <= {*statuses}


def test_a_difference_has_its_counterexample(mixed):
    document = made(mixed)
    test = next(one for one in document["tests"] if one["status"] == "FAIL")
    assert test["path"] == "kvm.mmu.spte_has_volatile_bits" and test["duration"] == 0.25
    about = test["misc"]
    assert (about["mode"], about["engine"], about["oracle"], about["seed"]) == ("ept-ad", "fuzz", "shim", 7)
    assert about["counterexample"]["kernel"] == {"returns": "false"}
    assert "again   conformance run" in test["log_excerpt"]
    assert test["start_time"] == document["checkouts"][0]["start_time"] == "2026-01-02T03:04:05+00:00"
    assert "compiled from the kernel's source" in test["environment"]["comment"]
    assert test["environment"]["misc"]["hosts"] == ["host"]
    assert "null" not in json.dumps(document)


def test_what_could_not_be_built_is_an_error(mixed):
    document = made(mixed)
    good, bad = document["builds"]
    assert bad["status"] == "ERROR" and bad["log_excerpt"].startswith("spte.c does not compile.")
    assert "status" not in good, "it is not known what compiled it"
    assert [one["path"] for one in document["tests"] if one["build_id"] == bad["id"]] == ["kvm.mmu"]


def test_where_the_code_comes_from():
    patches = ("a" * 64, "b" * 64)
    source = Source("c" * 40, patches, "1@invalid", "d" * 64)
    passed = result("make_spte", Verdict.PASS)
    given = KernelReport(
        "tree:x@y", "x", "7", compiler="gcc 12", results=[passed], prepared=3.0, source=source
    )
    document = made(Report([given], 1))
    (checkout,), (build,) = document["checkouts"], document["builds"]
    text = "".join(f"{one}\n" for one in patches)
    assert checkout["patchset_hash"] == hashlib.sha256(text.encode()).hexdigest()
    assert (checkout["git_commit_hash"], checkout["message_id"]) == ("c" * 40, "1@invalid")
    assert (build["status"], build["compiler"], build["duration"]) == ("PASS", "gcc 12", 3.0)
    assert build["architecture"] == "x86_64" and checkout["valid"]
    bare = replace(given, source=Source(message_id="no address"))
    (checkout,) = made(Report([bare], 1))["checkouts"]
    assert checkout["patchset_hash"] == "" and not {"git_commit_hash", "message_id"} & {*checkout}
    (checkout,) = made(Report([replace(given, source=None)], 1))["checkouts"]
    assert "patchset_hash" not in checkout


def test_ids_depend_on_what_they_identify(mixed):
    first, again = made(mixed), made(mixed)
    assert first == again
    later = made(mixed, datetime(2026, 1, 3, tzinfo=timezone.utc))
    for name in ("checkouts", "builds"):
        assert [one["id"] for one in first[name]] == [one["id"] for one in later[name]]
    assert not {one["id"] for one in first["tests"]} & {one["id"] for one in later["tests"]}
    twice = Report([mixed.kernels[0], replace(mixed.kernels[0])], 7)
    twice.kernels[1].compiler = "clang 19"
    document = made(twice)
    assert (len(document["checkouts"]), len(document["builds"])) == (1, 2)


def test_a_tree_on_disk_is_another_checkout_once_it_changes():
    given = [
        KernelReport("tree:x", "tree:x", "7 (tree)", source=Source(digest=digest)) for digest in ("1", "2")
    ]
    assert len(made(Report(given, None))["checkouts"]) == 2


def test_a_review_of_a_series():
    mails = [Mail(diff=text, message_id=f"{number}@invalid") for number, text in enumerate((b"a\n", b"b\n"))]
    given = Series(tuple(Part(f"{number}", mail, None) for number, mail in enumerate(mails)))
    report = as_report(replace(sample(), sources=sources(given, 0, "e" * 40)), 0)
    digests = [hashlib.sha256(mail.diff).hexdigest() for mail in mails]
    assert [kernel.source.patches for kernel in report.kernels] == [(digests[0],), (*digests,), (*digests,)]
    assert [one.patches for one in sources(given, 1, "")] == [(*digests,), (*digests,)]
    document = made(report)
    assert [one.get("message_id") for one in document["checkouts"]] == ["0@invalid", "1@invalid", None]
    assert {one["git_commit_hash"] for one in document["checkouts"]} == {"e" * 40}
    found = [(one["path"], one["status"]) for one in document["tests"]]
    assert found[:2] == [("kvm.mmu.review", "PASS"), ("kvm.mmu.review.is_it", "PASS")]
    assert ("kvm.mmu.review.make_spte", "FAIL") in found


def test_names_that_are_no_paths():
    odd = [result(name, Verdict.PASS) for name in ("struct a.b", "..", "a/b c", "-", "é")]
    found = [one["path"] for one in made(Report([KernelReport("6.1", "6.1", "1", results=odd)], 0))["tests"]]
    assert found == ["kvm.mmu.struct_a_b", "kvm.mmu._", "kvm.mmu.a_b_c", "kvm.mmu", "kvm.mmu._"]


def test_a_long_text_is_cut(clean):
    clean.kernels[0].error = "x" * 20000
    assert len(made(clean)["builds"][0]["log_excerpt"]) == 16384


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (lambda one: one.update(path="no path"), r"at \$\.tests\[0\]\.path: 'no path'"),
        (lambda one: one.update(status="WRONG"), r"at \$\.tests\[0\]\.status"),
        (lambda one: one.update(comment="a\0b"), r"at \$\.tests\[0\]\.comment"),
        (lambda one: one.update(start_time="yesterday"), r"at \$\.tests\[0\]\.start_time"),
        (lambda one: one.update(build_id="kvm_mmu_conformance:1"), "has a build_id that is not in it"),
        (lambda one: one.update(id="kvm_mmu_conformance:1"), "two of its tests have the same id"),
        (lambda one: one.pop("build_id"), r"at \$\.tests\[0\]: 'build_id' is a required property"),
    ],
)
def test_a_planted_fault_is_refused(mixed, monkeypatch, plant, said):
    real = kcidb.assembled

    def assembled(kernels, tests):
        for one in tests:
            plant(one)
        return real(kernels, tests)

    monkeypatch.setattr(kcidb, "assembled", assembled)
    with pytest.raises(ConformanceError, match=f"The KCIDB document is invalid.*{said}"):
        kcidb.render(mixed)


def test_the_origin_comes_from_the_environment(clean, monkeypatch):
    monkeypatch.setenv("CONFORMANCE_KCIDB_ORIGIN", "our_ci")
    assert made(clean)["tests"][0]["id"].startswith("our_ci:")
    monkeypatch.setenv("CONFORMANCE_KCIDB_ORIGIN", "Our CI")
    with pytest.raises(ConformanceError, match="'Our CI'; the name of an origin consists of"):
        kcidb.require()


def test_equal_results_are_two_tests(clean):
    clean.kernels[0].results += [failed(), failed()]
    assert len({one["id"] for one in made(clean)["tests"]}) == 3

# SPDX-License-Identifier: GPL-2.0-only
"""JSON keeps to schema 1 and can be read by strict parsers."""

import json

from report_samples import failed, found, result

from conformance import __version__
from conformance.differential.verdict import Verdict
from conformance.reports.json import render

RESULT = {
    "property", "oracle", "engine", "mode", "verdict", "cases", "seconds", "reason", "counterexample"
}  # fmt: skip


def test_schema(mixed):
    report = json.loads(render(mixed))
    assert set(report) == {"schema", "version", "kernels", "summary"}
    assert (report["schema"], report["version"]) == (1, __version__)
    for kernel in report["kernels"]:
        assert set(kernel) == {"selector", "version", "drift", "results"}
        assert kernel["results"] and all(set(result) == RESULT for result in kernel["results"])
    assert report["kernels"][0]["drift"] == "pinned 6.1.170-1 is gone"
    assert report["kernels"][1]["drift"] is None


def test_counterexample(mixed):
    results = json.loads(render(mixed))["kernels"][0]["results"]
    assert results[0]["counterexample"] is None
    found = results[2]["counterexample"]
    assert found.pop("again").startswith("conformance run ")
    assert found.pop("decoded")["spte"].startswith("present, leaf")
    assert found == {
        "inputs": {"spte": "0x0600000000000975"},
        "kernel": {"returns": "false"},
        "model": {"returns": "true"},
        "rule": None,
        "source": None,
        "differs": None,
        "legal": None,
        "precondition": None,
        "crash": None,
        "steps": [],
        "details": [],
    }


def test_a_rule_and_a_broken_precondition_are_in_the_json(clean):
    broken = found(rule="Dirty was lost", source="spte.h", legal=False, precondition="this input breaks it")
    clean.kernels[0].results.append(failed(counterexample=broken))
    written = json.loads(render(clean))["kernels"][0]["results"][-1]["counterexample"]
    assert (written["rule"], written["source"]) == ("Dirty was lost", "spte.h")
    assert (written["legal"], written["precondition"]) == (False, "this input breaks it")


def test_how_far_a_race_was_explored(clean):
    clean.kernels[0].results.append(
        result("a_race", Verdict.PASS, explored={"exhausted": False, "bounded": 7})
    )
    plain, race = json.loads(render(clean))["kernels"][0]["results"]
    assert race["explored"] == {"exhausted": False, "bounded": 7} and "explored" not in plain


def test_summary_counts_what_is_listed(mixed):
    report = json.loads(render(mixed))
    # The second ERROR is the kernel that did not compile.
    assert report["summary"] == {"PASS": 2, "FAIL": 2, "SKIP": 1, "ERROR": 2, "MISS": 1}
    assert sum(report["summary"].values()) == sum(len(kernel["results"]) for kernel in report["kernels"])


def test_a_kernel_that_could_not_be_judged_is_an_error(mixed, idle, clean):
    (lost,) = json.loads(render(mixed))["kernels"][1]["results"]
    assert lost["verdict"] == "ERROR" and lost["reason"].startswith("spte.c does not compile.")
    assert json.loads(render(idle))["summary"]["ERROR"] == 1
    assert json.loads(render(clean))["summary"]["ERROR"] == 0


def test_odd_text_and_empty_runs(nasty, empty):
    text = render(nasty)
    assert text.isascii() and "\\ud800" not in text.replace("\\\\ud800", "")
    assert json.loads(text)["kernels"][0]["results"][4]["reason"].startswith("a\x1b[31mred\x00 b\n")
    assert json.loads(render(empty))["kernels"] == []

# SPDX-License-Identifier: GPL-2.0-only
"""SARIF as its schema wants it, with every finding, and no silence where something was not judged.

The schema is 3000 lines of OASIS's; of what is written here its rules are few, and stand below as a table.
"""

import json
import re
from dataclasses import replace

import pytest
from report_samples import NASTY
from review_samples import function, judged, review, series

from conformance.reports import sarif
from conformance.review import Standing
from conformance.review.review import ScopeReview
from conformance.review.series_review import SeriesReview

TEXT = {"text": str}
RULES = {
    "log": {"$schema": str, "version": str, "runs": ["run"]},
    "run": {
        "tool": "tool",
        "invocations": ["invocation"],
        "originalUriBaseIds": dict,
        "columnKind": {"utf16CodeUnits", "unicodeCodePoints"},
        "results": ["result"],
    },
    "tool": {"driver": "driver"},
    "driver": {"name": str, "version": str, "rules": ["rule"]},
    "rule": {"id": str, "shortDescription": TEXT},
    "invocation": {"executionSuccessful": bool, "toolExecutionNotifications": ["notification"]},
    "notification": {"level": {"none", "note", "warning", "error"}, "message": TEXT},
    "result": {
        "ruleId": str,
        "ruleIndex": int,
        "kind": {"notApplicable", "pass", "fail", "review", "open", "informational"},
        "level": {"none", "note", "warning", "error"},
        "message": TEXT,
        "locations": ["location"],
        "partialFingerprints": dict,
    },
    "location": {"physicalLocation": "physical", "logicalLocations": ["logical"]},
    "physical": {
        "artifactLocation": {"uri": str, "uriBaseId": str},
        "region": {"startLine": int, "endLine": int},
    },
    "logical": {"name": str, "kind": str},
}
"""The keys that each object may have here and what they hold; the schema allows no others of its own."""
REQUIRED = {
    "log": {"version", "runs"},
    "run": {"tool"},
    "tool": {"driver"},
    "driver": {"name"},
    "rule": {"id"},
    "invocation": {"executionSuccessful"},
    "notification": {"message"},
    "result": {"message"},
}


def check(value, rule, where="log"):
    """Hold a value against a rule: a type, a set of words, a table, or the name of one."""
    if isinstance(rule, str):
        missing = REQUIRED.get(rule, set()) - value.keys()
        assert not missing, f"{where} lacks {missing}"
        rule = RULES[rule]
    if isinstance(rule, dict):
        assert value.keys() <= rule.keys(), f"{where} has {value.keys() - rule.keys()}"
        for key, inner in value.items():
            check(inner, rule[key], f"{where}.{key}")
    elif isinstance(rule, list):
        assert isinstance(value, list), where
        for entry in value:
            check(entry, rule[0], where)
    elif isinstance(rule, set):
        assert value in rule, f"{where} is {value}"
    else:
        assert isinstance(value, rule), f"{where} is {value!r}"


def read(text: str) -> dict:
    """The one run of a document, after holding it against the rules."""
    document = json.loads(text)
    check(document, "log")
    assert document["version"] == "2.1.0"
    assert document["$schema"].endswith("/sarif-schema-2.1.0.json")
    (run,) = document["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(rules) == len(set(rules))
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["kind"] == "fail" or result["level"] == "none"
        assert result["message"]["text"]
        for location in result["locations"]:
            for place in [location["physicalLocation"]] if "physicalLocation" in location else []:
                assert re.fullmatch(r"[A-Za-z0-9/._+%-]+", place["artifactLocation"]["uri"])
                assert place["artifactLocation"]["uriBaseId"] in run["originalUriBaseIds"]
    return run


def problems_of(run: dict) -> list[str]:
    (invocation,) = run["invocations"]
    texts = [one["message"]["text"] for one in invocation["toolExecutionNotifications"]]
    assert invocation["executionSuccessful"] is (not texts)
    return texts


def test_a_run(mixed):
    run = read(sarif.render(mixed))
    assert [(one["ruleId"], one["level"]) for one in run["results"]] == [("spte_has_volatile_bits", "error")]
    text = run["results"][0]["message"]["text"]
    assert text.startswith("spte=0x600000000000975: returns is false") and "\n      again " in text
    assert run["results"][0]["locations"] == [
        {"logicalLocations": [{"name": "spte_has_volatile_bits", "kind": "function"}]}
    ]
    problems = problems_of(run)
    assert len(problems) == 3
    assert problems[-1].startswith("tree:linux: ERROR spte.c does not compile.")


def test_a_difference_of_a_run_has_a_file_and_a_line(mixed):
    mixed.kernels[0].places = {"spte_has_volatile_bits": ("arch/x86/kvm/mmu/spte.c", 112)}
    (result,) = read(sarif.render(mixed))["results"]
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "arch/x86/kvm/mmu/spte.c", "uriBaseId": "KERNEL"},
        "region": {"startLine": 112},
    }


def test_a_clean_run(clean):
    run = read(sarif.render(clean))
    assert run["results"] == [] and problems_of(run) == []


def test_nothing_compared_is_no_success(idle, empty):
    for report in (idle, empty):
        (sentence,) = problems_of(read(sarif.render(report)))
        assert "nothing was compared" in sentence


def test_odd_text(nasty):
    text = sarif.render(nasty)
    assert text.isascii() and "\\u001b" not in text
    assert len(read(text)["results"]) == 3


@pytest.mark.parametrize(
    ("standing", "rule", "kind", "level"),
    [
        (Standing.DIFFERS, "behaviour-differs", "fail", "error"),
        (Standing.UNCOVERED, "not-covered", "fail", "warning"),
        (Standing.UNSEEN, "no-difference-found", "open", "none"),
        (Standing.EQUIVALENT, "equivalent", "pass", "none"),
        (Standing.SAME_CODE, "equivalent", "pass", "none"),
    ],
)
def test_each_standing(standing, rule, kind, level):
    run = read(sarif.render_review(review(function("make_spte", standing, cases=9, reason="so"))))
    (result,) = run["results"]
    assert (result["ruleId"], result["kind"], result["level"]) == (rule, kind, level)
    assert ("9 cases" in result["message"]["text"]) is (standing is Standing.UNSEEN)
    place = result["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place == {"uri": "arch/x86/kvm/mmu/spte.c", "uriBaseId": "KERNEL"}


def test_what_did_not_change_is_no_result():
    run = read(sarif.render_review(review(function("a", Standing.SAME), function("b", Standing.ADDED))))
    assert run["results"] == []


def test_errors_of_a_review_are_notifications():
    assert problems_of(read(sarif.render_review(review(errors=("it hung",))))) == ["it hung"]


def test_a_claim_that_does_not_hold_is_one_finding():
    run = read(sarif.render_series(series()))
    assert [(one["ruleId"], one["message"]["text"].split(":")[0]) for one in run["results"]] == [
        ("equivalent", "1/2 Rename it"),
        ("promise-broken", "2/2 Simplify it"),
    ]
    assert "before" in run["results"][1]["message"]["text"]


def test_a_finding_of_the_whole_series_only():
    whole = judged(review(function("late", Standing.DIFFERS)))
    run = read(sarif.render_series(replace(series(), whole=whole)))
    assert [one["locations"][0]["logicalLocations"][0]["name"] for one in run["results"]][-1] == "late"


def test_a_series_that_could_not_be_judged():
    stuck = SeriesReview("6.1", (judged(None, reason="hunk 1 does not apply"),))
    assert problems_of(read(sarif.render_series(stuck))) == ["a patch: hunk 1 does not apply"]


def test_an_unobserved_change_is_a_finding():
    item = ScopeReview("EXPORT_SYMBOL_GPL(f)", "arch/x86/kvm/mmu/mmu.c")
    proved = ScopeReview("comments", "arch/x86/kvm/mmu/mmu.c", proved="only comments changed")
    run = read(sarif.render_series(SeriesReview("6.1", (judged(review(scope=(item, proved))),))))
    (one,) = run["results"]
    assert (one["ruleId"], one["level"]) == ("not-observed", "warning")
    assert one["message"]["text"] == "a patch: EXPORT_SYMBOL_GPL(f) changed; nothing here looks at it"


def test_the_same_finding_keeps_its_fingerprint():
    def prints(report) -> list[str]:
        return [one["partialFingerprints"]["finding/v1"] for one in read(report)["results"]]

    one, two = (function(name, Standing.UNCOVERED) for name in "ab")
    assert (
        prints(sarif.render_review(review(one, two))) == prints(sarif.render_review(review(two, one)))[::-1]
    )
    assert len(set(prints(sarif.render_review(review(one, two))))) == 2


def test_an_odd_file_name_is_a_uri():
    odd = replace(function("a", Standing.UNCOVERED), file=f"a b/ü{NASTY}")
    read(sarif.render_review(review(odd)))

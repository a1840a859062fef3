# SPDX-License-Identifier: GPL-2.0-only
"""Changed lines that nothing executes: shown in their hunk, and found again in every form of a report."""

from __future__ import annotations

import io
import json

from review_samples import DARK, EXECUTED, FILE, NO_CODE, NOT_RUN, function, judged, lines, review
from rich.console import Console

from conformance.reports import sarif
from conformance.reports.hunks import coverage, hunks, spans
from conformance.reports.review import render, show
from conformance.reports.review_mail import render_review, section
from conformance.review import Standing
from conformance.review.changed_lines import Execution
from conformance.review.reply import reply


def sample(*readings, **changes):
    return function("f", Standing.UNSEEN, by=("first_write",), lines=lines(readings), **changes)


def test_a_line_that_nothing_executes_is_marked_in_its_hunk():
    assert [*hunks([sample(EXECUTED, DARK, NO_CODE)])] == [
        f"      @@ -10,3 +10,5 @@ {FILE}: f()",
        "       static int f(void)",
        "##### -       old();",
        "      +       added(1);",
        "##### +       added(2);",
        "      +       added(3);",
        "       }",
    ]


def test_a_line_that_was_not_run_is_marked_too():
    assert "##### +       added(1);" in [*hunks([sample(NOT_RUN)])]


def test_a_few_lines_are_shown_and_the_others_counted():
    many = sample(*[DARK] * 20)
    shown = [*hunks([many, sample(DARK)])]
    assert sum(entry.startswith("#####") for entry in shown) == 8
    assert shown[-1] == "15 more changed lines that nothing executes: --verbose shows all"
    shown = [*hunks([many, sample(DARK)], verbose=True)]
    assert sum(entry.startswith("#####") for entry in shown) == 23
    assert [*hunks([function("g", Standing.UNSEEN)])] == []


def test_odd_text_cannot_change_the_report():
    found = lines([DARK])
    odd = found.hunks[0].rows[2].__class__("\x1b[2Jevil\r", 0, 11, DARK)
    broken = found.__class__((found.hunks[0].__class__(FILE, (odd,)),))
    assert "##### +\\x1b[2Jevil\\r" in [*hunks([function("f", Standing.UNSEEN, lines=broken)])]


def test_blocks_of_lines_for_programs():
    found = [*spans(lines([DARK, DARK, NOT_RUN, EXECUTED, DARK]))]
    assert found == [
        (FILE, 11, 12, Execution.NOT_EXECUTED),
        (FILE, 13, 13, Execution.NOT_RUN),
        (FILE, 15, 15, Execution.NOT_EXECUTED),
    ]


def test_json():
    given = review(sample(EXECUTED, NOT_RUN, NO_CODE), function("g", Standing.SAME_CODE))
    one, other = json.loads(render(given))["functions"]
    assert other["coverage"] is None
    assert one["coverage"]["before"] == {
        "changed": 1, "code": 1, "executed": 0, "not_executed": 1, "not_run": 0, "not_measured": 0,
        "by": [], "reason": "",
    }  # fmt: skip
    after = one["coverage"]["after"]
    assert (after["changed"], after["code"], after["executed"], after["not_run"]) == (3, 2, 1, 1)
    assert (after["by"], after["reason"]) == (["first_write", "make_spte"], "2 stories were not run")
    (hunk,) = one["coverage"]["hunks"]
    assert (hunk["file"], hunk["heading"]) == (FILE, "@@ -10,3 +10,5 @@")
    assert hunk["lines"][:2] == [
        {"before": 11, "after": None, "execution": "NOT_EXECUTED", "runs": 0},
        {"before": None, "after": 11, "execution": "EXECUTED", "runs": 2},
    ]
    assert coverage(None) is None


def test_sarif_has_a_note_at_the_line():
    written = json.loads(sarif.render_review(review(sample(EXECUTED, DARK, DARK, NOT_RUN))))
    found = [one for one in written["runs"][0]["results"] if one["ruleId"] == "line-not-executed"]
    assert [(one["kind"], one["level"]) for one in found] == [("fail", "note")] * 2
    regions = [one["locations"][0]["physicalLocation"]["region"] for one in found]
    assert regions == [{"startLine": 12, "endLine": 13}, {"startLine": 14, "endLine": 14}]
    assert [one["message"]["text"] for one in found] == [
        "f(): lines 12 to 13: not executed",
        "f(): line 14: not run; 2 stories were not run",
    ]


def test_mail_and_reply():
    given = review(sample(EXECUTED, DARK))
    text = render_review(given)
    assert "changed lines:" in text
    assert "##### +       added(2);" in text
    assert "f(): none of 1 removed line executed, 1 of 2 added lines" in text
    assert "Of 2 added lines, 1 was executed by the story first_write" in " ".join(text.split())
    assert "Of 2 added lines" in reply(judged(given))
    many = judged(review(sample(*[DARK] * 20)))
    assert section(many, verbose=True).count("#####") == 21


def test_the_terminal():
    stream = io.StringIO()
    show(review(sample(EXECUTED, DARK)), Console(file=stream, width=100))
    assert "1 of 2 added lines executed" in " ".join(stream.getvalue().split())
    assert "##### +       added(2);" in stream.getvalue()

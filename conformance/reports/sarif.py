# SPDX-License-Identifier: GPL-2.0-only
"""The report as SARIF 2.1.0 for code scanning: one run, a result for each finding, with function and file.

What could not be judged is a notification and makes the execution unsuccessful, so that a run without
results differs from one that conforms. https://docs.oasis-open.org/sarif/sarif/v2.1.0/
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import conformance
from conformance.differential.verdict import KernelReport, Report, Result, Verdict
from conformance.reports.difference import BEFORE_AFTER, described, difference, headline
from conformance.reports.grouping import Difference, differences
from conformance.reports.hunks import spans
from conformance.reports.rows import ALL, rows
from conformance.reports.text import line
from conformance.review.changed_lines import Execution, Side
from conformance.review.outcome import Outcome
from conformance.review.reply import LABELS, seen
from conformance.review.review import FunctionReview, Review, ScopeReview, Standing
from conformance.review.series_review import Judged, SeriesReview

__all__ = ["render", "render_review", "render_series"]

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ROOT = "KERNEL"
"""The base of file names: the top of the kernel tree, whose location SARIF leaves open."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Finding:
    """A SARIF result before it is rendered. ``key`` identifies the finding across runs."""

    rule: str
    kind: str
    level: str
    text: str
    function: str
    file: str = ""
    key: str = ""
    line: int = 0
    last: int = 0


_KINDS = {
    Standing.DIFFERS: ("fail", "error"),
    Standing.UNCOVERED: ("fail", "warning"),
    Standing.UNOBSERVED: ("fail", "warning"),
    Standing.UNMEASURED: ("fail", "warning"),
    Standing.UNSEEN: ("open", "none"),
    Standing.EQUIVALENT: ("pass", "none"),
    Standing.SAME_CODE: ("pass", "none"),
}
"""The SARIF kind and level by standing. Without a difference and without a proof the kind is "open"."""

_RULES = {
    "behaviour-differs": "A function behaves differently after the change.",
    "promise-broken": "A patch that claims no functional change makes a function behave differently.",
    "not-covered": "A function changed, and no test executes it.",
    "not-observed": "Something changed, and nothing here looks at its effect.",
    "no-difference-found": "A function changed, and no case that was run shows a difference.",
    "equivalent": "A function changed, and is proved equivalent.",
    "line-not-executed": "A changed line was not executed by anything that was run.",
}
_RULE = {
    Standing.DIFFERS: "behaviour-differs",
    Standing.UNCOVERED: "not-covered",
    Standing.UNOBSERVED: "not-observed",
    Standing.UNMEASURED: "not-observed",
    Standing.UNSEEN: "no-difference-found",
    Standing.EQUIVALENT: "equivalent",
    Standing.SAME_CODE: "equivalent",
}


def render(report: Report) -> str:
    """The report as SARIF: a rule for each property that differs, an error for each difference."""
    findings: list[Finding] = []
    problems = [] if report.kernels else ["No kernel was asked for, so nothing was compared."]
    for kernel in report.kernels:
        if kernel.disagreement is not None:
            problems.append(f"{kernel.title}: {kernel.disagreement}")
        seen: Counter[str] = Counter()
        for found in differences(kernel.results):
            name = found.shown.property
            seen[name] += 1
            findings.append(_difference(found, kernel, report.seed, seen[name]))
        problems += (
            _problem(result, kernel)
            for result in rows(kernel)
            if result.verdict in (Verdict.ERROR, Verdict.MISS)
        )
    rules = {one.rule: f"{one.rule} is the same on both sides." for one in findings}
    return _document(findings, rules, problems)


def render_review(review: Review) -> str:
    """The comparison of two kernels as SARIF."""
    return _document(_functions(Judged("", review=review)), _RULES, review.errors)


def render_series(series: SeriesReview) -> str:
    """A series as SARIF: what each patch changes, and what only the whole series shows."""
    findings: list[Finding] = []
    problems: list[str] = []
    for one in series.judged:
        known = {(finding.rule, finding.function) for finding in findings}
        new = _functions(one)
        findings += [
            finding
            for finding in new
            if one is not series.whole or (finding.rule, finding.function) not in known
        ]
        said = [*(one.review.errors if one.review else ())]
        if one.outcome is Outcome.UNJUDGED and one.reason:
            said.append(one.reason)
        problems += [f"{one.title}: {sentence}" for sentence in said]
    return _document(findings, _RULES, problems)


def _document(findings: list[Finding], rules: dict[str, str], problems: Iterable[str]) -> str:
    sentences = [line(problem) for problem in problems]
    order = list(rules)
    driver = {
        "name": "conformance",
        "version": conformance.__version__,
        "rules": [{"id": line(rule), "shortDescription": {"text": line(rules[rule])}} for rule in order],
    }
    invocation = {
        "executionSuccessful": not sentences,
        "toolExecutionNotifications": [{"level": "error", "message": {"text": text}} for text in sentences],
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [invocation],
        "originalUriBaseIds": {ROOT: {"description": {"text": "The top of the kernel tree."}}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(one, order.index(one.rule)) for one in findings],
    }
    whole = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(whole, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _result(one: Finding, index: int) -> Json:
    location: Json = {"logicalLocations": [{"name": line(one.function), "kind": "function"}]}
    if one.file:
        place: Json = {"artifactLocation": {"uri": quote(line(one.file)), "uriBaseId": ROOT}}
        if one.line:
            place["region"] = {"startLine": one.line, **({"endLine": one.last} if one.last else {})}
        location["physicalLocation"] = place
    digest = hashlib.sha256(one.key.encode("utf-8", "surrogatepass")).hexdigest()
    return {
        "ruleId": line(one.rule),
        "ruleIndex": index,
        "kind": one.kind,
        "level": one.level,
        "message": {"text": one.text},
        "locations": [location],
        "partialFingerprints": {"finding/v1": digest},
    }


def _difference(found: Difference, kernel: KernelReport, seed: int | None, number: int) -> Finding:
    """The finding for a difference, the ``number``-th of its property, located at the function.

    Its key has neither mode nor input, which may differ in the next run.
    """
    result = found.shown
    lines = difference(result, kernel.title, seed, others=found.others)
    text = "\n".join([line(headline(result)), "", *lines])
    key = "\0".join([kernel.selector, result.property, str(number)])
    file, first_line = kernel.places.get(result.property, ("", 0))
    return Finding(result.property, "fail", "error", text, result.property, file, key, first_line)


def _problem(result: Result, kernel: KernelReport) -> str:
    what = "" if result.property == ALL else f" {result.property} {result.mode}:"
    return f"{kernel.title}:{what} {result.verdict}  {result.reason or 'no reason was given'}"


def _functions(one: Judged) -> list[Finding]:
    """The findings for the changed functions and items of a review."""
    if one.review is None:
        return []
    functions = [_function(each, one) for each in one.review.functions if each.standing in _KINDS]
    lines = [found for each in one.review.functions for found in _dark(each, one)]
    return functions + lines + [_item(each, one) for each in one.review.unlooked]


def _dark(function: FunctionReview, one: Judged) -> Iterator[Finding]:
    """The findings for the added lines of a function that nothing executes."""
    if function.lines is None:
        return
    for number, (file, first, last, execution) in enumerate(spans(function.lines)):
        rule = "line-not-executed"
        why = function.lines.reasons[Side.AFTER] if execution is Execution.NOT_RUN else ""
        where = f"line {first}" if first == last else f"lines {first} to {last}"
        said = [f"{one.title}: " if one.title else "", f"{function.name}(): {where}: {execution}"]
        text = line("".join(said) + (f"; {why}" if why else ""))
        key = "\0".join([rule, one.title, file, function.name, str(number)])
        yield Finding(rule, "fail", "note", text, function.name, file, key, first, last)


def _item(item: ScopeReview, one: Judged) -> Finding:
    """The finding for a change outside of functions that no test covers."""
    rule = "not-observed"
    said = [f"{one.title}: " if one.title else "", f"{item.name} changed; nothing here looks at it"]
    text = line("".join(said) + (f"; {item.reason}" if item.reason else ""))
    key = "\0".join([rule, one.title, item.file, item.name])
    return Finding(rule, "fail", "warning", text, item.name, item.file, key)


def _function(function: FunctionReview, one: Judged) -> Finding:
    kind, level = _KINDS[function.standing]
    broken = function.standing is Standing.DIFFERS and one.outcome is Outcome.BROKEN
    rule = "promise-broken" if broken else _RULE[function.standing]
    said = [f"{one.title}: " if one.title else "", f"{function.name}(): {LABELS[function.standing]}"]
    if function.standing is Standing.UNSEEN:
        said.append(f" in {seen(function)}")
    if function.reason:
        said.append(f"; {function.reason}")
    text = [line("".join(said))]
    if function.difference is not None:
        text += ["", *described(function.difference, BEFORE_AFTER)]
    key = "\0".join([rule, one.title, function.file, function.name])
    return Finding(rule, kind, level, "\n".join(text), function.name, function.file, key)

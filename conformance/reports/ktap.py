# SPDX-License-Identifier: GPL-2.0-only
"""The report as KTAP version 1 for kernel tooling: a test for each kernel, with one for each property.

The format is Documentation/dev-tools/ktap.rst, as tools/testing/kunit/kunit_parser.py parses it. The parser
ends a subtest at any result line with the subtest's name, ends a name at ``#``, and reads ``# SKIP``
anywhere in a result line as the directive.
"""

from __future__ import annotations

from conformance.differential.verdict import KernelReport, Report, Result, Verdict
from conformance.reports.difference import difference
from conformance.reports.grouping import Once
from conformance.reports.rows import ALL, by_property, place, rows, worst
from conformance.reports.text import line, lines

__all__ = ["render"]

_STEP = "  "


def render(report: Report) -> str:
    """The report as KTAP text."""
    text = ["KTAP version 1", f"1..{len(report.kernels)}"]
    for number, kernel in enumerate(report.kernels, start=1):
        text += _kernel(kernel, number, report.seed)
    return "\n".join(text) + "\n"


def _kernel(kernel: KernelReport, number: int, seed: int | None) -> list[str]:
    name = _name(kernel.title, parent="")
    # Labelled, since a diagnostic "# Subtest: x" would open a subtest.
    labelled = [
        ("disagreement", kernel.disagreement),
        ("version", kernel.version),
        ("compiler", kernel.compiler),
    ]
    labelled += [("note", note) for note in kernel.remarks]
    notes = [f"# {label}: {line(note)}" for label, note in labelled if note]
    results = rows(kernel)
    if not kernel.results:
        # Without results there is no subtest: the plan "1..0" is an error to the parser.
        diagnostics = _Diagnostics(results, kernel.title, seed)
        return [*notes, *diagnostics.of(results[0]), _line(results, number, name)]
    tests: list[str] = []
    groups = by_property(results)
    diagnostics = _Diagnostics(results, kernel.title, seed)
    for count, (title, group) in enumerate(groups.items(), start=1):
        tests += _property(title, group, count, name, diagnostics)
    return [*notes, *_nested(name, len(groups), tests), _line(results, number, name)]


def _property(
    title: str, group: list[Result], number: int, parent: str, diagnostics: _Diagnostics
) -> list[str]:
    """The lines of one property: a single result line, or a subtest of its modes and engines."""
    name = _name("comparison" if title == ALL else title, parent=parent)
    if len(group) == 1:
        return [*diagnostics.of(group[0]), _line(group, number, name)]
    cases: list[str] = []
    for count, result in enumerate(group, start=1):
        cases += diagnostics.of(result)
        cases.append(_line([result], count, _name(place(result), parent=name)))
    return [*_nested(name, len(group), cases), _line(group, number, name)]


def _nested(name: str, count: int, tests: list[str]) -> list[str]:
    """A subtest up to its result line. ``# Subtest`` gives the parser the name in advance."""
    opening = ["KTAP version 1", f"# Subtest: {name}", f"1..{count}"]
    return [f"{_STEP}{entry}" for entry in [*opening, *tests]]


class _Diagnostics:
    """The diagnostics of one kernel's results; a difference is described at its first result."""

    def __init__(self, results: list[Result], title: str, seed: int | None) -> None:
        self._once = Once(results)
        self._title = title
        self._seed = seed

    def of(self, result: Result) -> list[str]:
        """The diagnostic lines of a result, which go before its result line."""
        if result.verdict is Verdict.FAIL:
            text = self._difference(result)
        elif result.verdict in (Verdict.ERROR, Verdict.MISS):
            text = [f"{result.verdict}  {entry}" for entry in lines(result.reason)]
        else:
            text = []
        return [f"# {entry}" for entry in text]

    def _difference(self, result: Result) -> list[str]:
        found = self._once.of(result)
        if isinstance(found, Result):
            return [f"FAIL  the difference described at {line(place(found))}"]
        return difference(found.shown, self._title, self._seed, others=found.others)


def _line(results: list[Result], number: int, name: str) -> str:
    """The result line of one result, or of a group of them."""
    verdict = worst(results)
    reason = line(next((result.reason for result in results if result.verdict is verdict), ""))
    # " # SKIP" inside a reason would turn an error into a skip.
    reason = reason.replace(" # ", " #")
    if verdict is Verdict.PASS:
        return f"ok {number} {name}"
    if verdict is Verdict.FAIL:
        return f"not ok {number} {name}"
    if verdict is Verdict.SKIP:
        return f"ok {number} {name} # SKIP {reason}".rstrip()
    # KTAP has one directive for both; MISS marks results that did not run.
    missed = "MISS " if verdict is Verdict.MISS else ""
    return f"not ok {number} {name} # ERROR {missed}{reason}".rstrip()


def _name(text: str, *, parent: str) -> str:
    """A valid KTAP test name: one line, no ``#``, and different from its parent's."""
    name = line(text).replace("#", "_").lstrip("- ").strip() or "unnamed"
    return f"{name}_" if name == parent else name

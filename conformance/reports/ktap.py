# SPDX-License-Identifier: GPL-2.0-only
"""The report for kernel tooling: KTAP version 1, a test per kernel, in it one per property.

The form is Documentation/dev-tools/ktap.rst; what tools/testing/kunit/kunit_parser.py makes of it
decides where the two leave room. It ends a subtest at any result line that repeats the subtest's name,
takes a name to end at ``#``, and reads ``# SKIP`` anywhere in a result line as the directive.
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
    told = ["KTAP version 1", f"1..{len(report.kernels)}"]
    for number, kernel in enumerate(report.kernels, start=1):
        told += _kernel(kernel, number, report.seed)
    return "\n".join(told) + "\n"


def _kernel(kernel: KernelReport, number: int, seed: int | None) -> list[str]:
    name = _name(kernel.title, parent="")
    # Labelled, because a diagnostic that reads "# Subtest: x" would open one.
    told = [("disagreement", kernel.disagreement), ("version", kernel.version), ("compiler", kernel.compiler)]
    told += [("note", note) for note in kernel.remarks]
    notes = [f"# {label}: {line(note)}" for label, note in told if note]
    results = rows(kernel)
    if not kernel.results:
        # Without a subtest there is no plan to give: "1..0" is an error to the parser.
        told_of = _Told(results, kernel.title, seed)
        return [*notes, *told_of.diagnostics(results[0]), _line(results, number, name)]
    tests: list[str] = []
    groups = by_property(results)
    told_of = _Told(results, kernel.title, seed)
    for count, (title, group) in enumerate(groups.items(), start=1):
        tests += _property(title, group, count, name, told_of)
    return [*notes, *_nested(name, len(groups), tests), _line(results, number, name)]


def _property(title: str, group: list[Result], number: int, parent: str, told_of: _Told) -> list[str]:
    """The lines of one property: a single result line, or a subtest of its modes and engines."""
    name = _name("comparison" if title == ALL else title, parent=parent)
    if len(group) == 1:
        return [*told_of.diagnostics(group[0]), _line(group, number, name)]
    cases: list[str] = []
    for count, result in enumerate(group, start=1):
        cases += told_of.diagnostics(result)
        cases.append(_line([result], count, _name(place(result), parent=name)))
    return [*_nested(name, len(group), cases), _line(group, number, name)]


def _nested(name: str, count: int, tests: list[str]) -> list[str]:
    """A subtest up to its result line. ``# Subtest`` gives the parser the name before that line comes."""
    opening = ["KTAP version 1", f"# Subtest: {name}", f"1..{count}"]
    return [f"{_STEP}{entry}" for entry in [*opening, *tests]]


class _Told:
    """The diagnostics of one kernel's results: those of a difference once, where it is first met."""

    def __init__(self, results: list[Result], title: str, seed: int | None) -> None:
        self._once = Once(results)
        self._title = title
        self._seed = seed

    def diagnostics(self, result: Result) -> list[str]:
        """Diagnostic lines: they stand before the result line that they explain."""
        if result.verdict is Verdict.FAIL:
            told = self._difference(result)
        elif result.verdict in (Verdict.ERROR, Verdict.MISS):
            told = [f"{result.verdict}  {entry}" for entry in lines(result.reason)]
        else:
            told = []
        return [f"# {entry}" for entry in told]

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
    # KTAP has one directive for both; the word MISS keeps what did not run apart from what failed to.
    missed = "MISS " if verdict is Verdict.MISS else ""
    return f"not ok {number} {name} # ERROR {missed}{reason}".rstrip()


def _name(text: str, *, parent: str) -> str:
    """A test's name as KTAP takes it: one line, no ``#``, and not its parent's."""
    name = line(text).replace("#", "_").lstrip("- ").strip() or "unnamed"
    return f"{name}_" if name == parent else name

# SPDX-License-Identifier: GPL-2.0-only
"""Which changed lines were executed: by cached coverage before the change, by the review itself after it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from conformance.coverage.data import Coverage, Executed, File, Layer, Line
from conformance.review import executed_lines
from conformance.review.changed_lines import Execution, Side
from conformance.review.executed_lines import ENDED, IN_PART, NOT_COMPILED, NOTHING_RUN, ExecutedLines
from conformance.review.functions import Text
from conformance.review.pairing import Pair
from conformance.review.plan import ReviewPlan
from conformance.review.ran import Ran, Seen

FILE = "arch/x86/kvm/mmu/mmu.c"
OLD, NEW = "int f(void)\n{\n\tone();\n}", "int f(void)\n{\n\ttwo();\n\tthree();\n}"


def text(content, first):
    return Text("f", FILE, content, tuple((FILE, first + n) for n in range(content.count("\n") + 1)))


FUNCTION = Pair(text(OLD, 10), text(NEW, 20))


def layer(name, counts, **runs):
    """A layer in which lines have counts, and runs execute lines."""
    files = {FILE: File({number: Line(count, (), "f") for number, count in counts.items()}, {})}
    return Layer(
        name, files, {run: Executed(frozenset(), {FILE: frozenset(lines)}) for run, lines in runs.items()}
    )


@pytest.fixture
def read(monkeypatch):
    """The changed lines of FUNCTION, where a property and a story execute it before the change."""

    def call(ran=("functions", "stories"), difference=None, before=None, missing=None, exact=True, **plan):
        counted = {
            ("functions", Side.AFTER): layer("functions", {22: 1, 23: 0}, p={22}),
            ("stories", Side.AFTER): layer("stories", {22: 5, 23: 0}, s={22}),
            ("functions", Side.BEFORE): layer("functions", {12: 0}),
            ("stories", Side.BEFORE): layer("stories", {12: 1}, s={12}),
        }
        monkeypatch.setattr(
            executed_lines, "_layer", lambda name, ran, changed, kernel, side: counted[name, side]
        )
        measured = {
            name: layer(name, {12: 0}) for name in ("functions", "stories") if name not in (missing or {})
        }
        base = SimpleNamespace(
            coverage=Coverage("6.1", before or measured, missing or {}),
            exact=exact,
            line=lambda file, number: number,
            reach=lambda layer, symbols: {"functions": {"p": ()}, "stories": {"s": ()}}[layer] if ran else {},
        )
        seen = {
            "functions": Ran((), [Seen("p")]),
            "stories": Ran((), [Seen("s", difference=difference), Seen("other")]),
        }
        kernel = SimpleNamespace(title="6.1")
        reader = ExecutedLines(
            (kernel, kernel), base, {name: seen[name] for name in ran}, {"f"}, ReviewPlan(**plan)
        )
        return reader.of(FUNCTION)

    return call


def after(found):
    return found.side(Side.AFTER).counts, found.reasons[Side.AFTER]


def test_the_review_itself_executes_added_lines(read):
    found = read()
    assert after(found) == ({Execution.EXECUTED: 1, Execution.NOT_EXECUTED: 1}, "")
    assert found.side(Side.AFTER).by == ("p", "s")


def test_a_removed_line_is_read_from_the_cached_coverage(read):
    found = read()
    assert found.side(Side.BEFORE).counts == {Execution.NOT_EXECUTED: 1}
    found = read(before={"stories": layer("stories", {12: 7}, s={12}, other={12})})
    assert found.side(Side.BEFORE).counts == {Execution.EXECUTED: 1}
    assert found.side(Side.BEFORE).by == ("s", "other")


def test_nothing_is_not_executed_that_was_not_run(read):
    assert after(read(ran=())) == ({Execution.NOT_RUN: 2}, NOTHING_RUN)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"ran": ("functions",)}, "1 of the 1 stories that execute it were not run"),
        ({"difference": object()}, ENDED),
        ({"modes": ("npt",)}, IN_PART),
    ],
)
def test_a_line_is_not_run_if_something_that_may_execute_it_was_not(read, given, reason):
    assert after(read(**given)) == ({Execution.EXECUTED: 1, Execution.NOT_RUN: 1}, reason)


def test_a_layer_that_cannot_be_measured_leaves_lines_open(read):
    found = read(missing={"stories": "no whole KVM"})
    assert found.side(Side.BEFORE).counts == {Execution.NOT_MEASURED: 1}
    assert found.reasons[Side.BEFORE] == "no whole KVM"


def test_a_file_that_is_not_compiled_is_not_measured(read):
    found = read(before={"stories": Layer("stories", {}, {})})
    assert found.side(Side.BEFORE).counts == {Execution.NOT_MEASURED: 1}
    assert found.reasons[Side.BEFORE] == NOT_COMPILED


def test_within_a_series_both_sides_are_read_from_what_was_run(read):
    found = read(exact=False)
    assert found.side(Side.BEFORE).counts == {Execution.EXECUTED: 1}
    assert found.side(Side.BEFORE).by == ("s",)

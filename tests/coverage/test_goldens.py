# SPDX-License-Identifier: GPL-2.0-only
"""Golden coverage: written and read back, what is lost, and stories that miss what they are about."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from coverage_samples import MMU, measured

import conformance.coverage.about as about
import conformance.coverage.goldens as goldens
from conformance.coverage.about import astray
from conformance.coverage.data import Coverage, Layer
from conformance.coverage.goldens import Golden, blessed, golden_of, lost
from conformance.errors import ConformanceError

KERNEL = SimpleNamespace(release=(6, 1, 0))


@pytest.fixture(autouse=True)
def stories(monkeypatch, tmp_path):
    """Stories that are about functions of the sample."""

    def story(name, *functions):
        return SimpleNamespace(name=name, about=functions, absent=lambda profile: "")

    about_read = ("zap", "zap_of_another_kernel")
    found = {"first_read": story("first_read", *about_read), "first_write": story("first_write", "zap")}
    for module in (about, goldens):
        monkeypatch.setattr(module, "STORIES", found)
    monkeypatch.setattr(goldens, "GOLDEN", tmp_path)
    return found


def both() -> Coverage:
    """The sample, with a layer of properties that executes nothing."""
    coverage = measured()
    return replace(coverage, layers={"functions": Layer("functions", {}, {}), **coverage.layers})


def made() -> Golden:
    return golden_of(both(), "6.1", "6.1.192-2")


def test_it_is_written_and_read_back():
    golden = made()
    assert golden.functions == {(MMU, "zap"): (4, 0, 3), (MMU, "setup"): (2, 0, 2)}
    assert golden.stories == {"first_read": ("zap",), "first_write": ("zap",)}
    golden.write()
    assert blessed("6.1") == golden
    assert blessed("7.3") is None and blessed(None) is None


def test_counts_of_executions_do_not_matter():
    coverage = both()
    stories = coverage.layers["stories"]
    files = {
        name: replace(file, lines={n: replace(line, count=line.count * 9) for n, line in file.lines.items()})
        for name, file in stories.files.items()
    }
    again = replace(coverage, layers={**coverage.layers, "stories": replace(stories, files=files)})
    assert golden_of(again, "6.1", "6.1.192-2") == made()


def test_a_layer_that_was_not_measured_is_not_blessed():
    with pytest.raises(ConformanceError, match="the layer functions was not measured"):
        golden_of(measured(), "6.1", "6.1.192-2")


@pytest.mark.parametrize("edit", [("schema 1", "schema"), (" 4 0 3", " 4 0"), ("package 6.1.192-2", "")])
def test_an_edited_file_is_refused(edit):
    golden = made()
    golden.write()
    golden.path.write_text(golden.path.read_text().replace(*edit))
    with pytest.raises(ConformanceError, match="is no golden coverage; `conformance coverage bless`"):
        blessed("6.1")


def test_the_difference_to_the_file():
    golden = made()
    assert f"+{MMU} zap 4 0 3" in goldens.diff(golden)
    golden.write()
    assert goldens.diff(golden) == []


def test_nothing_is_lost():
    assert [*lost(made(), made())] == []


def changed(numbers: tuple[int, ...]) -> Golden:
    golden = made()
    return replace(golden, functions={**golden.functions, (MMU, "zap"): numbers})


def test_lines_that_are_executed_no_longer():
    assert [*lost(made(), changed((4, 0, 2)))] == [
        f"zap() in {MMU}: stories execute 2 of 4 lines, and 3 when blessed."
    ]


def test_lines_of_a_changed_function_are_not_compared():
    assert [*lost(made(), changed((9, 0, 1)))] == []
    assert len([*lost(made(), changed((9, 1, 0)))]) == 1


def test_more_is_no_loss():
    assert [*lost(made(), changed((4, 4, 4)))] == []


def test_a_function_that_is_executed_no_longer():
    golden = made()
    now = replace(golden, functions={(MMU, "setup"): (2, 0, 2)})
    assert [*lost(golden, now)] == [
        f"zap() in {MMU} was executed when blessed, and is executed no longer or gone."
    ]


def test_a_function_that_moved_to_another_file_is_not_lost():
    golden = made()
    moved = {("other.c", name): numbers for (_, name), numbers in golden.functions.items()}
    assert [*lost(golden, replace(golden, functions=moved))] == []


def test_a_story_that_misses_what_it_is_about():
    golden = made()
    (sentence,) = lost(golden, replace(golden, stories={"first_read": ("zap",)}))
    assert sentence == "first_write executes zap() no longer, which it is about."


# Without a golden file.


def test_stories_that_execute_what_they_are_about():
    assert [*astray(both(), KERNEL)] == []


def test_functions_that_the_kernel_lacks_are_skipped_unless_it_has_none(stories):
    stories["first_write"].about = ("one", "two")
    assert [*astray(both(), KERNEL)] == [
        "first_write is about one(), two(), and the kernel has no such function."
    ]


def test_a_function_that_the_story_does_not_execute(stories):
    stories["first_write"].about = ("zap", "never")
    assert [*astray(both(), KERNEL)] == ["first_write is about never(), and does not execute it."]


def test_a_story_that_does_not_apply_or_was_not_measured_is_not_judged(stories):
    stories["first_write"].about = ("never",)
    stories["first_write"].absent = lambda profile: "its behaviour came later"
    assert [*astray(both(), KERNEL)] == []
    stories["first_write"].absent = lambda profile: ""
    assert [*astray(replace(both(), layers={"functions": Layer("functions", {}, {})}), KERNEL)] == []

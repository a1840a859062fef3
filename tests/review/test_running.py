# SPDX-License-Identifier: GPL-2.0-only
"""What is run of a change: only what executes it. Kernels, properties and stories are stand-ins."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest

from conformance.coverage.data import Coverage, Executed, Layer
from conformance.review import base_coverage, executing
from conformance.review.executing import Running
from conformance.review.functions import Text
from conformance.review.pairing import Pair
from conformance.review.plan import ReviewPlan
from conformance.review.ran import Ran, Seen
from conformance.review.review import Standing

FILE = "arch/x86/kvm/mmu/mmu.c"


def changed(name):
    return Pair(Text(name, FILE, "old"), Text(name, FILE, "new"))


@pytest.fixture
def stage(monkeypatch):
    """Judge changed functions where "seen" and "played" are executed by a property and a story."""
    run = []

    def explore(before, after, symbols, renamed, plan, progress, reach, files):
        run.append(("properties", *reach))
        return Ran((), [Seen("a_property", 7, {"seen"})])

    def play_stories(before, after, symbols, plan, progress, renamed, reach, files):
        run.append(("stories", *reach))
        return Ran((), [Seen("a_story", 0, {"played", "seen"})])

    layers = {
        "functions": Layer("functions", {}, {"a_property": Executed(frozenset({"seen"}), {})}),
        "stories": Layer("stories", {}, {"a_story": Executed(frozenset({"played", "seen"}), {})}),
    }

    def measure(kernel, cache, progress, names):
        return Coverage("6.1", {name: layers[name] for name in names})

    monkeypatch.setattr(executing, "explore", explore)
    monkeypatch.setattr(executing, "play_stories", play_stories)
    monkeypatch.setattr(executing, "PROPERTIES", {"a_property": None, "other": None})
    monkeypatch.setattr(executing.stories, "STORIES", {"a_story": None, "another": None})
    monkeypatch.setattr(base_coverage, "measure", measure)
    monkeypatch.setattr(executing, "Evidence", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(executing, "apply_evidence", lambda found, changed, seen, evidence: found)

    def unproved(pairs):
        run.append("as built")
        return pairs

    def call(*names, items=(), decided=True, **plan):
        texts = SimpleNamespace(
            items=items, decided=decided, moved=frozenset(), begun=frozenset(), new_names={}, symbols=dict,
            reordered=[], other_files=(), generated=(),
        )  # fmt: skip
        judging = Running(None, None, texts, ReviewPlan(**plan), lambda text: None)
        pairs = [changed(name) for name in names]
        return {one.name: one.standing for one in judging.judge(pairs, pairs, unproved)}, run

    return call


PROPERTY, STORY = ("properties", "a_property"), ("stories", "a_story")


def test_what_nothing_executes_is_answered_without_a_kernel(stage):
    assert stage("idle") == ({"idle": Standing.UNCOVERED}, [])


def test_several_are_compiled_as_built_since_code_may_have_moved_between_them(stage):
    assert stage("idle", "other")[1] == ["as built"]


def test_what_a_property_executes_is_run_by_that_property_alone(stage):
    assert stage("seen") == ({"seen": Standing.UNSEEN}, [PROPERTY, "as built"])


def test_what_a_story_alone_executes_is_played_without_properties(stage):
    standings = {"played": Standing.UNSEEN, "idle": Standing.UNCOVERED}
    assert stage("played", "idle") == (standings, ["as built", STORY])


def test_a_suspect_is_played_although_a_property_executes_it(stage):
    assert stage("seen", suspects=("seen",))[1] == [PROPERTY, "as built", STORY]


def test_a_variable_without_a_user_may_make_anything_run(stage):
    everything = [("properties", "a_property", "other"), "as built", ("stories", "a_story", "another")]
    assert stage("idle", decided=False)[1] == everything


def test_a_given_case_is_run_whatever_its_property_executes(stage):
    assert stage("idle", case=(1,), only=("other",))[1][0] == ("properties", "a_property", "other")

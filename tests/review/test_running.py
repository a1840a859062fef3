# SPDX-License-Identifier: GPL-2.0-only
"""What is run of a change: only what executes it. Kernels, properties and stories are stand-ins."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest

from conformance.coverage.data import Coverage, Executed, Layer
from conformance.review import executing
from conformance.review.behaviour import Seen
from conformance.review.executing import Running
from conformance.review.file_scope import Changed
from conformance.review.functions import Text
from conformance.review.items import Item, Kind
from conformance.review.pairing import Pair
from conformance.review.plan import ReviewPlan
from conformance.review.review import Standing

FILE = "arch/x86/kvm/mmu/mmu.c"


def changed(name):
    return Pair(Text(name, FILE, "old"), Text(name, FILE, "new"))


@pytest.fixture
def stage(monkeypatch):
    """Judge changed functions where "seen" and "told" are executed by a property and a story."""
    run = []

    def explore(before, after, symbols, renamed, plan, progress):
        run.append("properties")
        return [Seen("a_property", 7, {"seen"})], ""

    def play_stories(before, after, symbols, plan, progress, renamed, names):
        run.append("stories")
        return [Seen("a_story", 0, {"told", "seen"})]

    layers = {
        "functions": Layer("functions", {}, {"a_property": Executed(frozenset({"seen"}), {})}),
        "stories": Layer("stories", {}, {"a_story": Executed(frozenset({"told", "seen"}), {})}),
    }

    def measure(kernel, cache, progress, names):
        return Coverage("6.1", {name: layers[name] for name in names})

    monkeypatch.setattr(executing, "explore", explore)
    monkeypatch.setattr(executing, "play_stories", play_stories)
    monkeypatch.setattr(executing, "measure", measure)
    monkeypatch.setattr(executing, "Evidence", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(executing, "apply_evidence", lambda found, changed, seen, evidence: found)
    monkeypatch.setattr(executing, "pass_on", lambda *_: run.append("passed on"))

    def unproved(pairs):
        run.append("as built")
        return pairs

    def call(*names, items=(), users=None, **plan):
        texts = SimpleNamespace(
            items=items, users=users or {}, moved=frozenset(), begun=frozenset(), new_names={}, symbols=dict,
            reordered=[], other_files=(), generated=(),
        )  # fmt: skip
        judging = Running(None, None, texts, ReviewPlan(**plan), lambda text: None)
        pairs = [changed(name) for name in names]
        return {one.name: one.standing for one in judging.judge(pairs, pairs, unproved)}, run

    return call


def test_what_nothing_executes_is_answered_without_a_kernel(stage):
    assert stage("idle") == ({"idle": Standing.UNCOVERED}, ["passed on"])


def test_several_are_compiled_as_built_since_code_may_have_moved_between_them(stage):
    assert stage("idle", "other")[1] == ["passed on", "as built"]


def test_what_a_property_executes_is_run_by_properties_alone(stage):
    assert stage("seen") == ({"seen": Standing.UNSEEN}, ["properties", "as built"])


def test_what_a_story_executes_is_played(stage):
    told = {"told": Standing.UNSEEN, "idle": Standing.UNCOVERED}
    assert stage("told", "idle") == (told, ["properties", "as built", "stories"])


def test_a_suspect_is_played_although_a_property_executes_it(stage):
    assert stage("seen", suspects=("seen",))[1] == ["properties", "as built", "stories"]


def test_a_variable_without_a_user_may_make_anything_run(stage):
    item = Item(Kind.VARIABLE, "ops", ("ops",), names=("ops",))
    assert stage("idle", items=[Changed(item, FILE)])[1] == ["properties", "as built", "stories"]
    assert stage("idle", items=[Changed(item, FILE)], users={"ops": {"idle"}})[1][-1] == "passed on"

# SPDX-License-Identifier: GPL-2.0-only
"""Which stories a review plays: those selected, until a changed function is blamed often enough."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest

from conformance.differential.verdict import Counterexample
from conformance.review import stories
from conformance.review.plan import ReviewPlan
from conformance.review.stories import ENOUGH, play_stories
from conformance.scenarios.stories import STORIES

FOUND = Counterexample({}, {}, {}, {}, "again")


@pytest.fixture
def play(monkeypatch):
    """Play stories that execute the functions given, where those of ``broken`` behave differently."""
    for name in ("build_kvm", "layouts_of", "RawStateReader", "Rules"):
        monkeypatch.setattr(stories, name, lambda *_, **__: None)
    monkeypatch.setattr(stories, "profile_of", lambda release: None)
    monkeypatch.setattr(stories, "units_of", lambda library, files: ())
    monkeypatch.setattr(stories, "unnamed", lambda libraries, changed: set())
    monkeypatch.setattr(stories, "_Sides", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(stories.Story, "absent", lambda story, profile: False)

    def call(reach, broken):
        def played(sides, story, seen, wanted, shortened):
            seen.executed = set(reach[story.name]) or {"f"}
            if seen.executed & broken:
                seen.difference, seen.blamed = FOUND, set(seen.executed)

        monkeypatch.setattr(stories, "_play", played)
        kernel = SimpleNamespace(release=(6, 1), title="6.1")
        ran = play_stories(kernel, kernel, {"f", "g"}, ReviewPlan(), lambda text: None, {}, reach)
        return [one.name for one in ran.seen]

    return call


NAMES = [*STORIES][:10]


def test_only_selected_stories_are_played(play):
    assert play(dict.fromkeys(NAMES[3:6], frozenset({"f"})), set()) == NAMES[3:6]


def test_a_function_that_is_blamed_often_enough_is_not_played_again(play):
    assert play(dict.fromkeys(NAMES, frozenset({"f"})), {"f"}) == NAMES[:ENOUGH]


def test_another_changed_function_is_still_played(play):
    reach = dict.fromkeys(NAMES, frozenset({"f"})) | {NAMES[9]: frozenset({"f", "g"})}
    assert play(reach, {"f"}) == [*NAMES[:ENOUGH], NAMES[9]]


def test_a_story_of_which_nothing_is_known_is_played(play):
    assert play(dict.fromkeys(NAMES, frozenset()), {"f"}) == NAMES

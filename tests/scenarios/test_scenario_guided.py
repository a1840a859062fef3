# SPDX-License-Identifier: GPL-2.0-only
"""Guided stories: variations are possible stories, and the states that a story shows."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from model_sides import ModelSides
from planting import patch_for

from conformance.interface.options import check_options
from conformance.interface.steps import KINDS
from conformance.model.profiles import profile_of
from conformance.scenarios.comparing import Match, play
from conformance.scenarios.drawing_guests import ROOTS
from conformance.scenarios.guided import walk_guided, written
from conformance.scenarios.lockstep import taken
from conformance.scenarios.preconditions import check
from conformance.scenarios.ready import Ready, prepare
from conformance.scenarios.shrinking import shorten
from conformance.scenarios.states import states_of
from conformance.scenarios.steps import step
from conformance.scenarios.stories import STORIES
from conformance.scenarios.stories.guest_tables import PAE
from conformance.scenarios.varying import Drawn, steps_of, varied
from conformance.scenarios.walks import WALKS

PROFILE = profile_of((6, 1))


@pytest.mark.parametrize("name", ["ept-ad", "legacy-npt", "shadow", "nested-ept-ad"])
def test_variations_of_stories_are_possible_stories(name):
    kind, rng = WALKS[name], random.Random(1)
    scripts = written(kind, PROFILE)
    assert len(scripts) > 5
    kinds, lacking, longer = Counter(), 0, 0
    for _ in range(40):
        base, other = rng.choice(scripts), rng.choice(scripts)
        parts = varied(rng, base, other)
        scene = kind.scene(base.options)
        with Match(ModelSides(kind.mode), base.options, spare=True) as match:
            steps = [*taken(match, scene, steps_of(scene, parts))]
        check(steps, base.options, [kind.mode])
        assert match.played.difference is None
        kinds.update(one.kind for one in steps)
        lacking += not {*base.steps} <= {*steps}
        longer += len(steps) > len(base.steps)
    assert lacking > 5 and longer > 5 and len(kinds) > 10


def test_a_step_that_has_become_impossible_is_left_out():
    scene = WALKS["ept-ad"].scene(check_options({}))
    begin, end = step("walk_begin", vcpu=0, gfn=0), step("walk_end")
    parts = [end, begin, begin, step("destroy"), Drawn(0, "walk_end")]
    made = []
    for one in steps_of(scene, parts):
        made.append(one)
        scene._preconditions.take(one)
    assert made == [begin, end, step("destroy")]


def test_what_is_drawn_fits_the_guest_of_a_story():
    scene = WALKS["shadow"].scene(check_options({}))
    registers = step("set_sregs", vcpu=0, cr0=PAE.cr0, cr4=PAE.cr4, efer=PAE.efer, cr3=ROOTS[0] << 12)
    scene.adopt([registers, step("store", gfn=ROOTS[0], index=0, value=0x202001)])
    assert scene._format is PAE and scene._first == {(ROOTS[0], 0): 0x202001}
    assert scene.redraw("mremap", 1) is None and scene.redraw("execute", 1).kind == "execute"


def test_states_distinguish_what_steps_do():
    kind = WALKS["ept-ad"]
    sides = ModelSides(kind.mode)
    seen = []
    for script in written(kind, PROFILE)[:20]:
        played = play(sides, script)
        states = states_of(played.steps, played.kernel)
        assert states == states_of(played.steps, played.kernel) and max(states) < 1 << 16
        seen.append(states)
    assert all(len(states) > 5 for states in seen)
    assert len(set.union(*map(set, seen))) > sum(map(len, seen)) / len(seen)
    assert len(KINDS) < 1 << 8


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.parametrize(
    ("story", "wrong", "begin_with_stories"),
    [
        # Needs twenty unsync tables, where drawn guests have six.
        ("sync_of_many_tables", "only one array of unsync tables is synchronized", True),
        ("cr3_reload_syncs", "loading CR3 synchronizes nothing", False),
    ],
)
def test_a_fault_deep_in_shadow_paging_is_found(story, wrong, begin_with_stories, tmp_path):
    (mutant,) = (mutant for mutant in STORIES[story].mutants if mutant.wrong == wrong)
    patch = patch_for(mutant.substitution, tmp_path)
    ready = prepare(mutant.substitution.kernel, (patch,), lambda line: None, coverage=True)
    assert isinstance(ready, Ready), ready.error or ready.unreached
    kind, sides = WALKS["shadow"], ready.sides("shadow")
    scripts = written(kind, ready.profile) if begin_with_stories else ()
    guided = walk_guided(sides, kind, 1, 300, (), scripts)
    assert guided.walked.found is not None
    script, played = guided.walked.found
    check(script.steps, script.options, ["shadow"])
    short, shown = shorten(sides, script, played.difference)
    assert len(short.steps) <= len(script.steps) and shown.difference is not None


@pytest.mark.kernel
def test_a_guided_walk_keeps_what_reaches_something_new(kernel):
    ready = prepare(kernel.selector, (), lambda line: None, coverage=True)
    assert isinstance(ready, Ready), ready.error or ready.unreached
    kind = WALKS["legacy-ept-ad"]
    scripts = written(kind, ready.profile)[:6]
    guided = walk_guided(ready.sides(kind.mode), kind, 1, 0.1, (), scripts)
    assert guided.walked.found is None and guided.walked.stories >= len(scripts)
    entries = guided.corpus.entries
    assert len(entries) > 1 and guided.corpus.edges == guided.edges
    assert 500 < len(guided.edges) < guided.total
    # Known stories are not played again, and those that add nothing are not kept.
    again = walk_guided(ready.sides(kind.mode), kind, 1, 0.0, entries, [entries[0].script])
    assert again.walked.stories == 1 and again.layout == guided.layout
    assert all(entry in entries for entry in again.corpus.entries)

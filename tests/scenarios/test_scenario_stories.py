# SPDX-License-Identifier: GPL-2.0-only
"""The stories: complete, well told, and their claims hold on the model of every kernel."""

import pytest
from model_sides import ModelSides

from conformance.errors import ConformanceError
from conformance.interface.steps import KINDS
from conformance.model.profiles import profile_of
from conformance.scenarios.comparing import check_claims, play
from conformance.scenarios.modes import STORY_MODES
from conformance.scenarios.stories import STORIES
from conformance.scenarios.story import Claim, StoryBuilder, stories, story

RELEASES = ((6, 1), (6, 12), (7, 2), (7, 3))


@pytest.mark.parametrize("mode", STORY_MODES)
@pytest.mark.parametrize("release", RELEASES, ids=str)
def test_every_claim_holds_on_the_model(release, mode):
    sides = ModelSides(mode, release)
    broken = {}
    for told in STORIES.values():
        if mode in told.modes and not told.absent(sides.profile):
            played = play(sides, told.script)
            claim = check_claims(sides, told.script.claims_of(sides.profile), played.model).broken
            if claim is not None:
                broken[told.name] = (claim.after + 1, claim.sentence)
    assert not broken


def test_every_kind_of_step_is_in_a_story():
    used = {step.kind for told in STORIES.values() for step in told.script.steps}
    assert {*KINDS} <= used


def test_every_story_is_told_in_full():
    for told in STORIES.values():
        assert told.description.endswith(".") and told.reason.endswith(".") and told.source, told.name
        assert told.script.steps[-1].kind == "destroy"
        assert len({claim.after for claim in told.script.claims}) > 1, (
            f"{told.name} claims nothing but the end"
        )


def test_a_story_can_be_told_on_some_kernel():
    profiles = [profile_of(release) for release in RELEASES]
    assert all(any(not told.absent(profile) for profile in profiles) for told in STORIES.values())


def test_change_pte_is_absent_where_it_is_gone():
    gone = STORIES["change_pte_changes_nothing"]
    assert not gone.absent(profile_of((6, 1)))
    assert "f3b65bbaed7c" in gone.absent(profile_of((7, 3)))


def test_names_are_patterns():
    assert {told.name for told in stories(["*read_only*"])} >= {"read_only_memslot", "read_only_host_mapping"}
    assert stories([]) == [*STORIES.values()]
    with pytest.raises(ConformanceError, match="no scenario is called nonsense"):
        stories(["first_read", "nonsense"])


def test_a_story_that_claims_nothing_is_refused():
    try:

        @story(source="here")
        def says_nothing(vm: StoryBuilder) -> None:
            """Nothing is claimed.

            It is here to be refused.
            """
            vm.grace_period()

        with pytest.raises(ValueError, match="says_nothing claims nothing"):
            _ = says_nothing.script
    finally:
        STORIES.pop("says_nothing", None)


def test_a_docstring_without_a_reason_is_refused():
    with pytest.raises(ValueError, match="the docstring needs"):

        @story(source="here")
        def gives_no_reason(vm: StoryBuilder) -> None:
            """What it is, but not why."""


def test_what_cannot_be_told_is_refused_at_once():
    vm = StoryBuilder({"vcpus": 1})
    with pytest.raises(AttributeError, match="there is no step acess"):
        vm.acess(gfn=1, kind=1)
    with pytest.raises(ValueError, match="walk_begin comes first"):
        vm.walk_next()


def test_a_claim_that_does_not_hold_or_cannot_be_evaluated_is_broken():
    sides = ModelSides()
    told = STORIES["first_read"]
    seen = play(sides, told.script).kernel
    wrong = Claim(2, "nothing is mapped", lambda now: now.leaf(0x100) is None)
    absent = Claim(2, "something else is", lambda now: now.mapped(0x999).writable)
    assert check_claims(sides, told.script.claims, seen).broken is None
    assert check_claims(sides, [*told.script.claims, wrong], seen).broken is wrong
    assert check_claims(sides, [absent], seen).broken is absent

# SPDX-License-Identifier: GPL-2.0-only
"""The races on the model: today's forms keep every promise, historic ones break the one they must."""

from __future__ import annotations

import pytest

from conformance.model.changes import RACES as CHANGES
from conformance.model.changes import Precaution
from conformance.model.profiles import profile_of
from conformance.races.bounded import FewPreemptions
from conformance.races.exploration import Exploration, hold
from conformance.races.exploring import MOST_PREEMPTIONS
from conformance.races.invariants import PROMISES, broken
from conformance.races.stories import RACES

RELEASES = ((6, 1), (6, 12), (7, 3))
FORMS = [
    pytest.param(race, historic, id=f"{race.name}-{historic.label}")
    for race in RACES.values()
    for historic in race.historic
]
LOST_BY_6_12 = "aging_against_fast_faults"
"""Its aging tells the host of what it has read, not of what its exchange gave back."""

NEEDED = {
    ("change_pte_finds_nothing", "6bdb913f0a70"): 0,
    ("get_dirty_log_against_writes", "LOG_TAKEN_BEFORE_PROTECTING"): 2,
    ("write_protection_skips_the_flush", "FLUSH_IF_MMU_WRITABLE"): 2,
    ("two_vcpus_split_one_huge_page", "9a77daacc87d"): 3,
}
"""How many preemptions it takes to break the promise, where that is not one."""


def explored(race, mode, release, **given):
    outcome = hold(Exploration(race.name, mode, profile_of(release), **given))
    assert outcome.trouble == ""
    return outcome


@pytest.mark.parametrize("release", RELEASES, ids=str)
@pytest.mark.parametrize("race", RACES.values(), ids=list(RACES))
def test_today_no_promise_is_broken(race, release):
    profile = profile_of(release)
    if race.absent(profile):
        pytest.skip(race.absent(profile))
    outcome = explored(race, race.modes[-1], release, limit=150)
    lost = race.name == LOST_BY_6_12 and release == (6, 12)
    assert bool(outcome.breach) == lost, outcome.breach


@pytest.mark.slow
@pytest.mark.parametrize("race", RACES.values(), ids=list(RACES))
def test_today_no_promise_is_broken_by_many_schedules(race):
    for mode in race.modes:
        assert explored(race, mode, (6, 1), limit=5000).breach is None


@pytest.mark.slow
@pytest.mark.parametrize(("race", "historic"), FORMS)
def test_what_is_missing_shows(race, historic):
    for mode in historic.modes or race.modes:
        outcome = explored(race, mode, (6, 1), without=(historic.change,), wanted=historic.promise.name)
        assert outcome.breach is not None and outcome.breach.promise == historic.promise.name
        assert outcome.legs and outcome.drawn


@pytest.mark.parametrize(("race", "historic"), FORMS)
def test_few_preemptions_are_enough_for_what_is_missing(race, historic):
    """And those that it takes are needed: the bound stands for something."""
    mode = (historic.modes or race.modes)[-1]
    contest = Exploration(race.name, mode, profile_of((6, 1)), without=(historic.change,))
    search = FewPreemptions(contest.on_model(), MOST_PREEMPTIONS)

    def shows(bound):
        endings = (ending for _, ending in search.schedules(bound) if ending is not None)
        return any(promise is historic.promise for ending in endings for promise, _ in broken(ending))

    found = next((bound for bound in range(MOST_PREEMPTIONS + 1) if shows(bound)), None)
    assert found == NEEDED.get((race.name, historic.label), 1)


def test_every_precaution_but_those_of_the_host_is_missing_somewhere():
    shown = {historic.change for race in RACES.values() for historic in race.historic}
    assert all(historic.promise.name in PROMISES for race in RACES.values() for historic in race.historic)
    assert {one for one in CHANGES.values() if isinstance(one, Precaution)} <= shown

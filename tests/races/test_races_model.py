# SPDX-License-Identifier: GPL-2.0-only
"""The races on the model: current variants violate no invariant, historic ones the one they must."""

from __future__ import annotations

from itertools import islice

import pytest

from conformance.model.changes import RACES as CHANGES
from conformance.model.changes import Precaution
from conformance.model.profiles import profile_of
from conformance.races.dpor import inequivalent_schedules
from conformance.races.explorer import MOST_PREEMPTIONS
from conformance.races.invariants import INVARIANTS, violations
from conformance.races.model import saved_states
from conformance.races.preemption_bound import PreemptionBoundedSearch
from conformance.races.run_exploration import Exploration, explore_race
from conformance.races.stories import RACES

RELEASES = ((6, 1), (6, 12), (7, 3))
ON_MODEL = [race for race in RACES.values() if "model" in race.sides]
FORMS = [
    pytest.param(race, historic, id=f"{race.name}-{historic.label}")
    for race in ON_MODEL
    for historic in race.historic
    if "model" in historic.sides
]
LOST_BY_6_12 = "aging_against_fast_faults"
"""Its aging reports the Dirty bit of the value that it read, not of the value that its exchange returned."""

NEEDED = {
    ("change_pte_finds_nothing", "6bdb913f0a70"): 0,
    ("get_dirty_log_against_writes", "LOG_TAKEN_BEFORE_PROTECTING"): 2,
    ("entry_changed_after_the_walk", "f7d9c7b7b902"): 2,
    ("two_vcpus_split_one_huge_page", "9a77daacc87d"): 3,
    ("walk_against_zapping", "WALK_HOLDS_OFF_FREEING"): 2,
}
"""How many preemptions a violation needs, where that is not one."""


def explored(race, mode, release, **given):
    outcome = explore_race(Exploration(race.name, mode, profile_of(release), **given))
    assert outcome.trouble == ""
    return outcome


@pytest.mark.parametrize("release", RELEASES, ids=str)
@pytest.mark.parametrize("race", ON_MODEL, ids=lambda race: race.name)
def test_the_current_variant_violates_nothing(race, release):
    profile = profile_of(release)
    if race.absent(profile):
        pytest.skip(race.absent(profile))
    outcome = explored(race, race.modes[-1], release, limit=150)
    lost = race.name == LOST_BY_6_12 and release == (6, 12)
    assert bool(outcome.violation) == lost, outcome.violation


SAVED = [
    ("walk_against_freeing", "ept-noad"),
    ("unsync_against_cr3", "shadow"),
    ("logged/vcpu0.write.read/host.age.discard/user.log", "ept-noad"),
]
"""Races of which many schedules begin with whole steps, and one of which few do."""


@pytest.mark.parametrize(("race", "mode"), SAVED)
def test_schedules_from_a_saved_state_are_as_from_the_start(race, mode, monkeypatch):
    def ends(seen):
        monkeypatch.setattr(saved_states, "SEEN", seen)
        side = Exploration(race, mode, profile_of((6, 1))).on_model()
        searches = inequivalent_schedules(side), PreemptionBoundedSearch(side, 3).schedules(2)
        return [(choices[:], execution) for search in searches for choices, execution in islice(search, 25)]

    assert ends(1) == ends(1 << 40)


@pytest.mark.slow
@pytest.mark.parametrize("race", ON_MODEL, ids=lambda race: race.name)
def test_many_schedules_of_the_current_variant_violate_nothing(race):
    for mode in race.modes:
        assert explored(race, mode, (6, 1), limit=5000).violation is None


@pytest.mark.slow
@pytest.mark.parametrize(("race", "historic"), FORMS)
def test_a_historic_variant_violates_its_invariant(race, historic):
    for mode in historic.modes or race.modes:
        outcome = explored(race, mode, (6, 1), without=(historic.change,), invariant=historic.invariant.name)
        assert outcome.violation is not None and outcome.violation.invariant == historic.invariant.name
        assert outcome.segments and outcome.interactions


@pytest.mark.parametrize(("race", "historic"), FORMS)
def test_few_preemptions_are_enough_for_a_historic_variant(race, historic):
    """Fewer are not enough, so the bound is not vacuous."""
    mode = (historic.modes or race.modes)[-1]
    exploration = Exploration(race.name, mode, profile_of((6, 1)), without=(historic.change,))
    search = PreemptionBoundedSearch(exploration.on_model(), MOST_PREEMPTIONS)

    def shows(bound):
        executions = (execution for _, execution in search.schedules(bound) if execution is not None)
        return any(
            invariant is historic.invariant
            for execution in executions
            for invariant, _ in violations(execution)
        )

    found = next((bound for bound in range(MOST_PREEMPTIONS + 1) if shows(bound)), None)
    assert found == NEEDED.get((race.name, historic.label), 1)


def test_every_precaution_but_those_of_the_host_is_missing_somewhere():
    shown = {historic.change for race in RACES.values() for historic in race.historic}
    assert all(historic.invariant.name in INVARIANTS for race in RACES.values() for historic in race.historic)
    assert {one for one in CHANGES.values() if isinstance(one, Precaution)} <= shown

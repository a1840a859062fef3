# SPDX-License-Identifier: GPL-2.0-only
"""The races on real kernel code: golden schedules violate what they did, current variants nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planting import patch_for

from conformance.errors import ConformanceError
from conformance.kernels import Cache, open_kernel
from conformance.kernels.substitutions import TDP_C, Substitution
from conformance.model.profiles import profile_of
from conformance.oracles.kvm.build import build_kvm
from conformance.races.goldens import MARK, golden_files
from conformance.races.replaying import replay_file
from conformance.races.run_exploration import Exploration, explore_race
from conformance.races.stories import RACES
from conformance.scenarios.steps import step

pytestmark = pytest.mark.kernel

AT_ONCE = {"fault_against_release", "get_dirty_log_against_writes", "dirty_lost_in_a_zap"}
"""Races of which the quick tests run a few schedules."""


def quiet(message):
    """Discard progress messages."""


@pytest.fixture(scope="module")
def library():
    made = {}

    def call(series):
        if series not in made:
            made[series] = build_kvm(open_kernel(series), Cache(), quiet, racing=True)
        return made[series]

    return call


def goldens(side):
    return [pytest.param(path, id=path.stem) for path in golden_files() if path.parent.name == f"6.1-{side}"]


def check_replay(path):
    found = replay_file(path, ("6.1",), (), quiet)
    violation = found.outcome.violation
    assert violation is not None and violation.invariant == found.race_file.breaks
    assert f"{MARK}\n{found.text()}" == path.read_text()


@pytest.mark.parametrize("path", goldens("model"))
def test_a_golden_race_on_the_model(path):
    check_replay(path)


@pytest.mark.slow
@pytest.mark.parametrize("path", goldens("kvm"))
def test_a_golden_race_on_the_kernel(path):
    check_replay(path)


def test_every_historic_form_has_a_golden_race():
    labels = {(path.parent.name, path.name.split(".")[0]) for path in golden_files()}
    for race in RACES.values():
        if race.historic and "model" in race.sides:
            assert ("6.1-model", race.name) in labels
        if any(historic.reverts_of("6.1") for historic in race.historic):
            assert ("6.1-kvm", race.name) in labels


def limited(race, library, series, limit):
    release = tuple(map(int, series.split(".")))
    profile = profile_of(release)
    if race.absent(profile) or "kvm" not in race.sides:
        pytest.skip(race.absent(profile) or "this race runs on the model only")
    outcome = explore_race(Exploration(race.name, race.modes[-1], profile, library(series), limit=limit))
    assert outcome.trouble == ""
    return outcome.violation


@pytest.mark.parametrize("name", sorted(AT_ONCE))
def test_a_few_schedules_of_the_current_variant_violate_nothing(name, library):
    assert limited(RACES[name], library, "6.1", 200) is None


@pytest.mark.slow
@pytest.mark.parametrize("series", ["6.1", "6.12", "7.3"])
@pytest.mark.parametrize("race", RACES.values(), ids=list(RACES))
def test_many_schedules_of_the_current_variant_violate_nothing(race, series, library):
    violation = limited(race, library, series, 1500)
    if (race.name, series) == ("aging_against_fast_faults", "6.12"):
        assert violation is not None and violation.invariant == "dirty frames are told"
    else:
        assert violation is None


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("unmapped/vcpu0.read/host.discard-all", "ept-ad"),
        ("collected/vcpu0.fetch/host.discard.discard", "legacy-ept-ad"),
        ("mapped/vcpu1.read/host.discard-all.discard-all", "legacy-npt"),
    ],
)
def test_the_zero_page_is_mapped_again_after_it_was_discarded(name, mode, library):
    outcome = explore_race(Exploration(name, mode, profile_of((6, 1)), library("6.1"), limit=100))
    assert outcome.trouble == "" and outcome.violation is None


@pytest.mark.slow
def test_a_crash_of_the_kernel_is_a_finding(tmp_path):
    late = "if (!try_cmpxchg64(sptep, &iter->old_spte, new_spte))\n\t\treturn -EBUSY;\n\n\t__handle"
    patch = patch_for(Substitution(TDP_C, late, late.replace("return -EBUSY", "BUG()")), tmp_path)
    library = build_kvm(open_kernel("6.1", [patch]), Cache(), quiet, racing=True)
    outcome = explore_race(Exploration("two_vcpus_fault_on_one_gfn", "ept-ad", profile_of((6, 1)), library))
    assert outcome.violation is not None and outcome.violation.invariant == "nothing crashes"
    assert outcome.violation.how == "BUG in tdp_mmu_set_spte_atomic"
    assert {segment.thread for segment in outcome.segments} == {"vcpu0", "vcpu1"}


@pytest.mark.parametrize("side", ["model", "kvm"])
def test_a_deadlock_is_a_finding(side, library, monkeypatch):
    begins = (step("notifier_start", page=2, npages=1),)
    deletes = (step("set_memory_region", slot=0, gfn=0x100, npages=0, page=0),)
    race = replace(RACES["fault_against_release"], name="stuck", threads={"host": begins, "user": deletes})
    monkeypatch.setitem(RACES, "stuck", race)
    outcome = explore_race(
        Exploration("stuck", "npt", profile_of((6, 1)), library("6.1") if side == "kvm" else None)
    )
    assert outcome.violation is not None and outcome.violation.invariant == "no deadlock"
    assert outcome.violation.how == "user is blocked, and no thread is enabled"


def test_a_race_file_for_another_kernel_is_refused(tmp_path):
    path = tmp_path / "a.race"
    path.write_text(
        "race fault_against_release\non kvm\nmode npt\nwithout e930bffe95e1\nschedule\n  vcpu0  to its end\n"
    )
    with pytest.raises(ConformanceError, match="no revert of"):
        replay_file(path, ("7.3",), (), quiet)
    with pytest.raises(ConformanceError, match="one kernel"):
        replay_file(path, ("all",), (), quiet)

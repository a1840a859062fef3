# SPDX-License-Identifier: GPL-2.0-only
"""The races on real kernel code: golden schedules still break what they broke, today's break nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planting import patch_for

from conformance.errors import ConformanceError
from conformance.kernels import Cache, open_kernel
from conformance.kernels.substitutions import TDP_C, Substitution
from conformance.model.profiles import profile_of
from conformance.oracles.kvm.build import build_kvm
from conformance.races.exploration import Exploration, hold
from conformance.races.goldens import MARK, golden_files
from conformance.races.replaying import follow
from conformance.races.stories import RACES
from conformance.scenarios.steps import step

pytestmark = pytest.mark.kernel

AT_ONCE = {"fault_against_release", "get_dirty_log_against_writes", "dirty_lost_in_a_zap"}
"""Races of which a few schedules are run in the quick tests, too."""


def quiet(message):
    """Nobody is told."""


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


def replayed(path):
    found = follow(path, ("6.1",), (), quiet)
    breach = found.outcome.breach
    assert breach is not None and breach.promise == found.saved.breaks
    assert f"{MARK}\n{found.text()}" == path.read_text()


@pytest.mark.parametrize("path", goldens("model"))
def test_a_golden_race_on_the_model(path):
    replayed(path)


@pytest.mark.slow
@pytest.mark.parametrize("path", goldens("kvm"))
def test_a_golden_race_on_the_kernel(path):
    replayed(path)


def test_every_historic_form_has_a_golden_race():
    labels = {(path.parent.name, path.name.split(".")[0]) for path in golden_files()}
    for race in RACES.values():
        if race.historic:
            assert ("6.1-model", race.name) in labels
        if any(historic.reverts_of("6.1") for historic in race.historic):
            assert ("6.1-kvm", race.name) in labels


def limited(race, library, series, limit):
    release = tuple(map(int, series.split(".")))
    profile = profile_of(release)
    if race.absent(profile) or race.shadow:
        pytest.skip(race.absent(profile) or "shadow paging on the kernel is coming")
    outcome = hold(Exploration(race.name, race.modes[-1], profile, library(series), limit=limit))
    assert outcome.trouble == ""
    return outcome.breach


@pytest.mark.parametrize("name", sorted(AT_ONCE))
def test_today_a_few_schedules_break_nothing(name, library):
    assert limited(RACES[name], library, "6.1", 200) is None


@pytest.mark.slow
@pytest.mark.parametrize("series", ["6.1", "6.12", "7.3"])
@pytest.mark.parametrize("race", RACES.values(), ids=list(RACES))
def test_today_many_schedules_break_nothing(race, series, library):
    breach = limited(race, library, series, 1500)
    if (race.name, series) == ("aging_against_fast_faults", "6.12"):
        assert breach is not None and breach.promise == "dirty frames are told"
    else:
        assert breach is None


@pytest.mark.slow
def test_a_crash_of_the_kernel_is_a_finding(tmp_path):
    late = "if (!try_cmpxchg64(sptep, &iter->old_spte, new_spte))\n\t\treturn -EBUSY;\n\n\t__handle"
    patch = patch_for(Substitution(TDP_C, late, late.replace("return -EBUSY", "BUG()")), tmp_path)
    library = build_kvm(open_kernel("6.1", [patch]), Cache(), quiet, racing=True)
    outcome = hold(Exploration("two_vcpus_fault_on_one_gfn", "ept-ad", profile_of((6, 1)), library))
    assert outcome.breach is not None and outcome.breach.promise == "nothing crashes"
    assert outcome.breach.how == "BUG in tdp_mmu_set_spte_atomic"
    assert {leg.thread for leg in outcome.legs} == {"vcpu0", "vcpu1"}


@pytest.mark.parametrize("side", ["model", "kvm"])
def test_threads_that_wait_for_ever_are_a_finding(side, library, monkeypatch):
    begins = (step("notifier_start", page=2, npages=1),)
    deletes = (step("set_memory_region", slot=0, gfn=0x100, npages=0, page=0),)
    race = replace(RACES["fault_against_release"], name="stuck", threads={"host": begins, "user": deletes})
    monkeypatch.setitem(RACES, "stuck", race)
    outcome = hold(Exploration("stuck", "npt", profile_of((6, 1)), library("6.1") if side == "kvm" else None))
    assert outcome.breach is not None and outcome.breach.promise == "nobody is stuck"
    assert outcome.breach.how == "user waits for ever"


def test_a_race_file_for_another_kernel_is_refused(tmp_path):
    path = tmp_path / "a.race"
    path.write_text(
        "race fault_against_release\non kvm\nmode npt\nwithout e930bffe95e1\nschedule\n  vcpu0  to its end\n"
    )
    with pytest.raises(ConformanceError, match="is not written down"):
        follow(path, ("7.3",), (), quiet)
    with pytest.raises(ConformanceError, match="one kernel"):
        follow(path, ("all",), (), quiet)

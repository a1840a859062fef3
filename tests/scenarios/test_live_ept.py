# SPDX-License-Identifier: GPL-2.0-only
"""EPT on a live kernel in Bochs: what the machine is, and stories of dirty logging, PML and MMIO."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from planting import patch_for

from conformance.differential.verdict import Verdict
from conformance.model.modes import VM_MODES
from conformance.oracles.live.settings import setting_of
from conformance.scenarios.judging_scenario import judge
from conformance.scenarios.live_machines import MACHINES
from conformance.scenarios.live_ready import LivePlan, prepare_any
from conformance.scenarios.live_sides import LiveSides
from conformance.scenarios.stories import STORIES

PLAYED = (
    "first_write",
    "host_forks",
    "write_after_logging_began",
    "logging_by_dirty_bits",
    "logs_of_two_processors",
    "mmio_is_cached",
    "stale_mmio_is_made_anew",
)


def test_each_mode_has_one_machine():
    assert MACHINES["bochs"].absent("ept-noad") == ""
    assert MACHINES["qemu"].absent("ept-ad").endswith("only; see --machine bochs")
    assert MACHINES["bochs"].absent("npt").endswith("legacy-ept-noad only; see --machine qemu")
    assert MACHINES["bochs"].absent("shadow-l1tf").endswith("only")
    modes = [mode for one in MACHINES.values() for mode in one.modes]
    assert len({*modes}) == len(modes)


def test_the_host_in_bochs_is_affected_by_l1tf():
    mode = MACHINES["bochs"].mode("ept-ad")
    assert (mode.name, mode.phys_bits, mode.cache_bits, mode.l1tf) == ("ept-ad", 40, 40, True)
    assert MACHINES["qemu"].mode("npt") == VM_MODES["npt"]


@pytest.mark.parametrize(
    ("mode", "pml", "parameters"),
    [
        ("ept-ad", 1, {"eptad": "Y", "pml": "Y"}),
        ("ept-noad", 0, {"eptad": "N", "pml": "N"}),
        ("npt", 0, {}),
    ],
)
def test_the_vendors_module_is_loaded_as_the_mode_is(mode, pml, parameters):
    assert setting_of(VM_MODES[mode].host()).with_pml(pml) == parameters


def test_the_command_for_a_single_story_names_the_machine():
    assert LivePlan(machine="bochs").arguments == ("--oracle", "live", "--machine", "bochs")
    assert LivePlan().arguments == ("--oracle", "live")


@pytest.mark.kernel
@pytest.mark.network
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bochs") is None, reason="Bochs is not installed")
def test_stories_of_ept_agree_and_a_wrong_host_does_not():
    ready = prepare_any("6.12", (), ("ept-ad",), LivePlan(machine="bochs"), lambda line: None)
    with ready.playing("ept-ad") as sides:
        for name in PLAYED:
            result = judge(sides, name, STORIES[name].script, ready.facts, golden=False)
            assert result.verdict is Verdict.PASS, result.counterexample
        # A processor without L1TF would have other MMIO SPTEs.
        assert isinstance(sides, LiveSides)
        wrong = replace(sides, mode=VM_MODES["ept-ad"])
        found = judge(wrong, "mmio_is_cached", STORIES["mmio_is_cached"].script, ready.facts, golden=False)
        assert found.verdict is Verdict.FAIL


@pytest.mark.kernel
@pytest.mark.network
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bochs") is None, reason="Bochs is not installed")
def test_a_mutant_of_pml_is_found(tmp_path):
    (mutant,) = (one for one in STORIES["logging_by_dirty_bits"].mutants if one.substitution.kernel == "6.1")
    patch = patch_for(mutant.substitution, tmp_path)
    ready = prepare_any("6.1", (patch,), ("ept-ad",), LivePlan(machine="bochs"), lambda line: None)
    with ready.playing("ept-ad") as sides:
        verdicts = {
            name: judge(sides, name, STORIES[name].script, ready.facts, golden=False).verdict
            for name in ("first_write", "logging_by_dirty_bits")
        }
    assert verdicts == {"first_write": Verdict.PASS, "logging_by_dirty_bits": Verdict.FAIL}

# SPDX-License-Identifier: GPL-2.0-only
"""Stories notice what they are there to notice: planted mutants of the TDP MMU die."""

from __future__ import annotations

import pytest
from mutants import PLANTED
from planting import patch_for

from conformance.differential.verdict import Verdict
from conformance.scenarios.judging_scenario import judge
from conformance.scenarios.run_scenarios import Ready, prepare
from conformance.scenarios.stories import STORIES

FEWEST = 25


def test_there_are_enough_and_all_files_have_some():
    assert len(PLANTED) >= FEWEST
    files = {planted.mutant.file.rpartition("/")[2] for planted in PLANTED}
    assert files == {"tdp_mmu.c", "tdp_iter.c", "mmu.c", "kvm_main.c"}
    assert {planted.mutant.kernel for planted in PLANTED} >= {"6.1", "7.3"}


def test_every_mutant_has_its_story():
    for planted in PLANTED:
        assert planted.mode in STORIES[planted.story].modes, planted.wrong


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.parametrize(
    "planted", [pytest.param(p, id=f"{p.story}-{n}-{p.mutant.kernel}") for n, p in enumerate(PLANTED)]
)
def test_mutant_dies(planted, tmp_path, counted):
    score = counted("mutants of the TDP MMU, by their stories")
    score["planted"] += 1
    patch = patch_for(planted.mutant, tmp_path)
    ready = prepare(planted.mutant.kernel, (patch,), lambda line: None)
    assert isinstance(ready, Ready), ready.error or ready.unreached
    script = STORIES[planted.story].script
    result = judge(ready.arena(planted.mode), planted.story, script, ready.facts, golden=False)
    assert result.verdict is Verdict.FAIL, f"survived: {planted.wrong}"
    score["killed"] += 1

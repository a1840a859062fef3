# SPDX-License-Identifier: GPL-2.0-only
"""Stories find what they are there to find: the mutants planted beside them die."""

from __future__ import annotations

from collections import Counter

import pytest
from planting import patch_for

from conformance.differential.verdict import Verdict
from conformance.scenarios.judging_scenario import judge
from conformance.scenarios.ready import Ready, prepare
from conformance.scenarios.stories import STORIES

FEWEST = 180
PLANTED = [(story, mutant) for story in STORIES.values() for mutant in story.mutants]


def test_there_are_enough_and_all_files_have_some():
    assert len(PLANTED) >= FEWEST
    files = {mutant.substitution.file.rpartition("/")[2] for _, mutant in PLANTED}
    assert files >= {"tdp_mmu.c", "tdp_iter.c", "mmu.c", "paging_tmpl.h", "kvm_main.c"}
    assert {mutant.substitution.kernel for _, mutant in PLANTED} >= {"6.1", "7.3"}


def test_shadow_paging_and_nested_guests_have_their_share():
    of_guests = {"mapping", "tables written", "roots", "paging modes", "huge pages"}
    themes = {"shadow life", "nested guests", *(f"guest {theme}" for theme in of_guests)}
    planted = [(story.theme, mutant.substitution.file) for story, mutant in PLANTED if story.theme in themes]
    assert {theme for theme, _ in planted} == themes and len(planted) >= 100
    files = Counter(file.rpartition("/")[2] for _, file in planted)
    assert files >= Counter({"mmu.c": 50, "paging_tmpl.h": 25, "x86.c": 20, "mmu_internal.h": 5})


def test_every_mutant_is_of_a_mode_of_its_story():
    for story, mutant in PLANTED:
        assert mutant.mode in story.modes, mutant.wrong


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.parametrize(
    ("story", "mutant"),
    [
        pytest.param(story, mutant, id=f"{story.name}-{n}-{mutant.substitution.kernel}")
        for n, (story, mutant) in enumerate(PLANTED)
    ],
)
def test_mutant_dies(story, mutant, tmp_path, counted):
    score = counted("mutants of the MMU, by their stories")
    score["planted"] += 1
    patch = patch_for(mutant.substitution, tmp_path)
    ready = prepare(mutant.substitution.kernel, (patch,), lambda line: None)
    assert isinstance(ready, Ready), ready.error or ready.unreached
    result = judge(ready.sides(mutant.mode), story.name, story.script, ready.facts, golden=False)
    assert result.verdict is Verdict.FAIL, f"survived: {mutant.wrong}"
    score["killed"] += 1

# SPDX-License-Identifier: GPL-2.0-only
"""The table of fixes is sound, and what must notice each can: shown on the model alone, without a kernel."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.differential.columns import Bits
from conformance.differential.properties import PROPERTIES
from conformance.differential.property import ANY_MODE
from conformance.history import FIXES, UNDETECTED, Layer
from conformance.history.extra_stories import EXTRA_STORIES
from conformance.history.judging_revert import layer_of
from conformance.model.changes import CHANGES
from conformance.model.machine import Machine
from conformance.model.modes import MODES, kernel_in
from conformance.model.profiles import profile_of
from conformance.races.stories import RACES
from conformance.scenarios.stories import STORIES

REVERTS = [(fix, revert) for fix in FIXES for revert in fix.reverts]
EXACT = [(fix, revert) for fix, revert in REVERTS if revert.exact]
IDS = [f"{fix.commit}-{revert.kernel}-{revert.by}" for fix, revert in EXACT]


def release(series: str) -> tuple[int, int]:
    major, minor = series.split(".")
    return int(major), int(minor)


def test_commits_are_named_once():
    commits = [fix.change.commit for fix in (*FIXES, *UNDETECTED)]
    assert len(commits) == len(set(commits))


def test_a_fix_outside_of_the_registry_is_not_in_it_under_another_name():
    registered = {change.commit: change for change in CHANGES.values()}
    for fix in (*FIXES, *UNDETECTED):
        known = registered.get(fix.change.commit)
        assert known is None or known is fix.change, fix.change


def test_every_fix_of_the_table_can_be_taken_out_somewhere():
    assert all(fix.reverts for fix in FIXES)


@pytest.mark.parametrize(("fix", "revert"), REVERTS, ids=lambda each: getattr(each, "by", ""))
def test_what_must_notice_exists(fix, revert):
    if layer_of(revert) is Layer.FUNCTION:
        modes = PROPERTIES[revert.by].modes
        assert revert.mode in modes or modes == ANY_MODE
        assert not PROPERTIES[revert.by].absent(profile_of(release(revert.kernel)))
    elif layer_of(revert) is Layer.INTERLEAVING:
        assert revert.mode in RACES[revert.by].modes
    elif revert.by in EXTRA_STORIES:
        assert MODES[revert.mode].tdp
    else:
        assert revert.mode in STORIES[revert.by].modes


@pytest.mark.parametrize(("fix", "revert"), EXACT, ids=IDS)
def test_only_what_the_model_tells_apart_is_exact(fix, revert):
    assert fix.change in CHANGES.values()
    assert profile_of(release(revert.kernel)).has(fix.change)


@pytest.mark.parametrize(("fix", "revert"), EXACT, ids=IDS)
def test_the_model_without_the_fix_is_another(fix, revert):
    profile = profile_of(release(revert.kernel))
    observed = _observed if layer_of(revert) is Layer.STORY else _answers
    assert observed(revert, profile) != observed(revert, profile.without(fix.change))


def _observed(revert, profile):
    """All that the machine observes of a story."""
    script = EXTRA_STORIES[revert.by] if revert.by in EXTRA_STORIES else STORIES[revert.by].script
    machine = Machine(profile, MODES[revert.mode], **script.options)
    return [machine.step(step.kind, **step.arguments) for step in script.steps]


def _answers(revert, profile):
    """All that the model answers to the same drawn cases."""
    prop, mode = PROPERTIES[revert.by], MODES[revert.mode]
    fixed = kernel_in(mode, profile_of(release(revert.kernel)))
    rng = np.random.default_rng(3)
    drawn: dict[str, np.ndarray] = {}
    for column in prop.takes:
        values = column.sample(fixed, rng, 1 << 14, drawn)
        # Words full of bits hide each other: half of them are empty here.
        dense = isinstance(column, Bits) and column.dense
        drawn[column.name] = values * rng.integers(0, 2, len(values), np.uint64) if dense else values
    rows = prop.observe(kernel_in(mode, profile), list(drawn.values()))
    return [np.broadcast_to(row, 1 << 14).tolist() for row in rows]


def test_layers_without_an_oracle_are_undetected():
    assert {fix.layer for fix in UNDETECTED} == {Layer.INTERLEAVING, Layer.SHADOW}
    assert all(fix.reason and fix.wrong for fix in UNDETECTED)

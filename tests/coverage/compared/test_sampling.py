# SPDX-License-Identifier: GPL-2.0-only
"""A sample is drawn from executed lines, and is the same for the same seed."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from conformance.coverage.compared.concurrency import concurrency_changes
from conformance.coverage.compared.operators import changes
from conformance.coverage.compared.pieces import UNSURE
from conformance.coverage.compared.sampling import drawn, frame_of, mutant_of
from conformance.coverage.data import Coverage, Executed, File, Function, Layer
from conformance.coverage.data import Line as Measured

FILE = "arch/x86/kvm/mmu/bits.c"

TEXT = b"""\
static int both(int one, int other)
{
	if (one < 0 &&
		other == 4)
		return one;
	spin_lock(&lock); spin_unlock(&lock);
	one = other +
		3;
	return one;
}

static int dark(int one)
{
	return one | 2;
}

static int racing(int one)
{
	return one & 2;
}
"""
LINES = {3: 7, 4: 2, 5: 0, 6: 5, 7: 5, 9: 5, 14: 0, 19: 3}


def layer(name, *runs):
    return Layer(
        name,
        {
            FILE: File(
                {number: Measured(count, (), "both") for number, count in LINES.items()},
                {"both": Function("both", 1, 10, 7)},
            )
        },
        {run: Executed(frozenset({"both"}), {FILE: frozenset(lines)}) for run, lines in runs},
    )


@pytest.fixture
def coverage():
    return Coverage(
        "6.1",
        {
            "functions": layer("functions", ("both", {3, 4, 9})),
            "stories": layer("stories", ("first_read", {3, 6, 7}), ("first_write", {3})),
            "races": layer("races", ("one_race", {7})),
            "lockstep": layer("lockstep", ("npt", {19})),
        },
    )


@pytest.fixture
def source(tmp_path):
    (tmp_path / FILE).parent.mkdir(parents=True)
    (tmp_path / FILE).write_bytes(TEXT)
    return tmp_path


def test_lines_that_properties_stories_or_races_execute_can_be_drawn(source, coverage):
    frame = frame_of(source, coverage)
    assert frame.executed == 5
    # Nothing can be planted into a lock; what only lockstep executes is not run again.
    assert [line for _, line in frame.changes] == [3, 4, 7, 9]


def test_further_operators_make_further_changes(source, coverage):
    frame = frame_of(source, coverage, concurrency_changes)
    assert [line for _, line in frame.changes] == [3, 4, 6, 7, 9]
    assert [one.operator for one in frame.changes[FILE, 6]] == ["lock dropped"]


def test_a_change_counts_on_the_line_on_which_the_compiler_counts_it(source, coverage):
    frame = frame_of(source, coverage)
    pieces = {TEXT[one.start : one.end] for one in frame.changes[FILE, 7]}
    assert b"3" in pieces and b"one < 0" not in pieces
    assert {TEXT[one.start : one.end] for one in frame.changes[FILE, 4]} == {b"other == 4", b"4"}


def test_the_same_seed_draws_the_same_and_another_one_does_not(source, coverage):
    frame = frame_of(source, coverage)
    assert [*drawn(frame, 5)] == [*drawn(frame, 5)]
    assert len({str([*drawn(frame, seed)]) for seed in range(20)}) > 10


def test_a_larger_sample_contains_the_smaller_one(source, coverage):
    frame = frame_of(source, coverage)
    assert [*drawn(frame, 5)][:2] == [*islice(drawn(frame, 5), 2)]


def test_lines_are_drawn_uniformly(source, coverage):
    frame = frame_of(source, coverage)
    first = Counter(next(drawn(frame, seed))[0][1] for seed in range(4000))
    assert first.keys() == {3, 4, 7, 9}
    assert all(900 < times < 1100 for times in first.values())


def test_the_second_candidate_is_one_that_compiles(source, coverage):
    frame = frame_of(source, coverage)
    for seed in range(50):
        for _, candidates in drawn(frame, seed):
            assert 1 <= len(candidates) <= 2
            assert all(one.rank != UNSURE for one in candidates[1:])


def test_a_file_that_is_gone_has_no_lines(tmp_path, coverage):
    assert frame_of(tmp_path, coverage).changes == {}


def test_a_mutant_is_shown_as_lines():
    (change,) = (one for one in changes(TEXT) if one.text == "(other != 4)")
    mutant = mutant_of(FILE, 4, change, TEXT)
    assert (mutant.before, mutant.after) == ("other == 4)", "(other != 4))")
    assert mutant.function == "both"
    assert mutant.operator == "comparison shifted"

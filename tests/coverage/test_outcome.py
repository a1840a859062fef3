# SPDX-License-Identifier: GPL-2.0-only
"""The states of lines, and sums over files and functions."""

from coverage_samples import MMU, outcome, sample

from conformance.coverage.compared.mutants import Outcome
from conformance.coverage.outcome import Dark, State


def test_states_without_a_sample(tmp_path):
    states = outcome(tmp_path).states[MMU]
    assert [number for number, state in states.items() if state is State.EXECUTED] == [2, 4, 5]
    assert [number for number, state in states.items() if state is State.DARK] == [6, 14, 16, 20]
    assert [number for number, state in states.items() if state is State.UNREACHABLE] == [17, 18]


def test_states_with_a_sample(tmp_path):
    states = outcome(tmp_path, sample()).states[MMU]
    assert (states[4], states[5], states[2]) == (State.SURVIVED, State.COMPARED, State.EXECUTED)


def test_what_only_reviews_compare_is_not_compared(tmp_path):
    assert outcome(tmp_path, sample(Outcome.REVIEWS)).states[MMU][4] is State.SURVIVED


def test_an_equivalent_mutant_says_nothing_of_its_line(tmp_path):
    assert outcome(tmp_path, sample(Outcome.EQUIVALENT)).states[MMU][4] is State.EXECUTED


def test_sums_leave_unreachable_lines_out(tmp_path):
    sums = outcome(tmp_path).sums(MMU)
    assert (sums.lines, sums.branches, sums.functions, sums.unreachable) == ((3, 7), (2, 4), (1, 2), 2)
    assert outcome(tmp_path / "again").total() == sums


def test_counts_of_a_function(tmp_path):
    found = outcome(tmp_path).counts(MMU, "never")
    assert found == {**dict.fromkeys(State, 0), State.DARK: 3, State.UNREACHABLE: 2}


def test_dark_functions(tmp_path):
    assert outcome(tmp_path).dark_functions() == [Dark(MMU, ("never",), 3)]


def test_the_runs_of_a_function_are_in_order(tmp_path):
    found = outcome(tmp_path).runs_of_function("zap")
    assert found == [("stories", "first_read"), ("stories", "first_write")]

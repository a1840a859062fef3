# SPDX-License-Identifier: GPL-2.0-only
"""The preemption-bounded search: few schedules, and yet every final state within the bound."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from toys import LOCK, LOCK_SHARED, READ, RMW, UNLOCK, WAIT, WRITE, Toy, by_force, programs, seen, state

from conformance.races.preemption_bound import PreemptionBoundedSearch

MOST = 3
LOSING = [(READ, 1), (WRITE, 1)], [(READ, 1), (WRITE, 1)]


def ends_by_bound(toy, most=MOST):
    """The executions that each bound adds."""
    search = PreemptionBoundedSearch(toy, most)
    return [[ended for _, ended in search.schedules(bound) if ended is not None] for bound in range(most + 1)]


def lost(execution):
    return [read[0] for read in execution.events[-1][1:-1]] == [0, 0]


def test_a_lost_update_needs_one_preemption():
    none, one, *_ = ends_by_bound(Toy(*LOSING))
    assert not any(map(lost, none))
    assert any(map(lost, one))


def test_a_value_that_comes_back_needs_two():
    """The first thread compares twice what the second changes in between, and changes back."""
    toy = Toy([(READ, 1), (READ, 1), (READ, 1)], [(WRITE, 1), (WRITE, 1)])
    changed = (0, 101, 102)
    by_bound = [{state(execution)[0] for execution in ended} for ended in ends_by_bound(toy)]
    assert [changed in found for found in by_bound] == [False, False, False, True]


def test_without_preemptions_threads_run_one_after_the_other():
    toy = Toy(*[[(RMW, 1), (RMW, 1)]] * 3)
    none, *_ = ends_by_bound(toy)
    assert len(none) == 6


@pytest.mark.parametrize(
    "programs",
    [
        [
            [(LOCK, 8), (WRITE, 1), (UNLOCK, 8), (RMW, 1)],
            [(READ, 1), (LOCK_SHARED, 8), (UNLOCK, 8), (RMW, 1)],
        ],
        [[(WRITE, 2), (LOCK, 8), (UNLOCK, 8), (RMW, 2)], [(READ, 2), (WAIT, 8), (WRITE, 2)]],
    ],
)
def test_a_thread_that_blocks_on_a_lock_costs_no_preemption(programs):
    """The first is preempted before its unlock; the second runs until it blocks on the lock."""
    toy = Toy(*programs)
    for bound, ended in enumerate(_so_far(ends_by_bound(toy))):
        assert seen(ended) == seen(by_force(toy, bound))


def test_no_preemption_before_accesses_to_thread_local_objects():
    alone = [(RMW, 50 + n) for n in range(20)]
    others = [(RMW, 80 + n) for n in range(20)]
    found = ends_by_bound(Toy([*alone, *LOSING[0], *alone], [*others, *LOSING[1], *others]), most=2)
    assert sum(map(len, found)) < 10


@pytest.mark.parametrize("later", [0, 3])
def test_preemption_points_that_turn_out_to_matter_are_scheduled(later):
    """The conflicting write happens only after a preemption."""

    class Hesitant(Toy):
        """The second thread writes only if it has read what the first one wrote."""

        def pending(self, thread):
            op = super().pending(thread)
            if thread == 1 and self.at[1] == 1 and self.seen[1] == [0]:
                return None
            return op

    padding = [(RMW, 5)] * later
    first = [(READ, 7), *padding, (WRITE, 1), (READ, 7), (WRITE, 1), (READ, 7)]
    toy = Hesitant(first, [(READ, 1), (WRITE, 7)])
    for bound, ended in enumerate(_so_far(ends_by_bound(toy))):
        assert seen(ended) == seen(by_force(toy, bound))


def _so_far(by_bound):
    return [
        [execution for ended in by_bound[: bound + 1] for execution in ended]
        for bound in range(len(by_bound))
    ]


@given(programs(accesses=11))
@settings(max_examples=300, deadline=None)
def test_it_reaches_every_final_state_within_the_bound(programs):
    toy = Toy(*programs)
    for bound, ended in enumerate(_so_far(ends_by_bound(toy))):
        assert seen(ended) == seen(by_force(toy, bound))

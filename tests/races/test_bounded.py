# SPDX-License-Identifier: GPL-2.0-only
"""Few preemptions: few schedules, and yet every end that can be had with so few."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from toys import LOCK, LOCK_SHARED, READ, RMW, UNLOCK, WAIT, WRITE, Toy, by_force, programs, seen, state

from conformance.races.bounded import FewPreemptions

MOST = 3
LOSING = [(READ, 1), (WRITE, 1)], [(READ, 1), (WRITE, 1)]


def ends_by_bound(toy, most=MOST):
    """The ends that each bound adds."""
    search = FewPreemptions(toy, most)
    return [[ended for _, ended in search.schedules(bound) if ended is not None] for bound in range(most + 1)]


def lost(ending):
    return [read[0] for read in ending.events[-1][1:-1]] == [0, 0]


def test_a_lost_update_needs_one_preemption():
    none, one, *_ = ends_by_bound(Toy(*LOSING))
    assert not any(map(lost, none))
    assert any(map(lost, one))


def test_a_value_that_comes_back_needs_two():
    """The first thread compares twice what the second changes in between, and changes back."""
    toy = Toy([(READ, 1), (READ, 1), (READ, 1)], [(WRITE, 1), (WRITE, 1)])
    changed = (0, 101, 102)
    by_bound = [{state(ending)[0] for ending in ended} for ended in ends_by_bound(toy)]
    assert [changed in found for found in by_bound] == [False, False, False, True]


def test_without_preemptions_threads_follow_each_other():
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
def test_who_waits_for_a_lock_switches_for_free(programs):
    """The first is preempted before it gives the lock back; the second comes up to that, and no further."""
    toy = Toy(*programs)
    for bound, ended in enumerate(_so_far(ends_by_bound(toy))):
        assert seen(ended) == seen(by_force(toy, bound))


def test_what_no_other_thread_accesses_is_no_place_for_a_preemption():
    alone = [(RMW, 50 + n) for n in range(20)]
    others = [(RMW, 80 + n) for n in range(20)]
    found = ends_by_bound(Toy([*alone, *LOSING[0], *alone], [*others, *LOSING[1], *others]), most=2)
    assert sum(map(len, found)) < 10


@pytest.mark.parametrize("later", [0, 3])
def test_what_was_learned_late_is_made_up_for(later):
    """Only who has been preempted sees that the other thread writes what it reads."""

    class Hesitant(Toy):
        """The second thread writes only if it has read what the first wrote in between."""

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
    return [[ending for ended in by_bound[: bound + 1] for ending in ended] for bound in range(len(by_bound))]


@given(programs(accesses=11))
@settings(max_examples=300, deadline=None)
def test_it_finds_every_end_that_so_few_preemptions_have(programs):
    toy = Toy(*programs)
    for bound, ended in enumerate(_so_far(ends_by_bound(toy))):
        assert seen(ended) == seen(by_force(toy, bound))

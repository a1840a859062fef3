# SPDX-License-Identifier: GPL-2.0-only
"""Schedules: found, told in legs, followed again, shortened; random ones are as good as they say."""

from __future__ import annotations

from itertools import islice

import pytest
from toys import LOCK, MARK, READ, RMW, UNLOCK, WRITE, Toy

from conformance.races.dpor import every_schedule
from conformance.races.exploring import explore
from conformance.races.invariants import NOBODY_IS_STUCK
from conformance.races.moments import moments
from conformance.races.pct import random_schedules
from conformance.races.picture import as_html, as_text
from conformance.races.schedule import Leg, legs_of, read_legs, run_legs
from conformance.races.shortening import fewest_switches, switches

LOSING = [(READ, 1), (WRITE, 1)], [(READ, 1), (WRITE, 1)]
LOCKED = [(LOCK, 9), *LOSING[0], (UNLOCK, 9)], [(LOCK, 9), *LOSING[1], (UNLOCK, 9)]
DEADLOCK = [(LOCK, 1), (LOCK, 2), (UNLOCK, 2), (UNLOCK, 1)], [(LOCK, 2), (LOCK, 1), (UNLOCK, 1), (UNLOCK, 2)]


def lost(ending):
    """Whether both threads read what was there at first."""
    return [seen[0] for seen in ending.events[-1][1:-1]] == [0, 0]


def a_bad_schedule(toy):
    return next(choices for choices, ending in every_schedule(toy) if lost(ending))


def test_a_schedule_told_in_legs_is_the_same_schedule():
    toy = Toy(*LOSING)
    choices = a_bad_schedule(toy)
    legs = legs_of(toy, choices)
    assert read_legs(map(str, legs)) == legs
    followed, ending = run_legs(toy, legs)
    assert followed == choices and lost(ending)


def test_legs_mean_the_same_when_there_is_one_more_access_elsewhere():
    legs = legs_of(Toy(*LOSING), a_bad_schedule(Toy(*LOSING)))
    longer = [(RMW, 5), LOSING[0][0], (READ, 6), LOSING[0][1]], [(READ, 7), *LOSING[1], (WRITE, 8)]
    _, ending = run_legs(Toy(*longer), legs)
    assert [seen[0] for seen in ending.events[-1][1:3]] == [0, 0]


def test_the_second_time_is_told_from_the_first():
    toy = Toy([(WRITE, 1), (WRITE, 1), (WRITE, 1)], [(READ, 1)])
    legs = legs_of(toy, [0, 0, 1, 0])
    assert [str(leg).split(None, 1)[1] for leg in legs] == ["until  write 1 #3", "to its end", "to its end"]
    assert run_legs(toy, legs)[0] == [0, 0, 1, 0]


def test_a_thread_that_is_barred_waits_for_the_others():
    choices, ending = run_legs(Toy(*LOCKED), [Leg("thread0", "read 1"), Leg("thread1")])
    assert ending.stuck == () and sorted(choices) == [0] * 4 + [1] * 4


def test_what_is_no_schedule():
    with pytest.raises(ValueError, match="is no line of a schedule"):
        read_legs(["thread0 does something"])
    with pytest.raises(ValueError, match="no thread vcpu7"):
        run_legs(Toy(*LOSING), [Leg("vcpu7")])


def test_a_schedule_is_shortened_to_the_fewest_switches():
    busy = [(WRITE, 20 + n) for n in range(4)]
    toy = Toy([*busy, *LOSING[0], *busy], [*busy, *LOSING[1], *busy])
    bad = [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]
    toy.begin()
    for thread in bad:
        toy.advance(thread)

    def breaks(ending):
        return [seen[0] for seen in ending.events[-1][1:-1]] == [0, 0]

    assert breaks(toy.finish())
    short = fewest_switches(toy, bad, breaks, 10_000)
    assert switches(short) == 2


def test_random_schedules_repeat_with_their_seed():
    toy = Toy(*LOSING)
    first, again, other = (
        [choices for choices, _ in islice(random_schedules(toy, seed, 4), 20)] for seed in (1, 1, 2)
    )
    assert first == again != other


def test_random_schedules_find_what_they_promise_to():
    toy = Toy(*LOSING)
    found = sum(lost(ending) for _, ending in islice(random_schedules(toy, 0, 4), 2000))
    assert found >= 2000 / (2 * 4**2)


def test_exploring_ends_when_all_is_seen():
    explored = explore(Toy(*LOCKED), 100)
    assert (explored.schedules, explored.exhausted, explored.breach) == (2, True, None)
    assert explored.bounds == "exhausted, all 2 schedules that differ, of up to 8 accesses"


def test_exploring_finds_a_deadlock():
    breach = explore(Toy(*DEADLOCK), 100).breach
    assert breach is not None and breach.promise == NOBODY_IS_STUCK.name
    assert explore(Toy(*DEADLOCK), 100, seed=3).breach is not None


MUCH = [(WRITE, 1)] * 6, [(READ, 1)] * 6


def test_what_is_too_much_is_exhausted_within_a_bound_and_goes_on_at_random():
    explored = explore(Toy(*MUCH), 300)
    assert (explored.exhausted, explored.preemptions, explored.differing) == (False, 3, 300)
    assert explored.schedules == 300 + explored.bounded + explored.random
    assert explored.bounded and explored.random and not explored.beyond
    assert explored.bounds == (
        "300 schedules that differ are not all; "
        f"exhausted up to 3 preemptions ({explored.bounded} schedules); "
        f"{explored.random} at random, each finds a bug of 5 orderings with a chance of at least 1 in 41472"
    )


@pytest.mark.parametrize(("limit", "bound"), [(1, None), (3, 0), (30, 1)])
def test_the_bound_that_was_exhausted_is_the_one_that_is_told(limit, bound):
    explored = explore(Toy(*MUCH), limit)
    assert (explored.exhausted, explored.preemptions) == (False, bound)
    assert explored.numbers["preemptions"] == bound
    told = "exhausted" if bound is None else f"exhausted up to {bound} preemption"
    assert (told in explored.bounds) == (bound is not None)
    assert bound == 0 or (explored.beyond and "more with" in explored.bounds)


def test_a_seed_has_random_schedules_only():
    explored = explore(Toy(*MUCH), 10, seed=1)
    assert (explored.differing, explored.bounded, explored.random) == (0, 0, 10)
    assert explored.bounds.startswith("10 at random, each finds a bug of 3 orderings")


def test_a_picture_shows_what_threads_have_to_do_with_each_other():
    toy = Toy([(WRITE, 1), (WRITE, 7), (MARK, 3)], [(READ, 1), (LOCK, 9), (UNLOCK, 9)])
    drawn = moments(toy, [0, 0, 0, 1, 1, 1])
    assert [(moment.thread, moment.did) for moment in drawn] == [(0, "write 1"), (0, "mark 3"), (1, "read 1")]
    lines = as_text(toy.threads, drawn, {}, "broken: a promise")
    assert any("write 1" in line and "read 1" not in line for line in lines)
    assert "broken: a promise" in lines[-1]
    assert "<html" in as_html("a race", toy.threads, drawn, {}, "broken").lower()

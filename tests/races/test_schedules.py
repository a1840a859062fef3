# SPDX-License-Identifier: GPL-2.0-only
"""Schedules: as segments and back, minimised, drawn; random ones meet their guarantee."""

from __future__ import annotations

from itertools import islice

import pytest
from toys import LOCK, MARK, READ, RMW, UNLOCK, WRITE, Toy

from conformance.races.diagram import as_html, as_text
from conformance.races.dpor import inequivalent_schedules
from conformance.races.explorer import explore
from conformance.races.interactions import interactions
from conformance.races.invariants import NO_DEADLOCK
from conformance.races.minimising import context_switches, minimise
from conformance.races.pct import random_schedules
from conformance.races.schedule import Segment, read_segments, run_segments, segments_of

LOSING = [(READ, 1), (WRITE, 1)], [(READ, 1), (WRITE, 1)]
LOCKED = [(LOCK, 9), *LOSING[0], (UNLOCK, 9)], [(LOCK, 9), *LOSING[1], (UNLOCK, 9)]
DEADLOCK = [(LOCK, 1), (LOCK, 2), (UNLOCK, 2), (UNLOCK, 1)], [(LOCK, 2), (LOCK, 1), (UNLOCK, 1), (UNLOCK, 2)]


def lost(execution):
    """Whether both threads read what was there at first."""
    return [seen[0] for seen in execution.events[-1][1:-1]] == [0, 0]


def a_bad_schedule(toy):
    return next(choices for choices, execution in inequivalent_schedules(toy) if lost(execution))


def test_a_schedule_in_segments_is_the_same_schedule():
    toy = Toy(*LOSING)
    choices = a_bad_schedule(toy)
    segments = segments_of(toy, choices)
    assert read_segments(map(str, segments)) == segments
    followed, execution = run_segments(toy, segments)
    assert followed == choices and lost(execution)


def test_segments_stay_valid_if_there_is_one_more_access_elsewhere():
    segments = segments_of(Toy(*LOSING), a_bad_schedule(Toy(*LOSING)))
    longer = [(RMW, 5), LOSING[0][0], (READ, 6), LOSING[0][1]], [(READ, 7), *LOSING[1], (WRITE, 8)]
    _, execution = run_segments(Toy(*longer), segments)
    assert [seen[0] for seen in execution.events[-1][1:3]] == [0, 0]


def test_a_later_occurrence_of_an_access_has_a_number():
    toy = Toy([(WRITE, 1), (WRITE, 1), (WRITE, 1)], [(READ, 1)])
    segments = segments_of(toy, [0, 0, 1, 0])
    assert [str(segment).split(None, 1)[1] for segment in segments] == [
        "until  write 1 #3",
        "to its end",
        "to its end",
    ]
    assert run_segments(toy, segments)[0] == [0, 0, 1, 0]


def test_while_a_thread_is_blocked_others_run():
    choices, execution = run_segments(Toy(*LOCKED), [Segment("thread0", "read 1"), Segment("thread1")])
    assert execution.deadlocked == () and sorted(choices) == [0] * 4 + [1] * 4


def test_other_lines_and_unknown_threads_are_refused():
    with pytest.raises(ValueError, match="is no line of a schedule"):
        read_segments(["thread0 does something"])
    with pytest.raises(ValueError, match="no thread vcpu7"):
        run_segments(Toy(*LOSING), [Segment("vcpu7")])


def test_a_schedule_is_minimised_to_the_fewest_context_switches():
    busy = [(WRITE, 20 + n) for n in range(4)]
    toy = Toy([*busy, *LOSING[0], *busy], [*busy, *LOSING[1], *busy])
    bad = [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]
    toy.begin()
    for thread in bad:
        toy.advance(thread)

    def breaks(execution):
        return [seen[0] for seen in execution.events[-1][1:-1]] == [0, 0]

    assert breaks(toy.finish())
    short = minimise(toy, bad, breaks, 10_000)
    assert context_switches(short) == 2


def test_random_schedules_repeat_with_their_seed():
    toy = Toy(*LOSING)
    first, again, other = (
        [choices for choices, _ in islice(random_schedules(toy, seed, 4), 20)] for seed in (1, 1, 2)
    )
    assert first == again != other


def test_random_schedules_meet_their_guarantee():
    toy = Toy(*LOSING)
    found = sum(lost(execution) for _, execution in islice(random_schedules(toy, 0, 4), 2000))
    assert found >= 2000 / (2 * 4**2)


def test_exploring_ends_when_all_is_seen():
    explored = explore(Toy(*LOCKED), 100)
    assert (explored.schedules, explored.exhausted, explored.violation) == (2, True, None)
    assert explored.bounds == "exhausted: all 2 inequivalent schedules, up to 8 accesses"


def test_exploring_finds_a_deadlock():
    violation = explore(Toy(*DEADLOCK), 100).violation
    assert violation is not None and violation.invariant == NO_DEADLOCK.name
    assert explore(Toy(*DEADLOCK), 100, seed=3).violation is not None


MUCH = [(WRITE, 1)] * 6, [(READ, 1)] * 6


def test_too_many_schedules_are_bounded_and_then_random():
    explored = explore(Toy(*MUCH), 300)
    assert (explored.exhausted, explored.preemptions, explored.differing) == (False, 3, 300)
    assert explored.schedules == 300 + explored.bounded + explored.random
    assert explored.bounded and explored.random and not explored.beyond
    assert explored.bounds == (
        "300 inequivalent schedules are not all; "
        f"exhausted up to 3 preemptions ({explored.bounded} schedules); "
        f"{explored.random} at random, each finds a bug of depth 5 with a chance of at least 1 in 41472"
    )


@pytest.mark.parametrize(("limit", "bound"), [(1, None), (3, 0), (30, 1)])
def test_the_reported_bound_is_the_one_that_was_exhausted(limit, bound):
    explored = explore(Toy(*MUCH), limit)
    assert (explored.exhausted, explored.preemptions) == (False, bound)
    assert explored.numbers["preemptions"] == bound
    text = "exhausted" if bound is None else f"exhausted up to {bound} preemption"
    assert (text in explored.bounds) == (bound is not None)
    assert bound == 0 or (explored.beyond and "more with" in explored.bounds)


def test_a_seed_has_random_schedules_only():
    explored = explore(Toy(*MUCH), 10, seed=1)
    assert (explored.differing, explored.bounded, explored.random) == (0, 0, 10)
    assert explored.bounds.startswith("10 at random, each finds a bug of depth 3")


def test_a_diagram_shows_how_threads_interact():
    toy = Toy([(WRITE, 1), (WRITE, 7), (MARK, 3)], [(READ, 1), (LOCK, 9), (UNLOCK, 9)])
    shown = interactions(toy, [0, 0, 0, 1, 1, 1])
    assert [(one.thread, one.access) for one in shown] == [
        (0, "write 1"),
        (0, "mark 3"),
        (1, "read 1"),
    ]
    lines = as_text(toy.threads, shown, {}, "broken: an invariant")
    assert any("write 1" in line and "read 1" not in line for line in lines)
    assert "broken: an invariant" in lines[-1]
    assert "<html" in as_html("a race", toy.threads, shown, {}, "broken").lower()

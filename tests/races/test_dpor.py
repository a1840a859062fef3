# SPDX-License-Identifier: GPL-2.0-only
"""Partial-order reduction: few schedules, and yet every end that there is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from toys import LOCK, LOCK_SHARED, MARK, READ, UNLOCK, WAIT, WRITE, Toy, by_force, programs, seen, state

from conformance.races.dpor import every_schedule


def ends(toy):
    return [ended for _, ended in every_schedule(toy) if ended is not None]


@pytest.mark.parametrize(
    ("programs", "schedules"),
    [
        ([[(WRITE, 1), (WRITE, 2)], [(WRITE, 3), (WRITE, 4)]], 1),
        ([[(READ, 1)], [(READ, 1)], [(READ, 1)]], 1),
        ([[(WRITE, 1)], [(WRITE, 1)]], 2),
        ([[(WRITE, 1)], [(READ, 1)]], 2),
        ([[(LOCK, 9), (WRITE, 1), (UNLOCK, 9)], [(LOCK, 9), (WRITE, 1), (UNLOCK, 9)]], 2),
        ([[(LOCK_SHARED, 9), (WRITE, 1), (UNLOCK, 9)], [(LOCK_SHARED, 9), (READ, 2), (UNLOCK, 9)]], 1),
        ([[(LOCK, 8), (UNLOCK, 8)], [(LOCK, 9), (UNLOCK, 9)]], 1),
        ([[(MARK, 1)], [(MARK, 1)], [(WRITE, 1)]], 4),
    ],
)
def test_as_many_schedules_as_differ(programs, schedules):
    assert len(ends(Toy(*programs))) == schedules


def test_a_lost_update_is_found():
    states = {state(ending)[-1] for ending in ends(Toy([(READ, 1), (WRITE, 1)], [(READ, 1), (WRITE, 1)]))}
    assert states == {((1, 2),), ((1, 102),)}


def test_a_deadlock_is_found():
    programs = (
        [(LOCK, 1), (LOCK, 2), (UNLOCK, 2), (UNLOCK, 1)],
        [(LOCK, 2), (LOCK, 1), (UNLOCK, 1), (UNLOCK, 2)],
    )
    assert {ending.stuck for ending in ends(Toy(*programs))} == {(), ("thread0", "thread1")}


def test_what_waits_for_readers_comes_before_or_after_them():
    reader = [(LOCK_SHARED, 9), (READ, 1), (UNLOCK, 9)]
    freeing = [(WAIT, 9), (WRITE, 1)]
    assert {state(ending)[0] for ending in ends(Toy(reader, freeing))} == {(0,), (102,)}


def test_it_skips_what_nobody_can_tell_apart():
    long = [(WRITE, 1), *[(WRITE, 10 + n) for n in range(6)]]
    other = [(WRITE, 1), *[(WRITE, 20 + n) for n in range(6)]]
    assert len(ends(Toy(long, other))) == 2


@given(programs(accesses=10))
@settings(max_examples=300, deadline=None)
def test_it_finds_every_end_that_there_is(programs):
    toy = Toy(*programs)
    assert seen(ends(toy)) == seen(by_force(toy))

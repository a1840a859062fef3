# SPDX-License-Identifier: GPL-2.0-only
"""Partial-order reduction: few schedules, and yet every final state."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from toys import LOCK, LOCK_SHARED, MARK, READ, UNLOCK, WAIT, WRITE, Toy, by_force, programs, seen, state

from conformance.races.dpor import inequivalent_schedules


def ends(toy):
    return [ended for _, ended in inequivalent_schedules(toy) if ended is not None]


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
def test_one_schedule_of_each_equivalence_class(programs, schedules):
    assert len(ends(Toy(*programs))) == schedules


def test_a_lost_update_is_found():
    states = {
        state(execution)[-1] for execution in ends(Toy([(READ, 1), (WRITE, 1)], [(READ, 1), (WRITE, 1)]))
    }
    assert states == {((1, 2),), ((1, 102),)}


def test_a_deadlock_is_found():
    programs = (
        [(LOCK, 1), (LOCK, 2), (UNLOCK, 2), (UNLOCK, 1)],
        [(LOCK, 2), (LOCK, 1), (UNLOCK, 1), (UNLOCK, 2)],
    )
    assert {execution.deadlocked for execution in ends(Toy(*programs))} == {(), ("thread0", "thread1")}


def test_a_wait_for_readers_is_ordered_before_or_after_them():
    reader = [(LOCK_SHARED, 9), (READ, 1), (UNLOCK, 9)]
    freeing = [(WAIT, 9), (WRITE, 1)]
    assert {state(execution)[0] for execution in ends(Toy(reader, freeing))} == {(0,), (102,)}


def test_equivalent_schedules_are_skipped():
    long = [(WRITE, 1), *[(WRITE, 10 + n) for n in range(6)]]
    other = [(WRITE, 1), *[(WRITE, 20 + n) for n in range(6)]]
    assert len(ends(Toy(long, other))) == 2


@given(programs(accesses=10))
@settings(max_examples=300, deadline=None)
def test_it_reaches_every_final_state(programs):
    toy = Toy(*programs)
    assert seen(ends(toy)) == seen(by_force(toy))

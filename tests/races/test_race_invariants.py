# SPDX-License-Identifier: GPL-2.0-only
"""Promises: which course of events breaks one, and which merely looks so."""

from __future__ import annotations

from conformance.races.invariants import broken
from conformance.races.subject import Ending, Memslot

GFN, PFN = 0x102, 0x1000
READ, WRITE = 1, 2
LOGGED = (Memslot(0, 0x100, 16, True),)


def access(kind=WRITE, pfn=PFN):
    return ("access", 0, GFN, kind, pfn)


def told(*events, **facts):
    return {promise.name for promise, _ in broken(Ending(events=events, **facts))}


def test_nothing_happened():
    assert told() == set()


def test_a_write_is_in_a_log_that_follows():
    assert told(access(), ("logged", 0, (GFN,)), memslots=LOGGED) == set()
    assert told(("logged", 0, (GFN,)), access(), memslots=LOGGED) == {"writes are logged"}
    assert told(access(), ("logged", 0, ()), memslots=LOGGED) == {"writes are logged"}
    assert told(access(), ("logged", 0, ()), ("logged", 0, (GFN,)), memslots=LOGGED) == set()


def test_reads_and_memory_that_is_not_logged_need_no_log():
    assert told(access(READ), ("logged", 0, ()), memslots=LOGGED) == set()
    assert told(access(), ("logged", 0, ()), memslots=(Memslot(0, 0x100, 16, False),)) == set()
    assert told(access(), memslots=LOGGED) == set()


def test_a_log_that_userspace_clears_itself_counts_when_it_is_cleared():
    log, clear = ("logged", 0, (GFN,)), ("cleared", 0)
    assert told(log, access(), clear, memslots=LOGGED) == set()
    assert told(log, clear, access(), memslots=LOGGED) == {"writes are logged"}


def test_what_the_host_took_back_is_out_of_reach():
    assert told(access(), ("released", PFN)) == set()
    assert told(("released", PFN), access(READ)) == {"released memory is out of reach"}
    assert told(("released", PFN), access(pfn=PFN + 1)) == set()


def test_what_the_host_made_read_only_is_not_written_until_it_says_so():
    assert told(("protected", PFN), access(READ)) == set()
    assert told(("protected", PFN), access()) == {"protected memory is not written"}
    assert told(("protected", PFN), ("writable", PFN), access()) == set()


def test_a_memslot_that_is_gone():
    assert told(("slot gone", 0), access(READ), memslots=LOGGED) == {"a memslot that is gone is out of reach"}
    assert told(("slot gone", 1), access(READ), memslots=LOGGED) == set()


def test_a_dirty_frame_is_told_where_that_is_promised():
    events = access(), ("released", PFN)
    assert told(*events, tells_dirty=True) == {"dirty frames are told"}
    assert told(*events, tells_dirty=True, dirty=frozenset({PFN})) == set()
    assert told(*events) == set()


def test_complaints_crashes_and_threads_that_wait_for_ever():
    facts = {"complaints": ("WARN f",), "died": "BUG in g", "stuck": ("user",), "leaked": (0, 1, 0)}
    assert told(**facts) == {"nothing complains", "nothing crashes", "nobody is stuck", "nothing leaks"}

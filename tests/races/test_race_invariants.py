# SPDX-License-Identifier: GPL-2.0-only
"""Invariants: which sequences of events violate one, and which only look like it."""

from __future__ import annotations

from conformance.races.invariants import violations
from conformance.races.subject import Execution, Memslot

GFN, PFN = 0x102, 0x1000
READ, WRITE = 1, 2
LOGGED = (Memslot(0, 0x100, 16, True),)
GONE = "a memslot that is gone is out of reach"


def access(kind=WRITE, pfn=PFN):
    return ("access", 0, GFN, kind, pfn)


def violated(*events, **facts):
    return {invariant.name for invariant, _ in violations(Execution(events=events, **facts))}


def test_nothing_happened():
    assert violated() == set()


def test_a_write_is_in_a_log_that_follows():
    assert violated(access(), ("logged", 0, (GFN,)), memslots=LOGGED) == set()
    assert violated(("logged", 0, (GFN,)), access(), memslots=LOGGED) == {"writes are logged"}
    assert violated(access(), ("logged", 0, ()), memslots=LOGGED) == {"writes are logged"}
    assert violated(access(), ("logged", 0, ()), ("logged", 0, (GFN,)), memslots=LOGGED) == set()


def test_logging_begins_when_the_ioctl_is_over():
    memory = (Memslot(0, 0x100, 16, False),)
    on = "set_memory_region slot=0x0 as_id=0x0 gfn=0x100 npages=0x10 page=0x0 flags=0x1: [0]"
    log = ("logged", 0, ())
    assert violated(("step", "user", on), access(), log, memslots=memory) == {"writes are logged"}
    assert violated(access(), ("step", "user", on), log, memslots=memory) == set()
    for other in (
        on.replace("[0]", "[-22]"),
        on.replace("0x100", "0x200"),
        on.replace("flags=0x1", "flags=0x0"),
    ):
        assert violated(("step", "user", other), access(), log, memslots=memory) == set()


def test_reads_and_memory_that_is_not_logged_need_no_log():
    assert violated(access(READ), ("logged", 0, ()), memslots=LOGGED) == set()
    assert violated(access(), ("logged", 0, ()), memslots=(Memslot(0, 0x100, 16, False),)) == set()
    assert violated(access(), memslots=LOGGED) == set()


def test_a_log_that_userspace_clears_itself_counts_when_it_is_cleared():
    log, clear = ("logged", 0, (GFN,)), ("cleared", 0)
    assert violated(log, access(), clear, memslots=LOGGED) == set()
    assert violated(log, clear, access(), memslots=LOGGED) == {"writes are logged"}


def test_a_reclaimed_frame_is_out_of_reach():
    assert violated(access(), ("released", PFN)) == set()
    assert violated(("released", PFN), access(READ)) == {"released memory is out of reach"}
    assert violated(("released", PFN), access(pfn=PFN + 1)) == set()


def test_a_read_only_frame_is_not_written_until_it_is_writable_again():
    assert violated(("protected", PFN), access(READ)) == set()
    assert violated(("protected", PFN), access()) == {"protected memory is not written"}
    assert violated(("protected", PFN), ("writable", PFN), access()) == set()


def test_a_memslot_that_is_gone():
    assert violated(("slot gone", 0), access(READ), memslots=LOGGED) == {
        "a memslot that is gone is out of reach"
    }
    assert violated(("slot gone", 1), access(READ), memslots=LOGGED) == set()


def test_a_dirty_frame_is_reported_where_the_kernel_guarantees_it():
    events = access(), ("released", PFN)
    assert violated(*events, reports_dirty=True) == {"dirty frames are told"}
    assert violated(*events, reports_dirty=True, dirty=frozenset({PFN})) == set()
    assert violated(*events) == set()


def test_complaints_crashes_leaks_and_deadlocks():
    facts = {"complaints": ("WARN f",), "crash": "BUG in g", "deadlocked": ("user",), "leaked": (0, 1, 0)}
    assert violated(**facts) == {"nothing complains", "nothing crashes", "no deadlock", "nothing leaks"}

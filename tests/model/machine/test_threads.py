# SPDX-License-Identifier: GPL-2.0-only
"""Races in the machine: what each precaution is good for, and that nothing is amiss when all are there."""

import pytest
from exploring import (
    DELETE,
    FETCH,
    GET_LOG,
    GFN,
    MEMORY,
    PROTECTED,
    READ,
    TOUCH,
    WRITE,
    access,
    clean,
    emulated,
    enter,
    explore,
    host,
    leaked,
    race,
    replay,
    revoked,
    slot,
    unaccessed,
    unending,
    unlogged,
)

from conformance.model import changes as C
from conformance.model.machine import Machine
from conformance.model.modes import MODES
from conformance.model.profiles import profile_of
from conformance.model.vm.locks import ReadSections

RELEASES = ((6, 1), (6, 12), (7, 3))
HUGE = 512
HUGE_MEMORY = ("mmap", {"page": 0, "npages": 1024, "writable": 1, "level": 2})
HUGE_TOUCH = ("touch", {"page": HUGE, "write": 1})
NX = ("set_nx_huge_pages", {"on": 1})
RECOVER = ("recover_nx_huge_pages", {})
SMALL_FOR_NX = [HUGE_MEMORY, slot(1024), NX, access(HUGE, FETCH)]
LOGGED_HUGE = [HUGE_MEMORY, slot(1024, 1), HUGE_TOUCH]
YOUNG = host("clear_young")
END = [DELETE, enter(0), enter(1), ("grace_period", {}), ("destroy", {})]
OTHER_SLOT = [
    ("mmap", {"page": 1024, "npages": 64, "writable": 1, "level": 1}),
    slot(gfn=1024, page=1024, number=1),
]

STORIES = {
    "a plain store on zap, without A/D bits": (
        [C.TDP_XCHG],
        clean,
        {"release": (6, 1), "mode": "ept-noad", "setup": PROTECTED, "closing": [DELETE]},
        {"vcpu0": [access(GFN, WRITE)], "host": [host("wrprotect")]},
    ),
    "a plain store on zap, with PML": (
        [C.TDP_XCHG],
        clean,
        {"release": (6, 12), "pml": 1, "setup": PROTECTED, "closing": [DELETE]},
        {"vcpu0": [access(GFN, WRITE)], "host": [host("wrprotect")]},
    ),
    "a plain store over a removed table, exclusively": (
        [C.TDP_XCHG],
        clean,
        {
            "pml": 1,
            "setup": [
                HUGE_MEMORY,
                slot(1024),
                NX,
                access(HUGE, FETCH),
                slot(1024, 1),
                GET_LOG,
                access(HUGE, READ),
            ],
            "closing": [DELETE],
        },
        {"vcpu0": [access(HUGE, WRITE)], "user": [RECOVER]},
    ),
    "a plain store over a removed table, shared": (
        [C.REMOVED_BY_XCHG],
        clean,
        {
            "pml": 1,
            "setup": [
                HUGE_MEMORY,
                slot(1024, 1),
                HUGE_TOUCH,
                access(HUGE, WRITE),
                GET_LOG,
                access(HUGE, READ),
            ],
            "closing": [DELETE],
        },
        {"vcpu0": [access(HUGE, WRITE)], "user": [slot(1024, 0)]},
    ),
    "a plain store in clear-dirty": (
        [C.TDP_XCHG],
        unaccessed,
        {
            "pml": 1,
            "setup": [*PROTECTED, access(GFN, WRITE, vcpu=1), enter(1), YOUNG],
            "closing": [("test_young", {"page": GFN})],
        },
        {"vcpu0": [access(GFN, WRITE)], "user": [GET_LOG]},
    ),
    ".change_pte alone": (
        [C.CHANGE_PTE_WRAPPED],
        revoked,
        {"release": (6, 12), "setup": [*MEMORY, TOUCH, access(GFN, WRITE)]},
        {"vcpu0": [access(GFN, WRITE)], "host": [("ksm_merge", {"page": GFN})]},
    ),
    "a fault against an invalidation": (
        [C.RETRY_AFTER_INVALIDATION],
        revoked,
        {"setup": [*MEMORY, access(GFN + 1, WRITE), TOUCH]},
        {"vcpu0": [access(GFN, WRITE), access(GFN, READ)], "host": [host("madvise_dontneed")]},
    ),
    "a fault against the deletion of another slot": (
        [C.RETRY_IF_ROOT_INVALID],
        leaked,
        {"setup": [*MEMORY, *OTHER_SLOT, TOUCH, enter(0)], "closing": END},
        {"vcpu0": [access(GFN, WRITE)], "user": [slot(npages=0, number=1)]},
    ),
    "a fault against a move that fails": (
        [C.RETRY_IF_SLOT_INVALID],
        emulated,
        {"setup": [*MEMORY, TOUCH, enter(0)]},
        {"vcpu0": [access(GFN, WRITE)], "user": [slot(gfn=(1 << 36) - 2)]},
    ),
    "an invalidation against the deletion of its slot": (
        [C.SLOTS_WAIT_FOR_INVALIDATIONS],
        unending,
        {"setup": [*MEMORY, TOUCH, access(GFN + 1, WRITE)]},
        {"host": [host("madvise_dontneed")], "user": [DELETE]},
    ),
    "two vCPUs that install one table": (
        [C.TDP_CMPXCHG],
        leaked,
        {"setup": [*MEMORY, TOUCH, enter(0), enter(1)], "closing": END},
        {"vcpu0": [access(GFN, WRITE)], "vcpu1": [access(GFN + 1, WRITE, vcpu=1)]},
    ),
    "two vCPUs that split one huge page": (
        [C.TDP_CMPXCHG],
        leaked,
        {
            "setup": [HUGE_MEMORY, slot(1024), NX, access(HUGE, WRITE), enter(1)],
            "closing": END,
        },
        {"vcpu0": [access(HUGE, FETCH)], "vcpu1": [access(HUGE + 1, FETCH, vcpu=1)]},
    ),
    "the log before the flush": (
        [C.LOG_COPIED_AFTER_FLUSH],
        unlogged,
        {"setup": PROTECTED, "closing": [GET_LOG]},
        {"vcpu0": [access(GFN, WRITE), access(GFN, WRITE)], "user": [GET_LOG]},
    ),
    "dirty before it is writable": (
        [C.MARKED_AFTER_CMPXCHG],
        unlogged,
        {"setup": PROTECTED, "closing": [GET_LOG]},
        {"vcpu0": [access(GFN, WRITE), access(GFN, WRITE)], "user": [GET_LOG]},
    ),
    "protected before it is taken": (
        [C.LOG_TAKEN_BEFORE_PROTECTING],
        unlogged,
        {"setup": [*PROTECTED, access(GFN, WRITE), enter(1)], "closing": [GET_LOG]},
        {"vcpu1": [access(GFN, WRITE, vcpu=1), access(GFN, WRITE, vcpu=1)], "user": [GET_LOG]},
    ),
    "a bitmap that is read and cleared": (
        [C.LOG_EXCHANGED],
        unlogged,
        {"setup": [*PROTECTED, access(GFN + 1, WRITE)], "closing": [GET_LOG]},
        {"vcpu0": [access(GFN, WRITE)], "user": [GET_LOG]},
    ),
    "aging by a plain store, without A/D bits": (
        [C.AGED_ATOMICALLY],
        clean,
        {"mode": "ept-noad", "setup": PROTECTED, "closing": [GET_LOG, DELETE]},
        {"vcpu0": [access(GFN, WRITE)], "host": [YOUNG]},
    ),
    "lockless aging by a plain store": (
        [C.AGED_ATOMICALLY],
        revoked,
        {"release": (7, 3), "setup": [*MEMORY, TOUCH, access(GFN, WRITE)]},
        {"vcpu0": [access(GFN, READ)], "host": [YOUNG], "reclaim": [host("madvise_dontneed")]},
    ),
}


@pytest.mark.parametrize("name", STORIES)
def test_what_is_missing_shows(name):
    missing, judge, given, threads = STORIES[name]
    found = explore(race(without=missing, threads=threads, **given), judge)
    assert found.bad, f"none of {found.schedules} schedules shows it"
    names, ending = replay(race(without=missing, threads=threads, **given), found.schedule)
    assert (*judge(ending), *ending.complaints) == found.bad
    assert len(names) == len(found.schedule)


@pytest.mark.parametrize("name", STORIES)
def test_with_it_nothing_does(name):
    _, judge, given, threads = STORIES[name]
    found = explore(race(threads=threads, **given), judge, bound=1)
    assert not found.bad, found
    assert found.exhausted and found.schedules >= 20 and not found.deadlocks


@pytest.mark.slow
@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize("release", RELEASES)
def test_nor_with_more_switches_on_any_kernel(name, release):
    _, judge, given, threads = STORIES[name]
    found = explore(race(threads=threads, **{**given, "release": release}), judge, most=2500)
    lost_by_aging = release == (6, 12) and name == "aging by a plain store, without A/D bits"
    assert bool(found.bad) == lost_by_aging, found


def test_aging_in_6_12_forgets_what_its_exchange_gave_back():
    # Since v6.4 the frame is marked dirty by what was read, not by what the XCHG has replaced.
    _, judge, given, threads = STORIES["aging by a plain store, without A/D bits"]
    assert explore(race(threads=threads, **{**given, "release": (6, 12)}), judge).bad


# The threads themselves.


def simple():
    threads = {"vcpu0": [access(GFN, WRITE)], "host": [host("madvise_dontneed")]}
    return race(setup=[*MEMORY, access(GFN + 1, WRITE), TOUCH], threads=threads)


def alternate(one):
    one.begin()
    told, turn = [], 0
    while ready := [t for t in range(len(one.threads)) if one.ready(t)]:
        t = ready[turn % len(ready)]
        turn += 1
        told.append((t, one.pending(t), one.name(t), one.spte(t)))
        one.advance(t)
    return told, one.finish()


def test_a_schedule_is_the_same_each_time():
    one = simple()
    told, ending = alternate(one)
    assert alternate(one) == (told, ending)
    again = alternate(simple())
    assert again == (told, ending) and again[1].observe() == one.observe()


def test_points_are_named_by_the_kernel_s_functions():
    told, _ = alternate(simple())
    names = [name for _, _, name, _ in told]
    assert "vcpu0: kvm_tdp_mmu_map reads spte 4K gfn=0x10" in names
    assert "host: invalidate_range_start takes mmu_lock" in names
    assert "vcpu0: kvm_tdp_page_fault takes for read mmu_lock" in names
    assert any(
        name.startswith("vcpu0: __tdp_mmu_set_spte_atomic compares and exchanges spte") for name in names
    )
    sptes = {spte[:2] for _, _, name, spte in told if "spte 4K" in name}
    assert sptes == {(1, GFN)}


def test_a_race_begins_where_the_setup_ended():
    one = simple()
    before = alternate(one)[1].observe()
    one.begin()
    for _ in range(30):
        one.advance(0)
    assert alternate(one)[1].observe() == before


def test_a_deadlock_is_told():
    # Nobody will end the invalidation for which the deletion waits.
    threads = {"host": [host("notifier_start")], "user": [DELETE]}
    found = explore(race(setup=[*MEMORY, TOUCH, access(GFN, WRITE)], threads=threads), bound=1)
    assert found.deadlocks and found.exhausted


def test_another_machine_is_not_disturbed():
    one = simple()
    one.begin()
    one.advance(0)
    other = Machine(profile_of((6, 1)), MODES["ept-ad"])
    for step, given in [*MEMORY, access(GFN, WRITE)]:
        other.step(step, **given)
    assert one.pending(0) is not None
    one.advance(0)


def test_who_cannot_go_on_is_not_advanced():
    threads = {"one": [host("notifier_start")], "two": [host("notifier_start")]}
    two = race(setup=[*MEMORY, TOUCH, access(GFN, WRITE)], threads=threads)
    two.begin()
    two.advance(0)
    assert not two.ready(1)
    with pytest.raises(ValueError, match="two cannot go on"):
        two.advance(1)


def test_no_table_is_freed_under_a_reader(monkeypatch):
    threads = {"vcpu0": [access(HUGE + 1, FETCH)], "user": [RECOVER], "rcu": [("grace_period", {})]}
    found = explore(race((7, 3), setup=SMALL_FOR_NX, threads=threads), most=3000)
    assert not found.bad and not found.deadlocks
    monkeypatch.setattr(ReadSections, "synchronize", lambda self: None)
    found = explore(race((7, 3), setup=SMALL_FOR_NX, threads=threads), most=3000)
    assert any(complaint.startswith("MEMORY a freed table is used") for complaint in found.bad)


def test_steps_that_need_resched_give_way():
    setup = [*MEMORY, access(GFN, WRITE), access(GFN + 1, WRITE), ("resched", {"on": 1})]
    threads = {"vcpu0": [access(GFN, WRITE)], "host": [host("madvise_dontneed", npages=2)]}
    one = race(setup=setup, threads=threads)
    names, _ = replay(one, _whole(one))
    assert names.count("host: tdp_mmu_iter_cond_resched takes mmu_lock") >= 1
    assert not explore(one, revoked, bound=1).bad


def _whole(one):
    one.begin()
    schedule = []
    for t in (1, 0):
        while one.ready(t):
            schedule.append(t)
            one.advance(t)
    return schedule

# SPDX-License-Identifier: GPL-2.0-only
"""Invariants that hold accesses and shadow pages against the guest's page tables, on made-up executions."""

from __future__ import annotations

from conformance.interface.observation import (
    Counters,
    MemoryWord,
    Observation,
    PageEntry,
    PagingView,
    RoleView,
    ShadowPageView,
    ShadowTlbEntry,
    ShadowView,
    VcpuView,
)
from conformance.races.guest_tables import GuestTables, entry_of, tables_at_start
from conformance.races.invariants import violations
from conformance.races.subject import Execution

READ, WRITE, FETCH = 1, 2, 4
ROOT, OLD, NEW = 4, 0x10, 0x20
PRESENT, W, NX = 1 << 11 | 1, 2, 1 << 63


def frame(gfn):
    return 0x1000 + gfn


def entry(gfn, flags=7):
    return gfn << 12 | flags


# Page 0 is mapped by tables at the gfns 4, 3, 2 and 1, named after their levels.
WORDS = {(frame(level), 0): entry(level - 1) for level in (4, 3, 2)} | {(frame(1), 0): entry(OLD)}
FRAMES = {gfn: frame(gfn) for gfn in (1, 2, 3, 4, OLD, NEW)}
TABLES = GuestTables(WORDS, FRAMES, {0: ROOT, 1: ROOT}, nested=False)


def access(gfn, vcpu=1, kind=READ):
    return ("access", vcpu, 0, kind, frame(gfn))


def step(text, thread="vcpu0"):
    return ("step", thread, text)


def writes(gfn, end=2, level=1, vcpu=0, flags=7):
    """A write of the entry of a level through an alias at page 0: a step that KVM emulated, or not."""
    value = f"{entry(gfn, flags):#x}"
    return step(f"execute vcpu={vcpu:#x} address=0x0 kind=0x2 value={value}: [{end}, 0, 0, 0]", f"vcpu{vcpu}")


FLUSHED = step("invlpg vcpu=0x1 address=0x0: []", "vcpu1")
# The table at gfn 1 is mapped at page 0 of vcpu0, which has no other tables.
APART = GuestTables(WORDS, FRAMES, {1: ROOT}, nested=False)


def violated(*events, tables=APART, final=None):
    return {one.name for one, _ in violations(Execution(events=events, tables=tables, final=final))}


STALE = {"translations are current"}


def stored(gfn):
    return step(f"store gfn=0x1 index=0x0 value={entry(gfn):#x}: [0]", "user")


def test_an_entry_grants_what_its_bits_say():
    assert entry_of(0, 1, nested=False) is None
    assert entry_of(entry(5, 1), 1, nested=False) == (True, 5, READ | FETCH)
    assert entry_of(entry(5, 3) | NX, 2, nested=False) == (False, 5, READ | WRITE)
    assert entry_of(entry(5, 0x83), 2, nested=False) == (True, 5, READ | WRITE | FETCH)
    assert entry_of(entry(5, 4), 1, nested=True) == (True, 5, FETCH)


def test_what_the_tables_say_may_be_used():
    assert violated(access(OLD)) == set()
    assert violated(access(NEW)) == STALE
    assert violated(access(OLD, kind=WRITE)) == set()
    read_only = GuestTables(WORDS | {(frame(1), 0): entry(OLD, 5)}, FRAMES, {1: ROOT}, nested=False)
    assert violated(access(OLD, kind=WRITE), tables=read_only) == STALE


def test_an_older_entry_may_be_used_until_the_vcpu_is_flushed():
    assert violated(stored(NEW), access(OLD)) == set()
    assert violated(stored(NEW), access(NEW)) == set()
    assert violated(stored(NEW), FLUSHED, access(NEW)) == set()
    # The flush may have begun before the store.
    assert violated(stored(NEW), FLUSHED, access(OLD)) == set()
    assert violated(stored(NEW), FLUSHED, FLUSHED, access(OLD)) == STALE
    assert violated(stored(NEW), FLUSHED, FLUSHED, access(OLD, vcpu=2)) == set()


def test_a_flush_of_another_page_is_none():
    other = step("invlpg vcpu=0x1 address=0x1000: []", "vcpu1")
    assert violated(stored(NEW), other, other, access(OLD)) == set()
    all_pages = step("set_cr3 vcpu=0x1 value=0x4000: [0]", "vcpu1")
    assert violated(stored(NEW), all_pages, all_pages, access(OLD)) == STALE


def test_a_store_takes_effect_at_some_moment_of_its_step():
    assert violated(access(NEW), stored(NEW)) == set()
    before = step("store gfn=0x2 index=0x5 value=0x1: [0]", "user")
    assert violated(access(NEW), before, stored(NEW)) == STALE


def test_upper_entries_may_be_older_than_lower_ones_and_not_newer():
    absent = GuestTables(WORDS | {(frame(2), 0): 0}, FRAMES, {1: ROOT}, nested=False)
    linked = step(f"store gfn=0x2 index=0x0 value={entry(1):#x}: [0]", "user")
    assert violated(stored(NEW), linked, access(NEW), tables=absent) == set()
    assert violated(stored(NEW), linked, access(OLD), tables=absent) == STALE


def test_writes_of_the_guest_count_as_stores():
    emulated = step("execute vcpu=0x2 address=0x1000 kind=0x2 value=0x20007: [2, 0, 0, 0]", "vcpu2")
    assert violated(emulated, FLUSHED, FLUSHED, access(OLD)) == STALE
    done = step("execute vcpu=0x2 address=0x1000 kind=0x2 value=0x20007: [0, 1, 4097, 7]", "vcpu2")
    written = ("access", 2, 1, WRITE, frame(1))
    assert violated(written, done, FLUSHED, FLUSHED, access(OLD)) == STALE


def test_the_tables_are_learned_from_the_setup():
    setup = [("store", {"gfn": 1, "index": 0, "value": 7}), ("enter_l2", {"vcpu": 0, "address": 0x401E})]
    seen = [Observation([0], [], memory=[MemoryWord(0x99, 0, 7)])] * 2
    found = tables_at_start(setup, seen)
    assert found == GuestTables({(0x99, 0): 7}, {1: 0x99}, {0: 4}, nested=True)
    assert tables_at_start(setup[:1], seen[:1]) is None


def test_a_vcpu_without_paging_uses_no_tables():
    seen = [Observation([0], [], memory=[MemoryWord(0x99, 0, 7)])] * 2
    on = {"vcpu": 0, "cr0": 1 << 31 | 1, "cr3": 0x4000}
    off = on | {"cr0": 1}
    assert tables_at_start([("set_sregs", on)], seen[:1]) == GuestTables({(0x99, 0): 7}, {}, {0: 4}, False)
    found = tables_at_start([("set_sregs", on), ("set_sregs", off)], seen)
    assert found is not None and not found.roots
    words = " ".join(f"{name}={value:#x}" for name, value in (on | {"vcpu": 1}).items())
    assert violated(step(f"set_sregs {words}: [0]", "vcpu1"), access(NEW), tables=found) == STALE


def role(level, **fields):
    zero = dict.fromkeys(RoleView._fields, 0)
    return RoleView(**(zero | {"level": level} | fields))


def page(level, *entries, gfn=None, serial=0, **fields):
    state = dict.fromkeys(ShadowPageView._fields, 0) | fields
    state |= {"serial": serial, "gfn": level if gfn is None else gfn, "role": role(level), "entries": entries}
    return ShadowPageView(**(state | fields))


def leaf(gfn, flags=PRESENT | W, at=0):
    return PageEntry(at, frame(gfn) << 12 | flags, 0, gfn, 7, 0)


def final(*pages, tlb=(), requests=0):
    memory = [MemoryWord(pfn, at, value) for (pfn, at), value in WORDS.items()]
    paging = PagingView(*[0] * 5, role(4), 0, 0, (), (), 0, 0, tlb)
    shadow = ShadowView(Counters(*[0] * 10), [paging], list(pages), [])
    return Observation([], [], vcpus=[VcpuView(0, requests, 0, 0, 0)], tlb=[[]], memory=memory, shadow=shadow)


def test_a_synchronized_table_is_writable_nowhere():
    broken = {"synchronized tables are read-only"}
    alias = page(1, leaf(1), gfn=9)
    assert violated(final=final(page(1), alias)) == broken
    assert violated(final=final(page(1, unsync=1), alias)) == set()
    assert violated(final=final(page(1), page(1, leaf(1, PRESENT), gfn=9))) == set()
    cached = ShadowTlbEntry(0, 0, 5, 1, frame(1), WRITE, 1)
    assert violated(final=final(page(1), tlb=(cached,))) == broken
    assert violated(final=final(page(1), tlb=(cached._replace(dirty=0),))) == set()
    assert violated(final=final(page(1), tlb=(cached,), requests=1)) == set()


def test_a_synchronized_page_maps_what_the_guests_table_does():
    looser = {"rights are no looser than the guest's"}
    assert violated(final=final(page(1, leaf(OLD)))) == set()
    assert violated(final=final(page(1, leaf(NEW)))) == looser
    assert violated(final=final(page(1, leaf(NEW), unsync=1))) == set()
    assert violated(final=final(page(1, leaf(OLD, at=1)))) == looser


def test_a_synchronized_page_leads_to_the_guests_table():
    looser = {"rights are no looser than the guest's"}
    link = PageEntry(0, PRESENT | W, 77, 0, 0, 0)
    assert violated(final=final(page(2, link), page(1, serial=77))) == set()
    assert violated(final=final(page(2, link), page(1, serial=77, gfn=3))) == looser

# SPDX-License-Identifier: GPL-2.0-only
"""A very small explorer, for tests: every schedule that interrupts threads at most so often."""

from dataclasses import dataclass

from conformance.model.modes import MODES
from conformance.model.profiles import profile_of
from conformance.races.model.threads import RacingMachine


@dataclass
class Explored:
    """How many schedules were tried, the first bad one and what was bad, how many ended in a deadlock."""

    schedules: int = 0
    bad: tuple = ()
    schedule: tuple = ()
    deadlocks: int = 0
    exhausted: bool = False


def explore(race, judge=lambda ending: [], bound=2, most=20000):
    """Try schedules until one is bad; another thread than the one that runs may go on ``bound`` times."""
    explored = Explored()
    plans = [((), 0)]
    while plans and explored.schedules < most:
        plan, spent = plans.pop()
        schedule, stuck = _run(race, plan, spent, bound, plans)
        explored.schedules += 1
        explored.deadlocks += stuck
        ending = race.finish()
        bad = tuple(judge(ending)) + ending.complaints
        if bad:
            explored.bad, explored.schedule = bad, schedule
            return explored
    explored.exhausted = not plans
    return explored


def _run(race, plan, spent, bound, plans):
    """Follow ``plan``, a switch at each of some moments, and note the plans that go further."""
    race.begin()
    switches, last, current, schedule = dict(plan), plan[-1][0] if plan else -1, None, []
    while ready := [t for t in range(len(race.threads)) if race.ready(t)]:
        now, forced = len(schedule), current not in ready
        chosen = switches.get(now, ready[0] if forced else current)
        if now > last and (forced or spent < bound):
            cost = spent + (not forced)
            plans.extend(((*plan, (now, t)), cost) for t in ready if t != chosen)
        current = chosen
        schedule.append(chosen)
        race.advance(chosen)
    stuck = any(race.pending(t) is not None for t in range(len(race.threads)))
    return tuple(schedule), stuck


def replay(race, schedule):
    """The names of all points of a schedule, and its ending."""
    race.begin()
    names = []
    for t in schedule:
        names.append(race.name(t))
        race.advance(t)
    return names, race.finish()


GFN = 0x10
READ, WRITE, FETCH = 1, 2, 4


def access(gfn, kind, vcpu=0):
    return "access", {"vcpu": vcpu, "gfn": gfn, "kind": kind}


def enter(vcpu):
    return "enter", {"vcpu": vcpu}


def slot(npages=64, flags=0, gfn=0, page=0, number=0):
    given = {"slot": number, "as_id": 0, "gfn": gfn, "npages": npages, "page": page, "flags": flags}
    return "set_memory_region", given


def host(what, page=GFN, npages=1):
    return what, {"page": page, "npages": npages}


MEMORY = [("mmap", {"page": 0, "npages": 64, "writable": 1, "level": 1}), slot()]
TOUCH = ("touch", {"page": GFN, "write": 1})
GET_LOG = ("get_dirty_log", {"slot": 0, "as_id": 0})
DELETE = slot(npages=0)
PROTECTED = [*MEMORY, TOUCH, access(GFN, WRITE), slot(flags=1), GET_LOG]
"""A page that was written, is logged, and has just been taken from the log."""


def race(release=(6, 1), mode="ept-ad", without=(), *, setup, threads, closing=(), **options):
    profile = profile_of(release).without(*without)
    chosen = {"vcpus": 2, **options}
    return RacingMachine(profile, MODES[mode], chosen, setup=setup, threads=threads, closing=closing)


# What must never happen.


def revoked(ending):
    """An access to a frame that the host has given away, or a write to one that it has protected."""
    gone, protected = set(), set()
    for kind, *event in ending.events:
        if kind == "released":
            gone.add(event[0])
        elif kind == "protected":
            protected.add(event[0])
        elif kind == "writable":
            protected.discard(event[0])
        elif kind == "access" and (event[3] in gone or (event[2] == WRITE and event[3] in protected)):
            yield f"{event} was revoked"


def unlogged(ending):
    """A write that no later dirty log reports."""
    for n, (kind, *event) in enumerate(ending.events):
        if kind == "access" and event[2] == WRITE:
            logs = [log[2] for log in ending.events[n:] if log[0] == "logged"]
            if not any(event[1] in gfns for gfns in logs):
                yield f"{event} was never logged"


def clean(ending):
    """A write to a frame that the host takes for clean."""
    for kind, *event in ending.events:
        if kind == "access" and event[2] == WRITE and event[3] not in ending.dirty:
            yield f"{event} left the frame clean"


def unaccessed(ending):
    """An access to a page that is then old, and of which the host was not told."""
    for kind, *event in ending.events:
        if kind == "access" and ending.outcomes[0] == [0] and event[3] not in ending.accessed:
            yield f"{event} left the page old"


def leaked(ending):
    """Tables that are left over in the end."""
    if ending.outcomes[-1] != [0, 0, 0]:
        yield f"{ending.outcomes[-1]} is left over"


def emulated(ending):
    """An access to memory that was taken for MMIO."""
    steps = [text for kind, *_, text in ending.events if kind == "step" and text.startswith("access")]
    return [text for text in steps if text.endswith("2]")]


def unending(ending):
    """An invalidation that is in progress for ever."""
    return ["forever"] if ending.observe().state.invalidate_in_progress else []

# SPDX-License-Identifier: GPL-2.0-only
"""Tasks and outcomes as JSON, written and read; what cannot be an outcome of the task is refused."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from conformance.model.profiles import profile_of
from conformance.oracles.lacking import Lacking
from conformance.races.explorer import Explored, Violation
from conformance.races.interactions import Interaction
from conformance.races.invariants import NO_COMPLAINT, NO_CRASH
from conformance.races.run_exploration import Exploration
from conformance.races.schedule import Segment
from conformance.races.stories import RACES
from conformance.races.tasks import EXPLORE, REPLAY, TRACE, Outcome, Task
from conformance.races.wire_format import (
    MAX_INTERACTIONS,
    MAX_TEXT,
    MalformedOutcome,
    Request,
    read_choices,
    read_outcome,
    read_request,
    write_outcome,
)

SEED, MUTATIONS = 7, 2000
EXPLORATION = Exploration("two_vcpus_fault_on_one_gfn", "ept-ad", profile_of((6, 1)))
THREADS = "vcpu0", "vcpu1"
CHOICES = 0, 0, 1, 1, 0
SEGMENTS = Segment("vcpu0", "f reads spte 4K gfn=0x102", 2), Segment("vcpu1"), Segment("vcpu0")
SHOWN = Interaction(0, "f reads spte 4K gfn=0x102"), Interaction(1, "f updates spte 4K gfn=0x102", 0x975)
EXPLORING = Task(EXPLORE, limit=200)

VIOLATION = Violation(NO_COMPLAINT.name, "WARN in f", CHOICES)
VIOLATED = Explored(differing=3, accesses=5, threads=2, violation=VIOLATION)
FOUND = Outcome(VIOLATED, THREADS, SEGMENTS, SHOWN)
ALL = Outcome(Explored(differing=88, accesses=40, exhausted=True, threads=2), THREADS)
SOME = Outcome(
    Explored(
        differing=9, bounded=100, beyond=20, random=80, accesses=40, preemptions=1, length=40, threads=2
    ),
    THREADS,
)
RANDOM = Outcome(Explored(random=200, accesses=40, length=33, threads=2), THREADS)
FOLLOWED = Outcome(
    Explored(differing=1, accesses=5, threads=2, violation=VIOLATION), THREADS, SEGMENTS, SHOWN
)
TRACED = Outcome(Explored(threads=2), THREADS, SEGMENTS, SHOWN)

REPLAYING = Task(REPLAY, segments=SEGMENTS)
TRACING = Task(TRACE, choices=CHOICES)
POSSIBLE = [
    (EXPLORING, FOUND), (EXPLORING, ALL), (EXPLORING, SOME), (replace(EXPLORING, seed=1), RANDOM),
    (REPLAYING, FOLLOWED), (TRACING, TRACED), (EXPLORING, Outcome(trouble="ValueError: no step")),
]  # fmt: skip


def request_for(task: Task) -> Request:
    return EXPLORATION.request(task)


def through(value: Any) -> Any:
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("race", RACES.values(), ids=list(RACES))
@pytest.mark.parametrize("task", [EXPLORING, REPLAYING, TRACING], ids=lambda one: one.kind)
def test_a_request_comes_back(race: Any, task: Task) -> None:
    request = replace(EXPLORATION, race=race.name).request(task)
    written = through(request.written())
    written["task"]["choices"] = tuple(written["task"]["choices"])
    there = read_request(written)
    assert there.threads == tuple(race.threads) and there.program.memslots == race.program.memslots
    assert through(there.written()) == through(request.written())


@pytest.mark.parametrize(("task", "outcome"), POSSIBLE)
def test_an_outcome_comes_back(task: Task, outcome: Outcome) -> None:
    assert read_outcome(through(write_outcome(outcome)), request_for(task)) == outcome


def test_a_lack_comes_back() -> None:
    written = through(
        write_outcome(Outcome(lacking=Lacking("memory", ", of which f wants more", "Free some.")))
    )
    read = read_outcome(written, request_for(EXPLORING)).lacking
    assert str(read) == "memory, of which f wants more. Free some."


def test_texts_are_cut_and_made_printable() -> None:
    interactions = (Interaction(0, "x" * 5000, 1),) * (MAX_INTERACTIONS + 1)
    written = write_outcome(Outcome(trouble="\x1b[2J\n" + "y" * 5000))
    assert written["trouble"].startswith("?[2J?y") and len(written["trouble"]) == MAX_TEXT
    interactions = write_outcome(replace(TRACED, interactions=interactions))["interactions"]
    assert len(interactions) == MAX_INTERACTIONS and len(interactions[0][1]) == MAX_TEXT


def changed(**explored: Any) -> dict[str, Any]:
    written = through(write_outcome(ALL))
    written["explored"].update(explored)
    return written


def broken(**parts: Any) -> dict[str, Any]:
    return {**through(write_outcome(FOUND)), **parts}


IMPOSSIBLE = {
    "nothing": None, "a number": 1, "a text": "PASS", "no keys": {}, "one more key": {**changed(), "more": 1},
    "a refusal of another kind": {"refused": "me"},
    "more than the limit": changed(differing=201),
    "below zero": changed(differing=-1),
    "nothing was run": changed(differing=0),
    "true for a number": changed(differing=True),
    "a number for true": changed(exhausted=1),
    "no integer": changed(differing=8.0), "not a number": changed(differing=float("nan")),
    "all, and random ones": changed(random=5),
    "more preemptions than are looked at": changed(preemptions=4),
    "more accesses than there can be": changed(accesses=1 << 17),
    "interactions without a violation": {**changed(), "interactions": [[0, "f", None]]},
    "an unknown invariant": broken(violation=["peace", "how", [*CHOICES]]),
    "an invariant that is not checked": broken(violation=["writes are logged", "how", [*CHOICES]]),
    "a crash that was survived": broken(violation=[NO_CRASH.name, "how", [*CHOICES]]),
    "a thread that there is not": broken(violation=[NO_COMPLAINT.name, "how", [0, 2, 0]]),
    "no choices": broken(violation=[NO_COMPLAINT.name, "how", []], segments=[]),
    "other segments than the choices have": broken(segments=[[1, "", 1]]),
    "a segment of a thread that there is not": broken(segments=[[0, "", 1], [2, "", 1], [0, "", 1]]),
    "interactions that are more than the schedule": broken(interactions=[[0, "f", None]] * 6),
    "too many interactions": broken(interactions=[[0, "f", None]] * (MAX_INTERACTIONS + 1)),
    "control characters": broken(violation=[NO_COMPLAINT.name, "\x1b[2J", [*CHOICES]]),
    "half of a character": broken(violation=[NO_COMPLAINT.name, "\ud800", [*CHOICES]]),
    "a text that is too long": broken(violation=[NO_COMPLAINT.name, "x" * (MAX_TEXT + 1), [*CHOICES]]),
    "an SPTE of 65 bits": broken(interactions=[[0, "f", 1 << 64]]),
    "a lack with too few words": {"lacking": ["memory"]}, "a lack that is no list": {"lacking": "all"},
    "trouble that is no text": {"trouble": 1},
}  # fmt: skip


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_malformed_outcomes_are_refused(name: str) -> None:
    task = replace(EXPLORING, invariant=NO_COMPLAINT.name)
    read_outcome(broken(), request_for(task))
    with pytest.raises(MalformedOutcome):
        read_outcome(IMPOSSIBLE[name], request_for(task))


@pytest.mark.parametrize(
    ("task", "outcome"),
    [
        (replace(EXPLORING, seed=1), ALL),
        (replace(EXPLORING, seed=1), Outcome(replace(RANDOM.explored, random=199), THREADS)),
        (EXPLORING, Outcome(replace(SOME.explored, random=81), THREADS)),
        (EXPLORING, TRACED),
        (REPLAYING, ALL),
        (TRACING, FOUND),
        (replace(TRACING, choices=CHOICES[:2]), TRACED),
    ],
)
def test_an_outcome_of_another_task_is_refused(task: Task, outcome: Outcome) -> None:
    with pytest.raises(MalformedOutcome):
        read_outcome(through(write_outcome(outcome)), request_for(task))


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in JSON, as what it is in and its key."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


STRANGE = [
    None, True, False, -1, 0, 1, 2, 200, 1 << 16, 1 << 64, -(1 << 70), 0.5, float("nan"), float("inf"),
    "", "x", "\x00", "\x1b[31m", "\ud800", "x" * 1000,
    [], {}, [[]], [0], {"": 0}, [None] * 3, [0, "", 1], list(range(9)),
]  # fmt: skip


def mutated(written: Any, rng: random.Random) -> Any:
    """The same with up to three places changed."""
    written = copy.deepcopy(written)
    for _ in range(rng.randint(1, 3)):
        inside, key = rng.choice([*places(written)])
        how = rng.randrange(4)
        if how == 0:
            del inside[key]
        elif how == 1 and isinstance(inside, list):
            inside.insert(key, copy.deepcopy(rng.choice(STRANGE)))
        elif how == 2:
            inside[key] = copy.deepcopy(rng.choice([value[at] for value, at in places(written)]))
        else:
            inside[key] = copy.deepcopy(rng.choice(STRANGE))
        if not [*places(written)]:
            break
    return written


def test_a_mutated_outcome_is_one_or_is_refused() -> None:
    rng = random.Random(SEED)
    taken = refused = 0
    for _ in range(MUTATIONS):
        task, outcome = rng.choice(POSSIBLE)
        written = mutated(write_outcome(outcome), rng)
        try:
            found = read_outcome(written, request_for(task))
        except MalformedOutcome:
            refused += 1
            continue
        taken += 1
        # What is taken can be written again, and is drawn and reported without an exception.
        assert read_outcome(through(write_outcome(found)), request_for(task)) == found
        assert str(found.explored.bounds).isprintable()
    assert taken > 20 and refused > 1000


def test_choices_in_shared_memory() -> None:
    assert read_choices([0, 1, 0], 2) == (0, 1, 0)
    assert read_choices([0, 2, 0], 2) == read_choices([], 2) == ()

# SPDX-License-Identifier: GPL-2.0-only
"""What a run shows of a mutant: differences, deaths and hangs, what is kept, and what the suite lacks."""

from __future__ import annotations

from typing import ClassVar

import pytest

from conformance.coverage.compared import detecting
from conformance.coverage.compared.detecting import Detector, Seen
from conformance.interface.observation import Observation
from conformance.oracles.child import Entry
from conformance.oracles.child import KernelDied as FunctionDied
from conformance.oracles.kvm.deaths import KernelDied
from conformance.oracles.lacking import MEMORY, Lacking
from conformance.scenarios.stories import STORIES

STORY = "first_read"
STEPS = len(STORIES[STORY].script.steps)
PROPERTY = "spte_index"


class Kept:
    """State that KVM keeps: a number."""

    def __init__(self, number):
        self.number = number

    @property
    def digest(self):
        return bytes([self.number])

    def facts(self, other):
        return [("kept: struct kvm: mode", str(self.number), str(other.number))]


class Machine:
    """A VM: the outcome of each step, or the exception that ends it, by the mutant that is enabled."""

    outcomes: ClassVar[dict] = {}
    """By mutant: outcomes by step; other steps have the outcome 0."""
    kept: ClassVar[dict] = {}
    places: ClassVar[frozenset] = frozenset({1})
    """The mutants whose places the story executes."""

    def __init__(self, library, host, options, *, patience, raw_state, plant):
        self.plant, self.at = plant, -1

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

    def step(self, name, **arguments):
        self.at += 1
        outcome = self.outcomes.get(self.plant, {}).get(self.at, 0)
        if isinstance(outcome, Exception):
            raise outcome
        return Observation([outcome], [])

    def reached(self):
        return self.places

    def raw_state(self):
        return self.kept.get(self.plant, {}).get(self.at, 0)


class Reader:
    library = "kvm.so"
    request = None


@pytest.fixture
def story(monkeypatch):
    """A function that says what the story shows of mutant 1."""
    monkeypatch.setattr(detecting, "KvmOracle", Machine)

    def sight(mutant, base=None, kept=None):
        monkeypatch.setattr(Machine, "outcomes", {0: base or {}, 1: mutant})
        monkeypatch.setattr(Machine, "kept", {1: kept or {}})
        detector = Detector(None, None, Reader(), lambda reader: Kept)
        found = detector.by_story(1, STORY, "ept-ad")
        return found if found.seen else detector.by_kept_state(1, STORY, "ept-ad")

    return sight


def test_a_story_in_which_nothing_differs_shows_nothing(story):
    assert story({}).seen is Seen.NOTHING


def test_another_outcome_of_a_step_shows(story):
    sight = story({1: 7})
    assert (sight.seen, sight.how) == (Seen.DIFFERS, "step 2")


@pytest.mark.parametrize("hung", [False, True])
def test_a_death_and_a_hang_show(story, hung):
    sight = story({1: KernelDied("died of SIGSEGV", hung)})
    assert (sight.seen, sight.how, sight.hung) == (Seen.DIFFERS, "died of SIGSEGV", hung)


def test_a_kernel_that_dies_without_the_mutant_too_shows_nothing(story):
    assert story({1: KernelDied("BUG")}, base={1: KernelDied("BUG")}).seen is Seen.NOTHING


def test_a_kernel_that_lives_longer_or_dies_earlier_shows(story):
    died = KernelDied("BUG")
    assert story({}, base={1: died}).seen is Seen.DIFFERS
    assert story({0: died}, base={1: died}).seen is Seen.DIFFERS


@pytest.mark.parametrize(("todo", "lasting"), [("", False), (MEMORY, False), ("Add it.", True)])
def test_what_the_suite_or_the_system_lacks_is_no_difference(story, todo, lasting):
    sight = story({1: Lacking("nothing stands in for a", "", todo)})
    assert (sight.seen, sight.how) == (Seen.LACKING, "nothing stands in for a")
    assert sight.lasting is lasting


def test_what_kvm_keeps_shows_apart(story):
    sight = story({}, kept={1: 5})
    assert (sight.seen, sight.how) == (Seen.KEPT, "step 2: struct kvm: mode")


def test_an_observation_counts_more_than_what_is_kept(story):
    assert story({STEPS - 1: 7}, kept={0: 5}).seen is Seen.DIFFERS


def test_a_story_that_does_not_execute_the_place_of_a_mutant_is_not_repeated(story, monkeypatch):
    monkeypatch.setattr(Machine, "places", frozenset({2}))
    assert story({1: 7}).seen is Seen.NOTHING


def test_a_story_in_which_the_kernel_dies_is_repeated_wherever_the_mutant_is(story, monkeypatch):
    monkeypatch.setattr(Machine, "places", frozenset())
    assert story({}, base={1: KernelDied("BUG")}).seen is Seen.DIFFERS


def test_a_death_while_the_state_is_copied_is_seen_by_reviews_only(story, monkeypatch):
    class Copying(Machine):
        def __init__(self, library, host, options, *, patience, raw_state, plant):
            super().__init__(library, host, options, patience=patience, raw_state=raw_state, plant=plant)
            self.dies = raw_state is not None and plant

        def step(self, name, **arguments):
            if self.dies:
                raise KernelDied("died of SIGSEGV")
            return super().step(name, **arguments)

    monkeypatch.setattr(detecting, "KvmOracle", Copying)
    monkeypatch.setattr(Reader, "request", "something")
    assert story({}).seen is Seen.KEPT


class Functions:
    """The shim with a mutant: its answers, or the exception that ends it."""

    entries: ClassVar[dict] = {PROPERTY: Entry(0, 1, 1)}
    answers: ClassVar[dict] = {}

    def __init__(self, library, *, patience=10.0, plant=0):
        self.plant = plant

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

    close = __exit__


@pytest.fixture
def answered(monkeypatch):
    """A function that says what the property shows of mutant 1."""
    monkeypatch.setattr(detecting, "ShimOracle", Functions)

    class Side:
        def __init__(self, oracle, profile):
            self.plant = oracle.plant

        def semantics(self, mode):
            return None

    class Words(bytes):
        def tobytes(self):
            return bytes(self)

    def answers(side, prop, mode, cases):
        answer = Functions.answers.get(side.plant, b"same")
        if isinstance(answer, Exception):
            raise answer
        return Words(answer)

    monkeypatch.setattr(detecting, "OracleSide", Side)
    monkeypatch.setattr(detecting, "draw", lambda *given: None)
    monkeypatch.setattr(detecting, "answers", answers)

    def sight(given):
        monkeypatch.setattr(Functions, "answers", given)
        with Detector(None, "shim.so", None) as detector:
            return detector.by_property(1, PROPERTY, "shadow")

    return sight


@pytest.mark.parametrize(
    ("given", "seen", "how"),
    [
        ({}, Seen.NOTHING, ""),
        ({1: b"other"}, Seen.DIFFERS, "its answers"),
        ({1: FunctionDied("died of SIGFPE", 3)}, Seen.DIFFERS, "died of SIGFPE"),
        ({0: FunctionDied("died of SIGFPE", 3), 1: FunctionDied("died of SIGFPE", 3)}, Seen.NOTHING, ""),
        ({0: FunctionDied("died of SIGFPE", 3)}, Seen.DIFFERS, "its answers"),
        ({1: Lacking("the system gives kernel code no process")}, Seen.LACKING, "the system gives"),
    ],
)
def test_what_a_property_shows(answered, given, seen, how):
    sight = answered(given)
    assert sight.seen is seen
    assert sight.how.startswith(how)


def test_a_property_that_the_kernel_lacks_shows_nothing(answered, monkeypatch):
    monkeypatch.setattr(Functions, "entries", {})
    assert answered({1: b"other"}).seen is Seen.NOTHING

# SPDX-License-Identifier: GPL-2.0-only
"""Fitting, against models that answer as kernels with known changes: these are named exactly."""

from __future__ import annotations

import pytest
from model_side import KernelLike

from conformance.differential.inputs import inputs
from conformance.differential.properties import PROPERTIES
from conformance.kernels import SERIES
from conformance.model import changes
from conformance.model.changes import CHANGES
from conformance.model.modes import MODES
from conformance.model.profiles import Profile, profile_of
from conformance.review.fit_profile import Evidence, evidence, fit, flipped, misfits
from conformance.review.questions import INCOHERENT, Asked, Behaviour, Misfit, Presence, Question

ALL = frozenset(CHANGES.values())
RELEASES = [profile_of(release) for release in sorted({change.release for change in ALL})]
STARTS = [profile_of(tuple(map(int, series.split(".")))) for series in SERIES]
SIX_ONE = profile_of((6, 1))
INPUTS = {prop.name: inputs(prop) for prop in PROPERTIES.values()}


class Rule(Question):
    """A kernel that behaves as a predicate on changes says; ``about`` are those that it looks at."""

    kind = "behaviour"

    def __init__(self, name, about, true, kernel):
        super().__init__(name, "-")
        self.about = about
        self.true = true
        self.seen = true(*(kernel.has(change) for change in about))
        self.asked = 0

    def misfit(self, profile):
        self.asked += 1
        answer = self.true(*(profile.has(change) for change in self.about))
        return None if answer == self.seen else Misfit("differs")


ONE, TWO, THREE, FOUR = sorted(ALL, key=lambda change: (change.release, change.commit))[:4]
EMPTY = Profile("empty", frozenset())


def questions(profile, *, dies=lambda case: False, modes=("shadow", "npt-me", "ept-ad", "ept-noad")):
    """What a kernel with this profile answers, in a few modes."""

    def kernel(numbered):
        return KernelLike(numbered, behaves=profile, dies=dies)

    found: list[Question] = []
    for prop in PROPERTIES.values():
        if prop.since is not None or prop.until is not None:
            found.append(Presence(prop, not prop.absent(profile)))
        if not prop.absent(profile):
            cases = INPUTS[prop.name]
            found += [Behaviour(prop, MODES[mode], cases, kernel) for mode in prop.modes if mode in modes]
    return found


def test_a_profile_remembers_what_it_was_asked_for():
    asked = Asked({ONE})
    profile = Profile("", asked)
    assert profile.has(ONE) and not profile.has(TWO) and ONE in profile.changes
    assert list(asked.answers.items()) == [(ONE, True), (TWO, False)]


def test_a_way_through_the_model_is_gone_once():
    rule = Rule("r", (ONE, TWO), lambda one, two: one and two, EMPTY.plus(ONE, TWO))
    for profile in (EMPTY, EMPTY.plus(THREE), EMPTY.plus(FOUR)):
        assert rule.answer(profile).misfit == Misfit("differs")
    assert rule.asked == 1
    assert rule.answer(EMPTY.plus(ONE, TWO, THREE)).misfit is None
    assert rule.asked == 2


def test_changes_that_only_help_together_are_found():
    kernel = EMPTY.plus(ONE, TWO)
    rules = [Rule("both", (ONE, TWO), lambda one, two: one and two, kernel)]
    assert fit(rules, [EMPTY], ALL).changes == kernel.changes


def test_what_can_be_exchanged_is_not_decided():
    kernel = EMPTY.plus(ONE)
    rules = [Rule("one of them", (ONE, TWO), lambda one, two: one != two, kernel)]
    found = evidence(rules, kernel, frozenset((ONE, TWO, THREE)))
    assert found[ONE] == Evidence(ONE, rules[0], along=TWO) and not found[ONE].decided
    assert found[THREE] == Evidence(THREE, None) and not found[THREE].decided


def test_what_a_function_does_counts_more_than_that_it_is_there():
    kernel = EMPTY.plus(ONE)
    there, does = (Rule(name, (ONE,), lambda one: one, kernel) for name in ("there", "does"))
    there.kind = "presence"
    assert evidence([there, does], kernel, frozenset((ONE,)))[ONE].question is does


def test_only_what_is_open_is_flipped():
    kernel = EMPTY.plus(ONE)
    rules = [Rule("one", (ONE,), lambda one: one, kernel)]
    assert fit(rules, [EMPTY], frozenset((TWO,))).changes == frozenset()


def test_a_profile_that_no_kernel_can_have_does_not_fit():
    class Breaks(Question):
        def misfit(self, profile):
            if profile.has(ONE):
                raise OverflowError
            return None

    breaks = Breaks("breaks", "-")
    assert breaks.answer(EMPTY).misfit is None
    assert "no kernel" in breaks.answer(EMPTY.plus(ONE)).misfit.reason


@pytest.mark.parametrize(
    "change",
    [
        changes.AD_DISABLED_ALWAYS_VOLATILE,
        changes.FLUSH_IFF_MMU_WRITABLE_CLEARED,
        changes.DIRTY_IF_WRITABLE,
        changes.SPLIT_BUGS_VM,
        changes.WRITABLE_NOT_VOLATILE,
        changes.RESTART_AFTER_YIELD,
    ],
    ids=lambda change: change.commit,
)
def test_one_change_more_or_less_is_named(change):
    kernel = flipped(SIX_ONE, change)
    asked = questions(kernel)
    found = fit(asked, STARTS, ALL)
    assert misfits(asked, found) == []
    known = evidence(asked, found, frozenset((change,)))
    assert found.changes == kernel.changes and known[change].decided


def test_several_backports_are_named_together():
    backports = (changes.DIRTY_IF_WRITABLE, changes.AD_DISABLED_ALWAYS_VOLATILE, changes.SPLIT_BUGS_VM)
    kernel = SIX_ONE.plus(*backports).without(changes.UNSYNC_SKIP_IFF_LEAF)
    found = fit(questions(kernel), STARTS, ALL)
    assert found.changes == kernel.changes


def test_a_kernel_that_dies_of_an_input_fits_no_profile():
    asked = questions(SIX_ONE, dies=lambda case: case[0] == 0x5A0, modes=("ept-ad",))
    found = fit(asked, [SIX_ONE], ALL)
    wrong = misfits(asked, found)
    assert wrong and all("kernel code died" in each.answer(found).misfit.reason for each in wrong)


@pytest.mark.slow
@pytest.mark.parametrize("start", STARTS, ids=SERIES)
def test_whatever_is_decided_is_right_if_it_is_flipped(start):
    """Every change that a series' functions show, taken away or added, is seen to be."""
    sure = [each for each in evidence(questions(start), start, ALL).values() if each.decided]
    assert len(sure) > 40
    seen = 0
    for each in sure[::8]:
        kernel = flipped(start, each.change)
        try:
            asked = questions(kernel)
        except INCOHERENT:
            continue  # no kernel is like that, not even this model
        found = fit(asked, [start], ALL)
        assert misfits(asked, found) == [] and found.has(each.change) == kernel.has(each.change)
        seen += 1
    assert seen > 3

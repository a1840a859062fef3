# SPDX-License-Identifier: GPL-2.0-only
"""Find the profile that answers every question as the kernel did, and how certain each change is.

A misfit of a question remains if only changes are flipped that the question does not depend on. So a
fitting profile differs in a change that the question depends on, and trying these for one misfit after the
other is complete. That search is exact but slow; a greedy search runs first, and the exact one looks for up
to ``TOGETHER`` further changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from conformance.model.changes import Change
from conformance.model.profiles import Profile
from conformance.review.questions import Question

__all__ = ["TOGETHER", "Evidence", "evidence", "explanation", "fit", "flipped", "misfits"]

TOGETHER = 2
"""The depth of the exact search: changes that explain a kernel only in combination."""


@dataclass(frozen=True)
class Evidence:
    """What shows whether a kernel has a change.

    ``question`` does not fit a kernel that differs in this change only; None if every question fits both,
    so that nothing is known. ``along`` is another change: flipping both fits as well, so that the two are
    only known together.
    """

    change: Change
    question: Question | None
    along: Change | None = None

    @property
    def decided(self) -> bool:
        """Whether it is known that the kernel has, or lacks, the change."""
        return self.question is not None and self.along is None


def flipped(profile: Profile, *changes: Change) -> Profile:
    """The profile with the given changes flipped: removed if it has them, else added."""
    return Profile(profile.name, profile.changes ^ frozenset(changes))


def misfits(questions: Iterable[Question], profile: Profile) -> list[Question]:
    """The questions that profile and kernel answer differently, those of fewest changes first."""
    found = [question for question in questions if question.answer(profile).misfit is not None]
    return sorted(found, key=lambda question: len(question.answer(profile).asked))


def fit(questions: Sequence[Question], starts: Sequence[Profile], among: frozenset[Change]) -> Profile:
    """A profile that fits, as near to one of ``starts`` as can be found; else the one that fits best.

    It differs from that start only in changes of ``among``.
    """
    best = min(starts, key=lambda start: _distance(questions, start))
    best = _by_what_helps_most(questions, best, among)
    return _exactly(list(questions), best, TOGETHER, among) or best


def _distance(questions: Iterable[Question], profile: Profile) -> tuple[int, float]:
    """The number of questions that misfit, and the sum of their shares."""
    found = [question.answer(profile).misfit for question in questions]
    shares = [misfit.share for misfit in found if misfit is not None]
    return len(shares), sum(shares)


def _by_what_helps_most(questions: Sequence[Question], profile: Profile, among: frozenset[Change]) -> Profile:
    """Flip one change at a time, each time the one that reduces the distance most, until none does."""
    distance = _distance(questions, profile)
    while distance[0]:
        wrong = misfits(questions, profile)
        asked = among & {change for question in wrong for change in question.answer(profile).asked}
        share = _distance(wrong, profile)
        # All questions are asked only about changes that improve those that misfit.
        helping = [c for c in _in_order(asked) if _distance(wrong, flipped(profile, c)) < share]
        tried = [(_distance(questions, flipped(profile, c)), c) for c in helping]
        least = min(tried, key=lambda one: one[0], default=None)
        if least is None or least[0] >= distance:
            break
        distance, profile = least[0], flipped(profile, least[1])
    return profile


def _exactly(
    questions: list[Question], profile: Profile, flips: int, among: frozenset[Change]
) -> Profile | None:
    """A profile that fits and differs in up to ``flips`` changes of ``among``; None if no profile does.

    The question that misfits first moves to the front, since most candidates fail at the same one.
    """
    for at, question in enumerate(questions):
        answer = question.answer(profile)
        if answer.misfit is not None:
            questions.insert(0, questions.pop(at))
            break
    else:
        return profile
    if not flips:
        return None
    for change in _in_order(answer.asked & among):
        among -= {change}
        found = _exactly(questions, flipped(profile, change), flips - 1, among)
        if found is not None:
            return found
    return None


def evidence(
    questions: Sequence[Question], profile: Profile, among: frozenset[Change]
) -> dict[Change, Evidence]:
    """For each change what shows that a kernel that fits ``profile`` has it, or lacks it.

    The behaviour of a function is stronger evidence than its presence, and a question that depends on few
    changes is stronger than one that depends on many.
    """
    order = sorted(questions, key=lambda each: (each.kind == "presence", len(each.answer(profile).asked)))
    return {change: _evidence(order, profile, change, among - {change}) for change in _in_order(among)}


def _evidence(
    questions: Sequence[Question], profile: Profile, change: Change, others: frozenset[Change]
) -> Evidence:
    other = flipped(profile, change)
    deciding = next((each for each in questions if each.answer(other).misfit is not None), None)
    if deciding is None:
        return Evidence(change, None)
    again = _exactly([deciding, *questions], other, TOGETHER - 1, others)
    if again is None:
        return Evidence(change, deciding)
    (along,) = (again.changes ^ profile.changes) - {change}
    return Evidence(change, deciding, along)


def explanation(questions: Sequence[Question], before: Profile, after: Profile) -> list[Change]:
    """The changes that explain why ``after`` answers the questions as the kernel did and ``before`` does not.

    With all of them flipped ``before`` answers them so; with one left out, it does not.
    """
    needed = _in_order(before.changes ^ after.changes)
    for change in [*needed]:
        left = [one for one in needed if one is not change]
        profile, asking = flipped(before, *left), flipped(before, *needed)
        # The others answer as they did.
        dependent = (one for one in questions if change in one.answer(asking).asked)
        if all(one.answer(profile).misfit is None for one in dependent):
            needed = left
    return needed


def _in_order(changes: Iterable[Change]) -> list[Change]:
    """Oldest first, so that a search is deterministic."""
    return sorted(changes, key=lambda change: (change.release, change.commit))

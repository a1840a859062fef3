# SPDX-License-Identifier: GPL-2.0-only
"""Fitting: which profile answers every question as the kernel did, and how sure that is of each change.

A profile that misfits a question misfits it still, whatever changes are flipped that the question
does not depend on. So a profile that fits differs in one of those that it does depend on, and trying these
for one misfit after the other misses nothing. That is exact, and long; flipping whatever helps most comes
first, and what is left is searched exactly for up to ``TOGETHER`` changes that only help together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from conformance.model.changes import Change
from conformance.model.profiles import Profile
from conformance.review.questions import Question

__all__ = ["TOGETHER", "Evidence", "evidence", "fit", "flipped", "misfits"]

TOGETHER = 2
"""How many changes are looked for that explain a kernel only together."""


@dataclass(frozen=True)
class Evidence:
    """What tells whether a kernel has a change.

    ``question`` does not fit a kernel that is the same but for this change; None if every question would
    fit it as well, so that nothing is known. ``along`` is another change without which, or with
    which, it would fit as well: the two are only known together.
    """

    change: Change
    question: Question | None
    along: Change | None = None

    @property
    def decided(self) -> bool:
        """Whether it is known if the kernel has the change."""
        return self.question is not None and self.along is None


def flipped(profile: Profile, *changes: Change) -> Profile:
    """The profile with changes that it has taken away, and those that it lacks added."""
    return Profile(profile.name, profile.changes ^ frozenset(changes))


def misfits(questions: Iterable[Question], profile: Profile) -> list[Question]:
    """The questions that the profile answers otherwise than the kernel, those of fewest changes first."""
    found = [question for question in questions if question.answer(profile).misfit is not None]
    return sorted(found, key=lambda question: len(question.answer(profile).asked))


def fit(questions: Sequence[Question], starts: Sequence[Profile], among: frozenset[Change]) -> Profile:
    """A profile that fits, as near to one of ``starts`` as can be found; else the one that fits best.

    It differs from that start in changes ``among`` these only.
    """
    best = min(starts, key=lambda start: _distance(questions, start))
    best = _by_what_helps_most(questions, best, among)
    return _exactly(list(questions), best, TOGETHER, among) or best


def _distance(questions: Iterable[Question], profile: Profile) -> tuple[int, float]:
    """How many questions misfit, and by how much altogether."""
    found = [question.answer(profile).misfit for question in questions]
    shares = [misfit.share for misfit in found if misfit is not None]
    return len(shares), sum(shares)


def _by_what_helps_most(questions: Sequence[Question], profile: Profile, among: frozenset[Change]) -> Profile:
    """Flip one change after the other, each time the one that leaves the least; until none helps."""
    distance = _distance(questions, profile)
    while distance[0]:
        wrong = misfits(questions, profile)
        asked = among & {change for question in wrong for change in question.answer(profile).asked}
        share = _distance(wrong, profile)
        # Only those that help where something is wrong are worth asking everything.
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
    """A profile that fits and differs in up to ``flips`` changes ``among`` these; None if none does.

    The question that misfits first is asked first from then on: most that is tried fails at the same one.
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
    """For each change what tells that a kernel that fits ``profile`` has it, or has it not.

    What a function does tells more than that it is there, and a question of few changes more than one of
    many.
    """
    order = sorted(questions, key=lambda each: (each.kind == "presence", len(each.answer(profile).asked)))
    return {change: _evidence(order, profile, change, among - {change}) for change in _in_order(among)}


def _evidence(
    questions: Sequence[Question], profile: Profile, change: Change, others: frozenset[Change]
) -> Evidence:
    other = flipped(profile, change)
    telling = next((each for each in questions if each.answer(other).misfit is not None), None)
    if telling is None:
        return Evidence(change, None)
    again = _exactly([telling, *questions], other, TOGETHER - 1, others)
    if again is None:
        return Evidence(change, telling)
    (along,) = (again.changes ^ profile.changes) - {change}
    return Evidence(change, telling, along)


def _in_order(changes: Iterable[Change]) -> list[Change]:
    """Oldest first, so that a search takes the same way each time."""
    return sorted(changes, key=lambda change: (change.release, change.commit))

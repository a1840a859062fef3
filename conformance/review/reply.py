# SPDX-License-Identifier: GPL-2.0-only
"""What can be said in a reply to a patch, in whole sentences: proved is proved, N cases are N cases."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.review.judging import Judged, Outcome
from conformance.review.review import FunctionReview, Review, Standing

__all__ = ["LABELS", "names", "reply", "seen"]

LABELS = {
    Standing.DIFFERS: "behaviour differs",
    Standing.UNCOVERED: "changed, and executed by nothing here",
    Standing.UNSEEN: "not proved, no difference found",
    Standing.EQUIVALENT: "proved, alike on every input",
    Standing.SAME_CODE: "proved, machine code equal",
    Standing.ADDED: "added",
    Standing.REMOVED: "removed",
}
"""What a changed function's standing is called in reports, the one that matters most first."""

_NAMED = 6
"""How many functions of a kind a sentence names."""


def reply(judged: Judged) -> str:
    """The sentences about a patch, to be pasted into a reply to it."""
    review = judged.review
    if judged.outcome is Outcome.UNCONCERNED:
        return "Nothing here concerns the MMU."
    if review is None:
        return f"Not judged: {judged.reason}"
    differing = _standing(review, Standing.DIFFERS)
    if differing:
        said = f' The message says "{judged.claim.sentence}"' if judged.claim else ""
        where = names([_call(one) for one in differing])
        return f"Behaviour changes in {where}.{said}"
    if judged.outcome is Outcome.UNJUDGED:
        return f"Not judged: {' '.join(review.errors)}"
    return " ".join([_opening(review), *_grounds(review)])


def seen(one: FunctionReview) -> str:
    """What a function that was not proved alike was run on: "65,536 cases", "the stories a and b"."""
    if one.cases:
        return "1 case" if one.cases == 1 else f"{one.cases:,} cases"
    if one.by:
        return f"the stor{'y' if len(one.by) == 1 else 'ies'} {names(one.by)}"
    return "no case that was counted"


def names(told: Sequence[str], most: int = _NAMED) -> str:
    """Names as prose: "a, b and c", "a, b and 7 more"."""
    shown = [*told[:most], f"{len(told) - most} more"] if len(told) > most + 1 else [*told]
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]])) if shown else "nothing"


def _opening(review: Review) -> str:
    if review.proved:
        return "No functional change."
    if _standing(review, Standing.UNCOVERED):
        return "No functional change found where anything could be run, which is not everywhere."
    return "No functional change found."


def _grounds(review: Review) -> list[str]:
    """A sentence for each way in which functions were judged."""
    sentences = []
    for standing in (Standing.SAME_CODE, Standing.EQUIVALENT):
        proved = _standing(review, standing)
        if proved:
            sentences.append(f"{LABELS[standing].capitalize()}: {names([_call(one) for one in proved])}.")
    sampled = [f"{_call(one)} in {seen(one)}" for one in _standing(review, Standing.UNSEEN)]
    if sampled:
        sentences.append(f"Not proved, but no difference found: {names(sampled)}.")
    for standing in (Standing.UNCOVERED, Standing.ADDED, Standing.REMOVED):
        rest = _standing(review, standing)
        if rest:
            sentences.append(f"{LABELS[standing].capitalize()}: {names([_call(one) for one in rest])}.")
    if review.constants:
        moved = names([one.name for one in review.constants])
        sentences.append(f"Constants or layout moved: {moved}.")
    return sentences


def _standing(review: Review, standing: Standing) -> list[FunctionReview]:
    return [one for one in review.functions if one.standing is standing]


def _call(one: FunctionReview) -> str:
    return f"{one.name}()"

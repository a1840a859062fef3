# SPDX-License-Identifier: GPL-2.0-only
"""The text of a reply to a patch; it distinguishes what is proved from what was tested."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from conformance.differential.properties import PROPERTIES
from conformance.review.judging_series import Judged
from conformance.review.line_texts import of_all
from conformance.review.outcome import Outcome
from conformance.review.review import UNKNOWN, FunctionReview, Review, ScopeReview, Standing

__all__ = ["LABELS", "names", "reply", "seen"]

LABELS = {
    Standing.DIFFERS: "behaviour differs",
    Standing.UNCOVERED: "changed, and executed by nothing that could be run",
    Standing.UNOBSERVED: "changed and executed, but nothing looks at its result",
    Standing.UNMEASURED: "changed and executed, but not measured whether anything looks at its result",
    Standing.UNSEEN: "not proved, no difference found",
    Standing.EQUIVALENT: "proved, alike on every input",
    Standing.SAME_CODE: "proved, machine code equal",
    Standing.ADDED: "added",
    Standing.REMOVED: "removed",
}
"""The standings of changed functions as reports word them, the most important first."""

_NAMED = 6
"""The most functions of a kind that a sentence names."""

_OPENINGS = {
    Outcome.PROVED: "No functional change.",
    Outcome.KEPT: "No functional change found.",
    Outcome.UNCOVERED: "No functional change found where anything could be run, which is not everywhere.",
    Outcome.UNOBSERVED: "Nothing is claimed.",
    Outcome.UNEXECUTED: "Nothing that it changes could be run: nothing is claimed.",
}


def reply(judged: Judged) -> str:
    """The sentences about a patch, for a reply to it."""
    review = judged.review
    if judged.outcome is Outcome.UNCONCERNED:
        return "Nothing here concerns the MMU."
    if review is None:
        return f"Not judged: {judged.reason}"
    differing = _standing(review, Standing.DIFFERS)
    if differing:
        said = f' The message says "{judged.claim.sentence}"' if judged.claim else ""
        return " ".join([f"{_changes(differing)}{said}", *review.undone])
    if judged.outcome is Outcome.UNJUDGED:
        return f"Not judged: {' '.join(review.errors)}"
    return " ".join([_OPENINGS[judged.outcome], *_grounds(review), *review.undone])


def seen(one: FunctionReview, *, verbose: bool = False) -> str:
    """What a function was tested on: "65,536 cases", "37 stories"."""
    if one.cases:
        return "1 case" if one.cases == 1 else f"{one.cases:,} cases"
    stories = [name for name in one.by if name not in PROPERTIES]
    if stories and (verbose or len(stories) == 1):
        return f"the stor{'y' if len(stories) == 1 else 'ies'} {names(stories, len(stories))}"
    return f"{len(stories)} stories" if stories else "no case that was counted"


def names(every: Sequence[str], most: int = _NAMED) -> str:
    """Names as prose: "a, b and c", "a, b and 7 more"."""
    shown = [*every[:most], f"{len(every) - most} more"] if len(every) > most + 1 else [*every]
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]])) if shown else "nothing"


def _changes(differing: Sequence[FunctionReview]) -> str:
    """A sentence about where behaviour changes, and for functions of the same text, through what."""
    own = [one for one in differing if not one.through]
    if own:
        return f"Behaviour changes in {names([_call(one) for one in own])}."
    causes = dict.fromkeys(cause for one in differing for cause in one.through)
    where = names([_call(one) for one in differing])
    return f"Behaviour changes through {names([*causes])}, seen in {where}."


def _grounds(review: Review) -> list[str]:
    """A sentence for each way in which the changes were judged."""
    sentences = []
    for standing in (Standing.SAME_CODE, Standing.EQUIVALENT):
        proved = _standing(review, standing)
        if proved:
            sentences.append(f"{LABELS[standing].capitalize()}: {names([_call(one) for one in proved])}.")
    sampled = [f"{names(calls)} in {where}" for where, calls in _sampled(review).items()]
    if sampled:
        sentences.append(f"Not proved, but no difference found: {names(sampled)}.")
    for standing in (*UNKNOWN, Standing.ADDED, Standing.REMOVED):
        rest = _standing(review, standing)
        if rest:
            sentences.append(f"{LABELS[standing].capitalize()}: {names([_call(one) for one in rest])}.")
    sentences += filter(None, [of_all(one.lines for one in review.functions if one.lines)])
    sentences += _outside(review.scope)
    layout = dict.fromkeys(one.where for one in review.constants if one.aspect)
    values = [one.name for one in review.constants if not one.aspect]
    sentences += [f"Constants that moved: {names(values)}."] if values else []
    return sentences + ([f"Layout that moved: {names([*layout])}."] if layout else [])


def _sampled(review: Review) -> dict[str, list[str]]:
    """The functions in which no difference was found, by what they were run on."""
    found: dict[str, list[str]] = {}
    for one in _standing(review, Standing.UNSEEN):
        found.setdefault(seen(one), []).append(_call(one))
    return found


def _outside(scope: Sequence[ScopeReview]) -> Iterable[str]:
    """Sentences about changes outside of functions."""
    unlooked = [_place(one) for one in scope if not one.observed]
    if unlooked:
        yield f"Changed, but nothing here looks at it: {names(unlooked)}."
    proved: dict[str, list[str]] = {}
    for one in scope:
        if one.proved:
            proved.setdefault(one.proved, []).append(_place(one))
    for why, places in proved.items():
        yield f"Proved to change nothing, since {why}: {names(places)}."


def _place(one: ScopeReview) -> str:
    return f"{one.name} in {one.file.removeprefix('arch/x86/kvm/')}"


def _standing(review: Review, standing: Standing) -> list[FunctionReview]:
    return [one for one in review.functions if one.standing is standing]


def _call(one: FunctionReview) -> str:
    return f"{one.name}()"

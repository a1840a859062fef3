# SPDX-License-Identifier: GPL-2.0-only
"""Compare two kernels: by text first, then by proofs, then by running what executes the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from threading import Thread

from conformance.differential.selection import check_selection
from conformance.kernels import Cache, Kernel
from conformance.review.constants import moved, same_values
from conformance.review.executing import Running
from conformance.review.layouts import moved_fields
from conformance.review.pairing import Pair
from conformance.review.plan import ReviewPlan
from conformance.review.proof import Proofs
from conformance.review.reverted_fixes import reverted_fixes
from conformance.review.review import FunctionReview, Review, Standing
from conformance.review.scope import needs_code, review_scope, shown_by_code
from conformance.review.texts import Texts

__all__ = ["ReviewPlan", "compare"]

Progress = Callable[[str], None]

NOT_COMPILED = "it is not compiled in the configuration used here"
COMMENTS = "only comments and white space changed"
_EQUAL = (Standing.SAME, Standing.SAME_CODE)
CONDITIONAL = "what changed stands under an #if, and makes no code in the configuration used here"


def _quiet(message: str) -> None:
    """Discard progress messages."""


def compare(
    before: Kernel, after: Kernel, plan: ReviewPlan | None = None, progress: Progress = _quiet
) -> Review:
    """Review the change from one kernel to another.

    Raises BuildError if either does not compile, ConformanceError if the plan names what does not exist.
    """
    plan = plan or ReviewPlan()
    check_selection(plan.only, plan.modes, plan.case)
    after.need_gcc("a review compares machine code as gcc writes it")
    texts = Texts(before, after)
    proofs = Proofs(before, after, texts, Cache(), progress)
    texts.same_data = frozenset(proofs.same_data(texts.own_items))
    texts.same_values = frozenset(same_values((before, after), (texts.before, texts.after)))
    running = Running(before, after, texts, plan, progress)
    ahead = Thread(target=running.read_ahead, name="coverage", daemon=True)
    ahead.start()
    pairs, differing = _by_code(texts, proofs)
    reviews = {one.text.name: _untouched(one) for one in pairs}
    changed = [one for one in pairs if reviews[one.text.name] is None]
    changed = _prove(proofs.apart, changed, reviews, texts)
    idle = [one for one in changed if not proofs.compiled(one)]
    reviews.update((one.text.name, _stand(one, Standing.UNCOVERED, NOT_COMPILED)) for one in idle)
    changed = [one for one in changed if one not in idle]
    if changed:
        ahead.join()
        found = running.judge(changed, pairs, lambda some: _prove(proofs.as_built, some, reviews, texts))
        reviews.update((one.name, one) for one in found)
        edited = [one for one in reviews.values() if one is not None and one.standing not in _EQUAL]
        reviews.update((one.name, one) for one in running.with_lines(edited, pairs))
    functions = tuple(one for one in reviews.values() if one is not None)
    if plan.only:
        functions = tuple(one for one in functions if one.by)
    kernels, sources = (before, after), (texts.before, texts.after)
    constants = moved(kernels, sources, texts.moved) + moved_fields(kernels, sources, texts.moved_structures)
    scope = () if plan.only else review_scope(texts, differing)
    return Review(
        _title(before),
        _title(after),
        functions,
        tuple(constants),
        tuple(running.errors),
        scope,
        reverted_fixes(before, after, running.differing, progress),
    )


def _by_code(texts: Texts, proofs: Proofs) -> tuple[list[Pair], set[str] | None]:
    """The functions, and the names of those whose text is the same, but whose machine code differs.

    The names are None if nothing changed whose effect only machine code can show.
    """
    if not needs_code(texts):
        return texts.pairs, None
    differing = proofs.differing(texts.pairs)
    through = tuple(sorted(shown_by_code(texts)))
    different = {one.text.name for one in texts.pairs if one.same and one.text.name in differing}
    pairs = [replace(one, through=through) if one.text.name in different else one for one in texts.pairs]
    return pairs, different


def _prove(
    prove: Callable[[list[Pair]], dict[str, str]],
    changed: list[Pair],
    reviews: dict[str, FunctionReview | None],
    texts: Texts,
) -> list[Pair]:
    """Record the functions that are proved equal, and return the others.

    Equal machine code does not cover a variable whose initial value changed, nor code that is not compiled.
    """
    equal = prove(changed) if changed else {}
    equal = {
        one.text.name: equal[one.text.name]
        for one in changed
        if one.text.name in equal and not texts.variables.intersection(one.through)
    }
    reviews.update((one.text.name, _proved(one, equal)) for one in changed if one.text.name in equal)
    return [one for one in changed if one.text.name not in equal]


def _title(kernel: Kernel) -> str:
    return f"{kernel.title} ({kernel.version}, {kernel.compiler.short})"


def _stand(one: Pair, standing: Standing, reason: str = "") -> FunctionReview:
    return FunctionReview(one.text.name, one.text.file, standing, one.was, reason=reason)


def _untouched(one: Pair) -> FunctionReview | None:
    """The standing of a function by its text alone; None if the text does not decide it."""
    if one.same:
        return _stand(one, Standing.SAME)
    if one.alike and not one.through:
        return _stand(one, Standing.SAME_CODE, COMMENTS)
    if one.before is None:
        return _stand(one, Standing.ADDED)
    return _stand(one, Standing.REMOVED) if one.after is None else None


def _proved(one: Pair, equal: dict[str, str]) -> FunctionReview:
    if one.only_conditional:
        return _stand(one, Standing.UNCOVERED, CONDITIONAL)
    return _stand(one, Standing.SAME_CODE, equal[one.text.name])

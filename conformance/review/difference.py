# SPDX-License-Identifier: GPL-2.0-only
"""What a change changes: texts first, then proofs, then whatever can be run, until every function stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from conformance.kernels import Cache, Kernel
from conformance.review.proof import Proofs
from conformance.review.review import FunctionReview, Review, Standing
from conformance.review.texts import Pair, Texts

__all__ = ["Plan", "compare"]

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How far to look.

    ``only`` are globs on the properties to run, ``modes`` names of modes (none: all). ``budget`` is
    seconds of comparing properties. ``case`` is one input to try on the one property named. ``arguments`` are those
    of ``conformance diff`` that name the kernels, for the command that shows a difference again.
    """

    only: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    budget: float = 5.0
    seed: int = 0
    case: tuple[int, ...] = ()
    arguments: tuple[str, ...] = ()


def _quiet(message: str) -> None:
    """Nobody is told."""


def compare(before: Kernel, after: Kernel, plan: Plan | None = None, progress: Progress = _quiet) -> Review:
    """Review the change from one kernel to another.

    Raises BuildError if either does not compile, ConformanceError about a plan that names what there is not.
    """
    texts = Texts(before, after)
    functions = [_unchanged(one) for one in texts.pairs if one.same]
    functions += [_lone(one) for one in texts.pairs if not (one.before and one.after)]
    changed = [one for one in texts.pairs if one.before and one.after and not one.same]
    proofs = Proofs(before, after, texts, Cache(), progress)
    if changed:
        equal = proofs.apart(changed)
        functions += [_proved(one, equal[one.text.name]) for one in changed if one.text.name in equal]
        changed = [one for one in changed if one.text.name not in equal]
    if changed:
        equal = proofs.as_built(changed)
        functions += [_proved(one, equal[one.text.name]) for one in changed if one.text.name in equal]
        changed = [one for one in changed if one.text.name not in equal]
    functions += [_stand(one, Standing.UNCOVERED) for one in changed]
    order = {one.text.name: place for place, one in enumerate(texts.pairs)}
    functions.sort(key=lambda one: order[one.name])
    return Review(_title(before), _title(after), tuple(functions))


def _title(kernel: Kernel) -> str:
    return f"{kernel.title} ({kernel.version})"


def _stand(one: Pair, standing: Standing, reason: str = "") -> FunctionReview:
    return FunctionReview(one.text.name, one.text.file, standing, one.was, reason=reason)


def _unchanged(one: Pair) -> FunctionReview:
    return _stand(one, Standing.SAME)


def _lone(one: Pair) -> FunctionReview:
    return _stand(one, Standing.REMOVED if one.after is None else Standing.ADDED)


def _proved(one: Pair, how: str) -> FunctionReview:
    return _stand(one, Standing.SAME_CODE, how)

# SPDX-License-Identifier: GPL-2.0-only
"""The standing of each changed function, from the results of properties and stories.

A function with a property of its own stands by that property alone; if both kernels answer alike on every
input, it is proved. Any other function is blamed for a difference that executes it, together with all other
changed functions that were executed there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from conformance.review.behaviour import Seen
from conformance.review.pairing import Pair, property_of
from conformance.review.review import FunctionReview, Standing

__all__ = ["judge"]


def judge(
    changed: Sequence[Pair],
    pairs: Iterable[Pair],
    seen: Sequence[Seen],
    why: str,
    moved: Sequence[str] = (),
    begun: Collection[str] = (),
) -> Iterator[FunctionReview]:
    """The reviews of the ``changed`` functions, after the results ``seen``.

    Functions among ``pairs`` follow that did not change and yet differ, through constants or variables that
    ``moved``. ``why`` some properties could not be run. ``begun`` are writable variables whose initial value
    changed: if nothing differs, the code may have overwritten it before anything read it.
    """
    accused: set[str] = set()
    for one in changed:
        executing = [each for each in seen if each.executed & one.symbols]
        own = [each for each in executing if each.name in _names(one)]
        guilty = [each for each in own if each.difference] or [
            each for each in executing if not own and each.difference and each.blamed & one.symbols
        ]
        if guilty:
            first = min(guilty, key=lambda each: len(each.blamed))
            accused.update(each.name for each in guilty)
            others = [
                other.text.name for other in changed if other is not one and first.blamed & other.symbols
            ]
            yield _reviewed(one, Standing.DIFFERS, executing, "" if own else _together(first, others), first)
        elif executing:
            alike = [each for each in executing if not each.difference]
            whole = [each for each in own if each.proved]
            if not alike:
                yield _reviewed(one, Standing.UNOBSERVED, executing, _masked(executing))
                continue
            if one.alike and set(one.through) <= set(begun):
                reason = f"nothing here looks at what {', '.join(one.through[:3])} begins with"
                yield _reviewed(one, Standing.UNOBSERVED, executing, reason)
                continue
            standing = Standing.EQUIVALENT if whole else Standing.UNSEEN
            yield _reviewed(one, standing, whole or alike, "" if whole else _partly(alike))
        else:
            yield _reviewed(one, Standing.UNCOVERED, (), why)
    for each in seen:
        if each.difference and each.name not in accused and not _explained(each, changed):
            for one in pairs:
                if each.name in _names(one):
                    reason = f"its own text is the same{_through(moved)}"
                    yield _reviewed(
                        replace(one, through=tuple(moved)), Standing.DIFFERS, [each], reason, each
                    )


def _names(one: Pair) -> set[str]:
    """The names of properties of this function."""
    return {name for known in (one.text.name, one.was) if known for name in property_of(known)}


def _explained(each: Seen, changed: Sequence[Pair]) -> bool:
    """Whether a difference executes a changed function, and so is reported there."""
    return any(each.blamed & one.symbols for one in changed)


def _masked(executing: Sequence[Seen]) -> str:
    """The reason for a function that is executed only where something else differs."""
    names = [each.name for each in executing]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"it is executed only in {', '.join(names[:3])}{more}, where other code makes a difference"


def _together(first: Seen, others: Sequence[str]) -> str:
    """The reason that names the property or story, if it is not a property of the function itself."""
    also = f", which executes {', '.join(others)} too, changed as well" if others else ""
    return f"in {first.name}{also}"


def _reviewed(
    one: Pair, standing: Standing, by: Sequence[Seen], reason: str = "", first: Seen | None = None
) -> FunctionReview:
    return FunctionReview(
        one.text.name,
        one.text.file,
        standing,
        one.was,
        cases=sum(each.cases for each in by),
        by=tuple(each.name for each in by),
        reason=reason or _uses(one),
        difference=first.difference if first else None,
        through=one.through if one.alike else (),
    )


def _partly(executing: Sequence[Seen]) -> str:
    """The reason that names the proved properties that execute a function without one of its own."""
    proved = [each.name for each in executing if each.proved]
    if not proved:
        return ""
    more = f" and {len(proved) - 3} more" if len(proved) > 3 else ""
    return f"proved as part of {', '.join(proved[:3])}{more}"


def _through(moved: Sequence[str]) -> str:
    """What changed that may make a function of the same text behave differently."""
    more = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
    return f"; what changed besides is {', '.join(moved[:3])}{more}" if moved else ""


def _uses(one: Pair) -> str:
    """The reason for a function that counts as changed although its own text did not change."""
    if one.through and one.alike:
        more = f" and {len(one.through) - 3} more" if len(one.through) > 3 else ""
        return f"its own text is the same, but it uses {', '.join(one.through[:3])}{more}"
    return ""

# SPDX-License-Identifier: GPL-2.0-only
"""How many changed lines were executed and by what, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from conformance.differential.properties import PROPERTIES
from conformance.review.changed_lines import ChangedLines, Execution, Side, SideLines

__all__ = ["counts", "of_all"]

_KINDS = {Side.BEFORE: "removed", Side.AFTER: "added"}
_NAMED = 2


def counts(lines: ChangedLines, *, verbose: bool = False) -> str:
    """The counts of one function: "1 of 1 removed line executed, 2 of 3 added lines executed, by 3 stories".

    What executed them is named for each side, unless it is the same.
    """
    sides = [(side, lines.side(side)) for side in Side if lines.side(side).code]
    if not sides:
        return "no changed line has code"
    alike = len({one.by for _, one in sides}) == 1
    parts: list[str] = []
    for side, one in sides:
        parts += _side(one, _KINDS[side], "" if alike else runs(one.by, verbose=verbose))
    by = runs(sides[0][1].by, verbose=verbose) if alike else ""
    text = ", ".join([*parts, *([f"by {by}"] if by else [])])
    why = dict.fromkeys(
        lines.reasons[side]
        for side, one in sides
        if one.counts.get(Execution.NOT_RUN) or one.counts.get(Execution.NOT_MEASURED)
    )
    return "; ".join(filter(None, [text, *why]))


def of_all(every: Iterable[ChangedLines]) -> str:
    """A sentence for each side about all changed lines of a review; "" if none has code."""
    every = list(every)
    sentences = [_sentence([lines.side(side) for lines in every], _KINDS[side]) for side in Side]
    return " ".join(filter(None, sentences))


def _sentence(sides: Sequence[SideLines], kind: str) -> str:
    code = sum(one.code for one in sides)
    if not code:
        return ""
    executed = sum(one.executed for one in sides)
    by = runs(name for one in sides for name in one.by)
    states = [f"{executed} {_was(executed)} executed{f' by {by}' if by else ''}"]
    states += [f"{n} {_was(n)} {state}" for state, n in _rest(sides)]
    return f"Of {_lines(code, kind)}, {', '.join(states)}."


def runs(names: Iterable[str], *, verbose: bool = False) -> str:
    """Properties and stories, counted, the first of them by name."""
    every = dict.fromkeys(names)
    stories = [name for name in every if name not in PROPERTIES]
    properties = [name for name in every if name in PROPERTIES]
    kinds = [
        _some(stories, "story", "stories", verbose),
        _some(properties, "property", "properties", verbose),
    ]
    return " and ".join(filter(None, kinds))


def _side(one: SideLines, kind: str, by: str) -> Iterator[str]:
    """The lines of one side with code: those executed, then those of which that cannot be said."""
    known = one.executed + one.counts.get(Execution.NOT_EXECUTED, 0)
    if known:
        number = "none" if not one.executed else str(one.executed)
        yield f"{number} of {_lines(known, kind)} executed{f' by {by}' if by else ''}"
    yield from (
        f"{_lines(n, kind)} {state}" for state, n in _rest([one]) if state is not Execution.NOT_EXECUTED
    )


def _rest(sides: Sequence[SideLines]) -> Iterator[tuple[Execution, int]]:
    for state in (Execution.NOT_EXECUTED, Execution.NOT_RUN, Execution.NOT_MEASURED):
        n = sum(one.counts.get(state, 0) for one in sides)
        if n:
            yield state, n


def _lines(n: int, kind: str) -> str:
    return f"{n} {kind} line{'' if n == 1 else 's'}"


def _was(n: int) -> str:
    return "was" if n == 1 else "were"


def _some(names: Sequence[str], one: str, several: str, verbose: bool) -> str:
    if not names:
        return ""
    if len(names) == 1:
        return f"the {one} {names[0]}"
    shown = ", ".join(names if verbose else names[:_NAMED]) + (
        "" if verbose or len(names) <= _NAMED else ", ..."
    )
    return f"{len(names)} {several} ({shown})"

# SPDX-License-Identifier: GPL-2.0-only
"""Reviews as the text of a mail, 72 columns wide but for commands: of two kernels, of each patch of a series.

The terminal shows the same text, a patch at a time as soon as it is judged.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from conformance.reports.difference import BEFORE_AFTER, described
from conformance.reports.mail import WIDTH, folded
from conformance.reports.text import line
from conformance.review.judging_series import Judged, SeriesReview
from conformance.review.outcome import Outcome
from conformance.review.reply import LABELS, names, reply, seen
from conformance.review.review import ConstantReview, FunctionReview, Review, ScopeReview, Standing

__all__ = ["heading", "render_review", "render_series", "section"]

_INDENT = " " * 4
_NAMED = 8
"""How many functions or items with the same facts are named, unless all are asked for."""


def render_review(review: Review, *, verbose: bool = False) -> str:
    """The comparison of two kernels."""
    judged = Judged("", review=review)
    told = [*folded(f"{review.before}, and {review.after}"), "", *_judged(judged, verbose)]
    return "\n".join(told).rstrip() + "\n"


def render_series(series: SeriesReview, *, verbose: bool = False) -> str:
    """What became of each patch of a series, and of the whole."""
    first = heading(len(series.parts), series.base, series.notes)
    return first + "".join(section(one, verbose=verbose) for one in series.judged)


def heading(count: int, base: str, notes: Sequence[str]) -> str:
    """How many patches on which kernel, and what was left out."""
    told = folded(f"{'1 patch' if count == 1 else f'{count} patches'} on {base}")
    for note in notes:
        told += folded(f"note: {note}")
    return "\n".join(told) + "\n"


def section(one: Judged, *, verbose: bool = False) -> str:
    """One patch, or the whole, after an empty line."""
    return "\n".join(["", *folded(one.title), *_judged(one, verbose)]).rstrip() + "\n"


def _judged(one: Judged, verbose: bool) -> Iterator[str]:
    """One patch: what it comes to, how its functions stand, each difference, and what to say in a reply."""
    kept = one.claim and one.outcome in (Outcome.PROVED, Outcome.KEPT)
    yield from folded(f"{one.outcome}{', as the message says' if kept else ''}", _INDENT)
    if one.outcome is Outcome.UNJUDGED:
        for sentence in [one.reason, *(one.review.errors if one.review else ())]:
            yield from folded(sentence, _INDENT)
    for remark in one.remarks:
        yield from folded(remark, _INDENT)
    if one.review is None or one.outcome is Outcome.UNCONCERNED:
        return
    for sentence in one.review.undone:
        yield from folded(sentence, _INDENT)
    yield ""
    yield from _functions(one.review, verbose)
    yield from _scope(one.review.scope, verbose)
    yield from _constants(one.review.constants)
    yield from _differences(one.review.functions)
    yield ""
    yield f"{_INDENT}for a reply:"
    yield from (f"{_INDENT}{part}" for part in textwrap.wrap(line(reply(one)), WIDTH - len(_INDENT)))


def _functions(review: Review, verbose: bool) -> Iterator[str]:
    """The changed functions by how they stand, those with the same facts together."""
    for standing, label in LABELS.items():
        group = [one for one in review.functions if one.standing is standing]
        if group:
            yield from folded(f"{label}:", _INDENT)
            yield from _together(((_called(one), _facts(one, verbose)) for one in group), verbose)


def _called(one: FunctionReview) -> str:
    return f"{one.name}(){f', was {one.was}()' if one.was else ''}"


def _facts(one: FunctionReview, verbose: bool) -> str:
    """What is known of a function besides its standing."""
    looked = f", {seen(one, verbose=verbose)}" if one.standing is Standing.UNSEEN else ""
    return looked + (f": {one.reason}" if one.reason else "")


def _scope(scope: Sequence[ScopeReview], verbose: bool) -> Iterator[str]:
    """What changed outside of functions, by who judges it."""
    groups = {
        "changed outside of functions, and nothing here looks at it": [
            one for one in scope if not one.observed
        ],
        "changed outside of functions, judged by what uses it": [one for one in scope if one.users],
        "changed outside of functions, proved to change nothing": [one for one in scope if one.proved],
    }
    for label, group in groups.items():
        if group:
            yield from folded(f"{label}:", _INDENT)
            yield from _together(((one.name, _where(one, verbose)) for one in group), verbose)


def _where(one: ScopeReview, verbose: bool) -> str:
    """Where an item is, and what is known of it."""
    users = [f"{name}()" for name in one.users]
    used = f": used by {', '.join(users) if verbose else names(users, 3)}" if users else ""
    why = one.proved or one.reason
    return f" in {one.file.removeprefix('arch/x86/kvm/')}{used}{f': {why}' if why else ''}"


def _together(told: Iterable[tuple[str, str]], verbose: bool) -> Iterator[str]:
    """Names, those of the same facts on one line."""
    groups: dict[str, list[str]] = {}
    for name, facts in told:
        groups.setdefault(facts, []).append(name)
    for facts, alike in groups.items():
        shown = (
            alike if verbose or len(alike) <= _NAMED + 1 else [*alike[:_NAMED], f"{len(alike) - _NAMED} more"]
        )
        yield from folded(f"{', '.join(shown)}{facts}", _INDENT * 2)


def _constants(moved: Sequence[ConstantReview]) -> Iterator[str]:
    if moved:
        yield from folded("constants and layout that moved:", _INDENT)
    for one in moved:
        what = f", {one.aspect}" if one.aspect else ""
        yield from folded(f"{one.name}{what} {' -> '.join(one.texts)} ({one.where})", _INDENT * 2)


def _differences(functions: Sequence[FunctionReview]) -> Iterator[str]:
    """Each difference once, with the functions that are held responsible for it."""
    groups: dict[int, list[FunctionReview]] = {}
    for one in functions:
        if one.difference is not None:
            groups.setdefault(id(one.difference), []).append(one)
    for group in groups.values():
        found = group[0].difference
        assert found is not None
        where = [f"{one.name}() in {one.file}" for one in group]
        yield ""
        yield from folded(names(where, 3) if len(where) > 1 else where[0], _INDENT)
        yield from described(found, BEFORE_AFTER, width=WIDTH)

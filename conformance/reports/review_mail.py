# SPDX-License-Identifier: GPL-2.0-only
"""Reviews as plain text for a mail, folded at 72 columns except for commands: of two kernels, of a series.

The terminal shows the same text, each patch as soon as its review is done.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from conformance.reports.difference import BEFORE_AFTER, described
from conformance.reports.hunks import hunks
from conformance.reports.mail import WIDTH, folded
from conformance.reports.text import line
from conformance.review.line_texts import counts
from conformance.review.outcome import Outcome
from conformance.review.reply import LABELS, names, reply, seen
from conformance.review.review import ConstantReview, FunctionReview, Review, ScopeReview, Standing
from conformance.review.series_review import Judged, SeriesReview

__all__ = ["heading", "render_review", "render_series", "section"]

_INDENT = " " * 4
_NAMED = 8
"""How many functions or items with the same facts are listed, unless ``verbose``."""


def render_review(review: Review, *, verbose: bool = False) -> str:
    """The comparison of two kernels."""
    judged = Judged("", review=review)
    text = [*folded(f"{review.before}, and {review.after}"), "", *_judged(judged, verbose)]
    return "\n".join(text).rstrip() + "\n"


def render_series(series: SeriesReview, *, verbose: bool = False) -> str:
    """The review of each patch of a series, and of the whole."""
    first = heading(len(series.parts), series.base, series.notes)
    return first + "".join(section(one, verbose=verbose) for one in series.judged)


def heading(count: int, base: str, notes: Sequence[str]) -> str:
    """The number of patches, the kernel, and notes about patches that were left out."""
    text = folded(f"{'1 patch' if count == 1 else f'{count} patches'} on {base}")
    for note in notes:
        text += folded(f"note: {note}")
    return "\n".join(text) + "\n"


def section(one: Judged, *, verbose: bool = False) -> str:
    """The review of one patch, or of the whole, after an empty line."""
    return "\n".join(["", *folded(one.title), *_judged(one, verbose)]).rstrip() + "\n"


def _judged(one: Judged, verbose: bool) -> Iterator[str]:
    """The lines of one patch: its outcome, its functions, each difference, and a text for a reply."""
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
    yield from _lines(one.review, verbose)
    yield from _scope(one.review.scope, verbose)
    yield from _constants(one.review.constants)
    yield from _differences(one.review.functions)
    yield ""
    yield f"{_INDENT}for a reply:"
    yield from (f"{_INDENT}{part}" for part in textwrap.wrap(line(reply(one)), WIDTH - len(_INDENT)))


def _functions(review: Review, verbose: bool) -> Iterator[str]:
    """The changed functions by standing, those with the same facts together."""
    for standing, label in LABELS.items():
        group = [one for one in review.functions if one.standing is standing]
        if group:
            yield from folded(f"{label}:", _INDENT)
            yield from _together(((_called(one), _facts(one, verbose)) for one in group), verbose)


def _lines(review: Review, verbose: bool) -> Iterator[str]:
    """How many changed lines were executed in each function, and those that nothing executes."""
    functions = [one for one in review.functions if one.lines is not None]
    if functions:
        yield from folded("changed lines:", _INDENT)
    pairs = [(_called(one), f": {counts(one.lines, verbose=verbose)}") for one in functions if one.lines]
    yield from _together(pairs, verbose)
    yield from (f"{_INDENT}{entry}" for entry in hunks(functions, verbose=verbose))


def _called(one: FunctionReview) -> str:
    return f"{one.name}(){f', was {one.was}()' if one.was else ''}"


def _facts(one: FunctionReview, verbose: bool) -> str:
    """What is known of a function besides its standing."""
    looked = f", {seen(one, verbose=verbose)}" if one.standing is Standing.UNSEEN else ""
    return looked + (f": {one.reason}" if one.reason else "")


def _scope(scope: Sequence[ScopeReview], verbose: bool) -> Iterator[str]:
    """The changes outside of functions, by how they are judged."""
    groups = {
        "changed outside of functions, and nothing here looks at it": [
            one for one in scope if not one.observed
        ],
        "changed outside of functions, judged by the functions using it": [one for one in scope if one.users],
        "changed outside of functions, proved to change nothing": [one for one in scope if one.proved],
    }
    for label, group in groups.items():
        if group:
            yield from folded(f"{label}:", _INDENT)
            yield from _together(((one.name, _where(one, verbose)) for one in group), verbose)


def _where(one: ScopeReview, verbose: bool) -> str:
    """The file of an item, and what is known of it."""
    users = [f"{name}()" for name in one.users]
    used = f": used by {', '.join(users) if verbose else names(users, 3)}" if users else ""
    why = one.proved or one.reason
    return f" in {one.file.removeprefix('arch/x86/kvm/')}{used}{f': {why}' if why else ''}"


def _together(pairs: Iterable[tuple[str, str]], verbose: bool) -> Iterator[str]:
    """Names with their facts, those with the same facts on one line."""
    groups: dict[str, list[str]] = {}
    for name, facts in pairs:
        groups.setdefault(facts, []).append(name)
    for facts, alike in groups.items():
        shown = (
            alike if verbose or len(alike) <= _NAMED + 1 else [*alike[:_NAMED], f"{len(alike) - _NAMED} more"]
        )
        yield from folded(f"{', '.join(shown)}{facts}", _INDENT * 2)


def _constants(moved: Sequence[ConstantReview]) -> Iterator[str]:
    if moved:
        yield from folded("changed constants and layout:", _INDENT)
    for one in moved:
        what = f", {one.aspect}" if one.aspect else ""
        yield from folded(f"{one.name}{what} {' -> '.join(one.texts)} ({one.where})", _INDENT * 2)


def _differences(functions: Sequence[FunctionReview]) -> Iterator[str]:
    """Each difference once, with the functions that may cause it."""
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

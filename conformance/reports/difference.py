# SPDX-License-Identifier: GPL-2.0-only
"""A difference as plain text, the same in the terminal, JUnit, KTAP and mails."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from conformance.differential.verdict import Counterexample, Result
from conformance.reports.grouping import places
from conformance.reports.rows import ALL, differing
from conformance.reports.text import escaped, line, word

__all__ = ["BEFORE_AFTER", "described", "difference", "headline"]

Sides = tuple[str, str]
"""The names of the two sides of a counterexample, in its order."""

BEFORE_AFTER = ("before", "after")
"""The sides of a review: the code before a change and after it."""

_INDENT = " " * 6
_PLACE_COLUMN = 64
"""The column of the case, if the line has room."""
_NOTHING = "(nothing)"
_COMMON = ("kernel", "model", "module", "invariant", "claim")
"""Sides that take an article; others have names, such as 6.1."""
_LABEL = 12
"""Names of sides longer than this, such as kernels with patches, do not widen the first column."""
_LONG = 30
"""A column name longer than this has a line of its own."""
_PLACES = 12
"""The number of such names that are listed."""


def difference(
    result: Result, title: str, seed: int | None, *, others: Sequence[Result] = (), width: int = 100
) -> list[str]:
    """The lines that describe a FAIL: the place, the input, both observations, the command to reproduce it.

    ``title`` names the kernel and its patches. ``others`` are further results that show the same difference;
    only their modes and engines are listed. Lines are folded at ``width`` columns, except the command, which
    can be copied whole.
    """
    head = _header(result, title, seed, width)
    found = result.counterexample
    if found is None:
        return [*head, f"{_INDENT}no counterexample was recorded"]
    return [*head, *described(found, found_by=_found_by(result, others), width=width)]


def described(
    found: Counterexample, sides: Sides | None = None, *, found_by: str = "", width: int = 100
) -> list[str]:
    """The lines of a counterexample: the input, both observations, and the command to reproduce it.

    ``sides`` replace the names of the sides in the counterexample.
    """
    named = sides or found.sides
    labels = [*found.inputs, *(side for side in named if len(side) <= _LABEL)]
    size = max([6, *(len(line(name)) for name in labels)])
    body: list[str] = []
    for label, value, remark in _entries(found, named, found_by):
        start = f"{_INDENT}{label.ljust(size)}  {value}"
        if not remark:
            body.append(start)
            continue
        hang = f"{start}   " if value else start
        room = max(width - len(hang), 24)
        folded = textwrap.wrap(remark, room, break_on_hyphens=False, break_long_words=False)
        body += [(hang if number == 0 else " " * len(hang)) + part for number, part in enumerate(folded)]
    body += [f"{_INDENT}{escaped(detail)}" for detail in found.details]
    # The command is last and unchanged: a path may contain several spaces.
    return [*body, f"{_INDENT}{'again'.ljust(size)}  {escaped(found.again)}"]


def headline(result: Result) -> str:
    """The difference on one line: the input, and the first column that differs."""
    found = result.counterexample
    if found is None:
        return line(result.reason) or "a difference was found"
    sides = [f"the {line(side)}" if side in _COMMON else line(side) for side in found.sides]
    inputs = ", ".join(f"{line(name)}={value:#x}" for name, value in found.inputs.items())
    if found.legal is False:
        inputs += f" ({line(found.precondition)})"
    if found.steps:
        inputs = f"{len(found.steps)} steps, then {line(found.steps[-1])}"
    inputs = inputs or line(result.reason)
    if found.crash is not None:
        return f"{inputs}: {sides[0]} did not answer: {line(found.crash)}"
    name = next(iter(differing(found)), None)
    if name is None:
        return f"{inputs}: {sides[0]} and {sides[1]} differ"
    kernel, model = (line(side.get(name, _NOTHING)) for side in (found.kernel, found.model))
    rule = f"{line(found.rule)}: " if found.rule else ""
    if found.sides == BEFORE_AFTER:
        return f"{rule}{inputs}: {line(name)} is {kernel} before, {model} after"
    return f"{rule}{inputs}: {line(name)} is {kernel} in {sides[0]}, {model} in {sides[1]}"


def _header(result: Result, title: str, seed: int | None, width: int) -> list[str]:
    mode = "all modes" if result.mode == ALL else line(result.mode)
    what = f"FAIL  {line(result.property)}  {mode}  {line(title)}"
    where = line(result.reason) or f"after {result.cases} cases"
    where += "" if seed is None else f", seed {seed}"
    room = min(_PLACE_COLUMN, width - len(where)) - len(what)
    if len(what) + 2 + len(where) > width:
        return [what, f"{_INDENT}{where}"]
    return [f"{what}{' ' * max(room, 2)}{where}"]


def _entries(found: Counterexample, sides: Sides, found_by: str) -> Iterator[tuple[str, str, str]]:
    """Label, value and remark of each line between the header and the command."""
    for name, value in found.inputs.items():
        yield line(name), line(found.written.get(name, word(value))), line(found.decoded.get(name, ""))
    for number, step in enumerate(found.steps, start=1):
        yield "steps" if number == 1 else "", "", line(step)
    if found.precondition:
        yield "note", "", line(found.precondition)
    unlike = differing(found)
    if found.crash is not None:
        yield sides[0], "", f"did not answer: {line(found.crash)}"
        yield from _side(sides[1], found.model, found, list(found.model))
    elif any(len(name) > _LONG for name in unlike):
        yield from _by_place(found, sides, unlike)
    else:
        yield from _side(sides[0], found.kernel, found, unlike)
        yield from _side(sides[1], found.model, found, unlike)
    agreed = [name for name in found.kernel if name in found.model and name not in unlike]
    if agreed and found.crash is None:
        yield "both", "", ", ".join(f"{line(name)} {line(found.kernel[name])}" for name in agreed)
    if found.rule:
        yield "rule", "", line(f"{found.rule} ({found.source})" if found.source else found.rule)
    elif found.differs:
        yield "facts", "", line(f"differs in {found.differs}")
    if found_by:
        yield "found", "", found_by


def _found_by(result: Result, others: Sequence[Result]) -> str:
    """The engines that found a difference, with the modes if there are several."""
    by = places([result, *others]) if others else result.engine.removeprefix(ALL)
    if result.oracle == "review":
        return ""  # A review has no engines; the field holds the standing of the function.
    # The engine of a race is the side that it was explored on.
    return f"{'on' if result.engine == result.oracle else 'by'} {line(by)}" if by else ""


def _by_place(found: Counterexample, sides: Sides, names: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Both sides below each name; for long names, such as paths to an SPTE."""
    for name in names[:_PLACES]:
        yield "at", "", line(name)
        yield sides[0], "", line(found.kernel.get(name, _NOTHING))
        yield sides[1], "", line(found.model.get(name, _NOTHING))
    if len(names) > _PLACES:
        yield "", "", f"and {len(names) - _PLACES} more places"


def _side(
    label: str, seen: dict[str, str], found: Counterexample, names: Sequence[str]
) -> Iterator[tuple[str, str, str]]:
    """The observation of one side, a column on each line; without its name if it is the only column."""
    if not names:
        return
    if len({*found.kernel, *found.model}) == 1:
        yield from ((label, "", line(seen.get(name, _NOTHING))) for name in names)
        return
    size = max((len(line(name)) for name in names), default=0)
    for number, name in enumerate(names):
        yield label if number == 0 else "", line(name).ljust(size), line(seen.get(name, _NOTHING))

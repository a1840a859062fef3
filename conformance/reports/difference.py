# SPDX-License-Identifier: GPL-2.0-only
"""A difference in plain text, as it is pasted into a mail: one form for terminal, JUnit and KTAP."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from conformance.differential.verdict import Counterexample, Result
from conformance.reports.grouping import places
from conformance.reports.rows import ALL, differing
from conformance.reports.text import escaped, line, word

__all__ = ["BEFORE_AFTER", "described", "difference", "headline"]

Sides = tuple[str, str]
"""What the two sides of a counterexample are called, the one that is named first there first."""

BEFORE_AFTER = ("before", "after")
"""The sides of a review: the same code, before a change and after it."""

_INDENT = " " * 6
_PLACE_COLUMN = 64
"""Where the case is named if the line has room for it."""
_NOTHING = "(nothing)"
_COMMON = ("kernel", "model", "module", "invariant", "claim")
"""Sides that are called by what they are; others have names, such as 6.1."""
_LABEL = 12
"""Longer names of sides, such as those of kernels with patches, do not widen the first column."""
_LONG = 30
"""A name longer than this gets a line of its own."""
_PLACES = 12
"""How many such are told."""


def difference(
    result: Result, title: str, seed: int | None, *, others: Sequence[Result] = (), width: int = 100
) -> list[str]:
    """The lines that describe a FAIL: where, on which input, what each side did, and how to see it again.

    ``title`` names the kernel and its patches. ``others`` are further results showing the same
    difference; they are named, not repeated. Lines are folded at ``width`` columns, but never the
    command, which must survive copying.
    """
    head = _header(result, title, seed, width)
    found = result.counterexample
    if found is None:
        return [*head, f"{_INDENT}no counterexample was recorded"]
    return [*head, *described(found, found_by=_found_by(result, others), width=width)]


def described(
    found: Counterexample, sides: Sides | None = None, *, found_by: str = "", width: int = 100
) -> list[str]:
    """The lines of a counterexample: the input, what each side did, and the command that shows it again.

    ``sides`` are what the sides are called, if not what the counterexample says.
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
    # The command goes last, whole, and keeps its own spaces: a path may hold two in a row.
    return [*body, f"{_INDENT}{'again'.ljust(size)}  {escaped(found.again)}"]


def headline(result: Result) -> str:
    """The difference in one line, for places that hold only one: what each side did."""
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
    """Which engines found a difference, and in which modes if there are several."""
    by = places([result, *others]) if others else result.engine.removeprefix(ALL)
    if result.oracle == "review":
        return ""  # It has no engines: in their place is how the function stands.
    # A race is explored on a side, which is what answers and explores at once.
    return f"{'on' if result.engine == result.oracle else 'by'} {line(by)}" if by else ""


def _by_place(found: Counterexample, sides: Sides, names: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Both sides under each name, where names are long, as paths to an SPTE are."""
    for name in names[:_PLACES]:
        yield "at", "", line(name)
        yield sides[0], "", line(found.kernel.get(name, _NOTHING))
        yield sides[1], "", line(found.model.get(name, _NOTHING))
    if len(names) > _PLACES:
        yield "", "", f"and {len(names) - _PLACES} more places"


def _side(
    label: str, seen: dict[str, str], found: Counterexample, names: Sequence[str]
) -> Iterator[tuple[str, str, str]]:
    """What one side did, one column a line; where only one column is observed it goes without its name."""
    if not names:
        return
    if len({*found.kernel, *found.model}) == 1:
        yield from ((label, "", line(seen.get(name, _NOTHING))) for name in names)
        return
    size = max((len(line(name)) for name in names), default=0)
    for number, name in enumerate(names):
        yield label if number == 0 else "", line(name).ljust(size), line(seen.get(name, _NOTHING))

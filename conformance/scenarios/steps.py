# SPDX-License-Identifier: GPL-2.0-only
"""Steps of scenarios, checked against the interface's table, and their text form.

A step is one line of text, ``access vcpu=0 gfn=0x200 kind=write``: in reports, in transcripts and in the
files that ``lockstep --save`` writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from conformance.interface.steps import KINDS, PAGES

__all__ = ["Step", "parse", "step"]


@dataclass(frozen=True)
class Step:
    """One step: its kind and all of its arguments, in the table's order."""

    kind: str
    given: tuple[int, ...]

    @cached_property
    def arguments(self) -> dict[str, int]:
        """The arguments by name, as machines take them."""
        return dict(zip(KINDS[self.kind].parameters, self.given, strict=True))

    def __str__(self) -> str:
        pairs = zip(KINDS[self.kind].takes, self.given, strict=True)
        return " ".join(
            [self.kind, *(f"{argument.name}={argument.show(value)}" for argument, value in pairs)]
        )


def step(kind: str, /, **given: int) -> Step:
    """A step; arguments that have a default may be left out.

    Raises ValueError, which names what to pass instead, for an unknown kind or a wrong argument.
    """
    if kind not in KINDS:
        raise ValueError(f"there is no step {kind}; there are {', '.join(KINDS)}")
    takes = KINDS[kind].takes
    unknown = given.keys() - KINDS[kind].parameters
    if unknown:
        allowed = ", ".join(KINDS[kind].parameters) or "nothing"
        raise ValueError(f"{kind} takes {allowed}, and not {', '.join(sorted(unknown))}")
    values = []
    for argument in takes:
        value = given.get(argument.name, argument.default)
        if value is None:
            raise ValueError(f"{kind} needs {argument.name}")
        try:
            argument.check(value)
        except ValueError as problem:
            raise ValueError(f"{kind}: {problem}") from None
        values.append(value)
    if "page" in given and given["page"] + given.get("npages", 1) > PAGES:
        raise ValueError(f"{kind}: the pages end after the last one, {PAGES - 1:#x}")
    return Step(kind, tuple(values))


def parse(line: str) -> Step:
    """The step in a line of text; the inverse of ``str(step)``. Raises ValueError."""
    kind, *pairs = line.split()
    takes = {argument.name: argument for argument in KINDS[kind].takes} if kind in KINDS else {}
    given = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not value:
            raise ValueError(f"{pair} is not name=value")
        if name in given:
            raise ValueError(f"{kind}: {name} is given twice")
        given[name] = takes[name].read(value) if name in takes else 0
    return step(kind, **given)

# SPDX-License-Identifier: GPL-2.0-only
"""The result of ``conformance identify``, as text and as JSON (schema 1)."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import Any

import conformance
from conformance.reports.difference import difference
from conformance.reports.json import counterexample, plain
from conformance.reports.text import line
from conformance.review.identity import Decided, Identity

__all__ = ["SCHEMA", "document", "render", "text"]

SCHEMA = 1
_BY = {
    "behaviour": "by the behaviour of functions",
    "story": "by scenarios",
    "presence": "by the presence of functions",
}


def text(found: Identity, width: int = 100) -> list[str]:
    """The result as lines of text."""
    return [*_verdict(found), *_changes(found, width), *_misfits(found, width), *_known(found, width)]


def _verdict(found: Identity) -> Iterator[str]:
    yield "  ".join(map(line, filter(None, (found.title, found.version, found.compiler))))
    yield from (f"note: {line(note)}" for note in found.notes)
    plus = [each for each in found.differing if each.there]
    without = [each for each in found.differing if not each.there]
    parts = [f"plus {len(plus)}"] * bool(plus) + [f"without {len(without)}"] * bool(without)
    like = ", ".join([found.nearest, *parts])
    if found.misfits:
        yield f"fits no profile. The nearest is {like}; it differs in:"
    elif found.lacking:
        yield f"is {like}, as far as it could be examined"
    else:
        yield f"is {like}" if parts else f"is {like}, in all changes that could be decided"


def _changes(found: Identity, width: int) -> Iterator[str]:
    for title, there in (("plus", True), ("without", False)):
        for each in found.differing:
            if each.there is there:
                yield ""
                yield from _folded(f"{title}  ", str(each.change), width)
                yield from _folded("      ", each.change.effect, width)
                yield from _folded("      shown by ", _shown(each), width)


def _shown(each: Decided) -> str:
    """The evidence for a change: an input and the observation, with and without the change."""
    if each.by == "presence":
        return line(each.reason)
    place = f"{each.question} in {each.mode}"
    found = each.shown
    if found is None:
        return line(f"{place}: {each.reason}")
    inputs = ", ".join(f"{name} {value:#x}" for name, value in found.inputs.items())
    if found.crash is not None:
        return line(f"{place}: {inputs}: kernel code {found.crash}")
    what, seen = next(iter(found.kernel.items()))
    other = "without it" if each.there else "with it"
    return line(f"{place}: {inputs}: {what} {seen}; {other} {found.model.get(what, 'nothing')}")


def _misfits(found: Identity, width: int) -> Iterator[str]:
    for result in found.misfits:
        yield ""
        if result.counterexample is None:
            yield from _folded("FAIL  ", f"{result.property}  {result.mode}: {result.reason}", width)
        else:
            yield from difference(result, found.title, None, width=width)


def _known(found: Identity, width: int) -> Iterator[str]:
    yield ""
    counts = Counter(each.by for each in found.decided)
    ways = ", ".join(f"{counts[by]} {how}" for by, how in _BY.items() if counts[by])
    yield from _folded("", f"{len(found.decided)} changes decided: {ways}.", width)
    if found.proved:
        many = f"{len(found.proved)} functions are proved equivalent to this profile for every input."
        yield from _folded("", many, width)
    for name, why in found.unproved.items():
        yield from _folded("  ", f"not proved: {name}, for {why}", width)
    if found.untold:
        yield from _folded("", f"No scenarios were run: {found.untold}", width)
    if found.lacking:
        yield from _folded("ERROR  ", found.lacking, width)
    if found.undecided:
        yield "Not decided by the properties and scenarios:"
    for each in found.undecided:
        along = f", indistinguishable from {each.along}" if each.along is not None else ""
        proved = "; proved to change no function" if each.proved else ""
        yield from _folded("  ", f"{each.change}{along}{proved}", width)


def _folded(start: str, words: str, width: int) -> list[str]:
    blank = " " * len(start)
    return textwrap.wrap(
        line(words),
        max(width, 40),
        initial_indent=start,
        subsequent_indent=blank,
        break_on_hyphens=False,
        break_long_words=False,
    )


def document(found: Identity) -> dict[str, Any]:
    """The result as plain dicts and lists."""
    return {
        "schema": SCHEMA,
        "version": conformance.__version__,
        "kernel": {
            "title": plain(found.title),
            "version": plain(found.version),
            "compiler": plain(found.compiler),
            **({"notes": [plain(note) for note in found.notes]} if found.notes else {}),
        },
        "fits": None if found.lacking and not found.misfits else not found.misfits,
        "nearest": found.nearest,
        "plus": [each.name for each in found.differing if each.there],
        "without": [each.name for each in found.differing if not each.there],
        "decided": [_decided(each) for each in found.decided],
        "undecided": [
            {
                "name": each.name,
                "commit": each.change.commit,
                "title": each.change.title,
                "along": None if each.along is None else each.along.commit,
                "proved": each.proved,
            }
            for each in found.undecided
        ],
        "misfits": [
            {
                "property": result.property,
                "oracle": result.oracle,
                "mode": result.mode,
                "reason": plain(result.reason),
                "counterexample": (
                    None if result.counterexample is None else counterexample(result.counterexample)
                ),
            }
            for result in found.misfits
        ],
        "untold": plain(found.untold),
        "lacking": plain(found.lacking),
        "proved": found.proved,
        "unproved": {name: plain(why) for name, why in found.unproved.items()},
    }


def render(found: Identity) -> str:
    """The result as JSON text, ASCII only."""
    return json.dumps(document(found), indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _decided(each: Decided) -> dict[str, Any]:
    return {
        "name": each.name,
        "commit": each.change.commit,
        "title": each.change.title,
        "since": each.change.since,
        "there": each.there,
        "by": each.by,
        "question": plain(each.question),
        "mode": each.mode,
        "reason": plain(each.reason),
        "shown": None if each.shown is None else counterexample(each.shown),
    }

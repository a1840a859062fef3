# SPDX-License-Identifier: GPL-2.0-only
"""Variations of a story: some of its steps go, come twice or are drawn again, others are drawn or come from
another story.

What a variation consists of is fixed before it is played, what is drawn only then: it has to fit the state.
Steps that cannot come any more are left out, so that every variation is a possible story.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from conformance.scenarios.drawing import WORD, Scene
from conformance.scenarios.steps import Step
from conformance.scenarios.story import Script

__all__ = ["Drawn", "Part", "steps_of", "varied"]

MOST = 200
"""The most parts of a variation, so that stories do not grow and grow."""
RUN = 8
"""The most steps in a row that one change concerns."""
APPENDED = 40
"""The most steps that are drawn at the end."""


@dataclass(frozen=True)
class Drawn:
    """A step that is drawn from a number when its turn comes; of a ``kind``, if that is given."""

    word: int
    kind: str = ""


Part = Step | Drawn


def varied(rng: random.Random, base: Script, other: Script) -> list[Part]:
    """A variation of a story, for which ``other`` may give some steps."""
    parts: list[Part] = [*base.steps]
    for _ in range(1 << rng.randrange(4)):
        rng.choice(_CHANGES)(rng, parts, other.steps)
    return parts[:MOST]


def steps_of(scene: Scene, parts: Sequence[Part]) -> Iterator[Step]:
    """The steps of a variation, each drawn or left out after the one before it has been taken."""
    scene.adopt([part for part in parts if isinstance(part, Step)])
    for part in parts:
        if isinstance(part, Step):
            made = part if part.kind != "destroy" and scene.possible(part) else None
        else:
            made = scene.redraw(part.kind, part.word) if part.kind else scene.draw(part.word)
        if made is not None:
            yield made
    yield from scene.ending()


def _drawn(rng: random.Random, most: int) -> list[Part]:
    return [Drawn(rng.getrandbits(8 * WORD)) for _ in range(rng.randint(1, most))]


def _place(rng: random.Random, parts: Sequence[Part]) -> tuple[int, int]:
    """The beginning and the end of a few parts in a row."""
    start = rng.randrange(len(parts) + 1)
    return start, min(start + rng.randint(1, RUN), len(parts))


def _append(rng: random.Random, parts: list[Part], other: Sequence[Step]) -> None:
    parts += _drawn(rng, APPENDED)


def _insert(rng: random.Random, parts: list[Part], other: Sequence[Step]) -> None:
    at = rng.randrange(len(parts) + 1)
    parts[at:at] = _drawn(rng, RUN)


def _drop(rng: random.Random, parts: list[Part], other: Sequence[Step]) -> None:
    start, end = _place(rng, parts)
    del parts[start:end]


def _repeat(rng: random.Random, parts: list[Part], other: Sequence[Step]) -> None:
    start, end = _place(rng, parts)
    at = rng.randrange(len(parts) + 1)
    parts[at:at] = parts[start:end]


def _redraw(rng: random.Random, parts: list[Part], other: Sequence[Step]) -> None:
    """A step gets other arguments."""
    steps = [at for at, part in enumerate(parts) if isinstance(part, Step)]
    if steps:
        at = rng.choice(steps)
        parts[at] = Drawn(rng.getrandbits(8 * WORD), getattr(parts[at], "kind", ""))


def _splice(rng: random.Random, parts: list[Part], other: Sequence[Step]) -> None:
    """Some steps of the other story are taken, or all from one place on."""
    start, end = _place(rng, other)
    at = rng.randrange(len(parts) + 1)
    if rng.randrange(2):
        parts[at:at] = other[start:end]
    else:
        parts[at:] = other[start:]


_Change = Callable[[random.Random, "list[Part]", Sequence[Step]], None]
_CHANGES: tuple[_Change, ...] = (_append, _insert, _insert, _drop, _repeat, _redraw, _redraw, _splice)

# SPDX-License-Identifier: GPL-2.0-only
"""Random stories: kernel and model take drawn steps together until the time is over.

A story is drawn as numbers, and ``drawing`` turns each into a step that fits the state by then. Hypothesis is
not used: to draw nothing but these numbers, it would take a fifth of the time. A difference is shortened by
``shrinking``, which knows steps.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from conformance.oracles.lacking import Lacking
from conformance.scenarios.comparing import Death, Incomparable, Match, Played, Sides
from conformance.scenarios.drawing import WORD, Scene, options_of
from conformance.scenarios.modes import PML_MODES
from conformance.scenarios.steps import Step
from conformance.scenarios.story import Script
from conformance.scenarios.walks import Walk

__all__ = ["Walked", "drawn", "taken", "walk", "words_of_story"]

LENGTHS = (40, 160)
"""The least and most words drawn for a story: about as many as it has steps."""


@dataclass
class Walked:
    """The steps of each kind, the number of stories, and the difference or error that ended the walk."""

    kinds: tuple[str, ...]
    """The kinds of steps that could be drawn."""
    steps: Counter[str] = field(default_factory=Counter)
    stories: int = 0
    incomparable: Counter[str] = field(default_factory=Counter)
    """Why stories ended early, with the number of them."""
    seconds: float = 0.0
    found: tuple[Script, Played] | None = None
    lacking: Lacking | None = None

    @property
    def summary(self) -> str:
        """The counts as text, with the kinds of steps that never came, and the stories that ended early."""
        counts = ", ".join(f"{kind} {number:,}" for kind, number in self.steps.most_common())
        never = ", ".join(kind for kind in self.kinds if not self.steps[kind])
        missing = f"; never: {never}" if never else ""
        ended = self.incomparable.items()
        early = "".join(f"; {number:,} stories ended early: {why}" for why, number in ended)
        return f"{self.steps.total():,} steps in {self.stories:,} stories: {counts}{missing}{early}"


def walk(sides: Sides, kind: Walk, seed: int, budget: float) -> Walked:
    """Play random stories of a kind for ``budget`` seconds, or until one ends in a difference or an error.

    One is played at least. The same ``seed`` draws the same stories.
    """
    walked = Walked((*kind.kinds, "destroy"))
    start = time.monotonic()
    rng = random.Random(seed)
    while walked.found is None and walked.lacking is None:
        if walked.stories and time.monotonic() - start >= budget:
            break
        options = options_of(rng.getrandbits(8 * WORD), pml=kind.mode in PML_MODES)
        _play(sides, kind, walked, options, *words_of_story(rng))
    walked.seconds = time.monotonic() - start
    return walked


def words_of_story(rng: random.Random) -> tuple[int, list[int]]:
    """The numbers from which the opening and each step of a story are drawn."""
    opening, *words = (rng.getrandbits(8 * WORD) for _ in range(rng.randint(*LENGTHS)))
    return opening, words


def _play(
    sides: Sides, kind: Walk, walked: Walked, options: dict[str, int], opening: int, words: list[int]
) -> None:
    """Play one story; note in ``walked`` how it ended."""
    scene = kind.scene(options)
    walked.stories += 1
    with Match(sides, options, spare=True) as match:
        try:
            for step in taken(match, scene, drawn(scene, opening, words)):
                walked.steps[step.kind] += 1
        except Incomparable as why:
            walked.incomparable[str(why)] += 1
            return
        except Lacking as lacking:
            walked.lacking = lacking
            return
        if match.played.difference is not None:
            walked.found = Script(tuple(match.played.steps), options), match.played


def taken(match: Match, scene: Scene, steps: Iterable[Step]) -> Iterator[Step]:
    """Take the steps of a story, which are drawn meanwhile; each that was taken, up to a difference.

    The story ends with a WARN, even if both sides foresee it: what KVM does in a state that it has excluded,
    such as counting a mapping of a level that has no counter, is no semantics. It ends before a step in which
    the model says that KVM crashes: stories of their own show these faults.
    """
    begun: Step | None = None
    """While the kernel takes it, the next one is drawn and taken on the model."""
    for step in steps:
        try:
            foreseen = match.foresee(step)
        except ValueError:
            continue  # Impossible now: there may be no root to walk.
        except Death:
            break
        if begun is not None:
            agreed = match.finish()
            yield begun
            if not agreed:
                return
        match.begin(foreseen)
        begun = step
        if foreseen.seen is None or foreseen.seen.events:
            break
        scene.note(step, foreseen.seen)
    if begun is not None:
        match.finish()
        yield begun


def drawn(scene: Scene, opening: int, words: list[int]) -> Iterator[Step]:
    """The steps of a story, each drawn after the one before it has been taken."""
    yield from scene.opening(opening)
    for word in words:
        step = scene.draw(word)
        if step is not None:
            yield step
    yield from scene.ending()

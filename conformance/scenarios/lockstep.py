# SPDX-License-Identifier: GPL-2.0-only
"""Random stories: Hypothesis draws steps, kernel and model take them together, for as long as there is time.

Hypothesis draws a whole story's numbers at once, and ``drawing`` makes each a step that fits what is there by
then: a rule at a time, as its state machines draw, would cost more than both sides. For the same reason
a difference is shortened by ``shrinking``, which knows what a step is.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from conformance.interface.steps import KINDS
from conformance.oracles.lacking import Lacking
from conformance.scenarios.comparing import Match, Played, Sides
from conformance.scenarios.drawing import WORD, Scene, options_of
from conformance.scenarios.steps import Step
from conformance.scenarios.story import Script

__all__ = ["Walked", "walk"]

LENGTHS = (40, 160)
"""How many words are drawn for a story, at least and at most: about as many as it has steps."""
EXAMPLES = 20
"""Stories that Hypothesis draws from one seed."""


@dataclass
class Walked:
    """What was played: steps of each kind, stories, and how the last ended, if not well."""

    steps: Counter[str] = field(default_factory=Counter)
    stories: int = 0
    seconds: float = 0.0
    found: tuple[Script, Played] | None = None
    lacking: Lacking | None = None

    @property
    def told(self) -> str:
        """The counts in words, every kind of step named that never came."""
        counts = ", ".join(f"{kind} {number:,}" for kind, number in self.steps.most_common())
        never = ", ".join(kind for kind in KINDS if not self.steps[kind])
        missing = f"; never: {never}" if never else ""
        return f"{self.steps.total():,} steps in {self.stories:,} stories: {counts}{missing}"


def walk(arena: Sides, seed: int, budget: float) -> Walked:
    """Play random stories for ``budget`` seconds, or until one ends in a difference or cannot go on.

    ``seed`` repeats them.
    """
    walked = Walked()
    start = time.monotonic()
    # In one piece: to draw each word by itself would take as long as all else on this side.
    stories = st.binary(min_size=WORD * LENGTHS[0], max_size=WORD * LENGTHS[1])
    seeds = random.Random(seed)

    def over() -> bool:
        return walked.found is not None or walked.lacking is not None or time.monotonic() - start >= budget

    @given(stories)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    def play(drawn: bytes) -> None:
        if not over():
            setting, opening, *words = _words(drawn)
            _play(arena, walked, setting, opening, words)

    for _ in count():
        if over():
            break
        seeded(seeds.getrandbits(64))(play)()
    walked.seconds = time.monotonic() - start
    return walked


def _words(drawn: bytes) -> list[int]:
    """The numbers from which options, the opening, and each step are drawn."""
    return [int.from_bytes(drawn[at : at + WORD], "little") for at in range(0, len(drawn), WORD)]


def _play(arena: Sides, walked: Walked, setting: int, opening: int, words: list[int]) -> None:
    """One story; what it ends in goes to ``walked``."""
    options = options_of(setting, pml=arena.mode.name == "ept-ad")
    scene = Scene(options)
    walked.stories += 1
    with Match(arena, options) as match:
        played = match.played
        for step in _drawn(scene, opening, words):
            try:
                agreed = match.take(step)
            except Lacking as lacking:
                walked.lacking = lacking
                return
            except ValueError:
                continue  # Not possible now: there is no root to walk, say.
            walked.steps[step.kind] += 1
            if not agreed:
                walked.found = Script(tuple(played.steps), options), played
                return
            scene.note(step, played.kernel[-1])


def _drawn(scene: Scene, opening: int, words: list[int]) -> Iterator[Step]:
    """The steps of a story, each drawn only when the one before it has been taken."""
    yield from scene.opening(opening)
    for word in words:
        step = scene.draw(word)
        if step is not None:
            yield step
    yield from scene.ending()

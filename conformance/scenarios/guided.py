# SPDX-License-Identifier: GPL-2.0-only
"""Lockstep that is guided by coverage: stories that reached something new are varied.

Kernel and model take each story together, as in ``lockstep``; what differs is where stories come from. Some
are drawn, the others are variations of stories in a corpus, which grows by those that reach an edge of the
MMU or a state that no other has.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from conformance.interface.options import check_options
from conformance.model.profiles import Profile
from conformance.oracles.edges import Edges
from conformance.oracles.kvm.deaths import KernelDied
from conformance.oracles.kvm.oracle import KvmOracle
from conformance.oracles.lacking import Lacking
from conformance.scenarios.comparing import Incomparable, Match
from conformance.scenarios.corpus import Corpus, Entry
from conformance.scenarios.drawing import WORD, Scene, options_of
from conformance.scenarios.lockstep import Walked, drawn, taken, words_of_story
from conformance.scenarios.modes import PML_MODES
from conformance.scenarios.sides import KvmSides
from conformance.scenarios.states import states_of
from conformance.scenarios.steps import Step
from conformance.scenarios.stories import STORIES
from conformance.scenarios.story import Script
from conformance.scenarios.varying import steps_of, varied
from conformance.scenarios.walks import Walk

__all__ = ["Guided", "walk_guided", "written"]

FRESH = 3
"""One of so many stories is drawn from nothing."""
OTHER_OPTIONS = 8
"""One of so many variations is played by a VM with other options."""
NEWEST = 16
"""Half of the variations are of one of the newest stories, so many."""


@dataclass
class Guided:
    """What was walked, the stories that reached something new, and all edges that were reached.

    ``total`` is the number of all edges of the MMU, ``layout`` identifies their numbering; 0 and "" if no
    story ended.
    """

    walked: Walked
    corpus: Corpus
    edges: set[int] = field(default_factory=set)
    total: int = 0
    layout: str = ""


def written(kind: Walk, profile: Profile) -> list[Script]:
    """The scenarios that can be played in a walk: those with nested guests, or the others."""
    nested = kind.name != kind.mode
    return [
        Script(story.script.steps, check_options(story.options))
        for story in STORIES.values()
        if kind.mode in story.modes
        and not story.absent(profile)
        and nested == any(step.kind == "enter_l2" for step in story.script.steps)
    ]


def walk_guided(
    sides: KvmSides, kind: Walk, seed: int, budget: float, known: Iterable[Entry], scripts: Sequence[Script]
) -> Guided:
    """Play stories of a kind for ``budget`` seconds, or until one ends in a difference or an error.

    ``known`` are stories that earlier walks have found, ``scripts`` others, which are all played first. The
    library must count what it executes. One story is played at least. The same arguments but ``budget`` play
    the same stories.
    """
    return _Walk(sides, kind, random.Random(f"{kind.name} {seed}"), Corpus.of(known)).run(budget, scripts)


class _Walk:
    """A walk under way."""

    def __init__(self, sides: KvmSides, kind: Walk, rng: random.Random, corpus: Corpus) -> None:
        self._sides = replace(sides, ended=self._ended)
        self._kind = kind
        self._rng = rng
        self._guided = Guided(Walked((*kind.kinds, "destroy")), corpus)
        self._edges: Edges | None = None

    def run(self, budget: float, scripts: Sequence[Script]) -> Guided:
        walked, start = self._guided.walked, time.monotonic()
        first = iter(scripts)
        while walked.found is None and walked.lacking is None:
            script = next(first, None)
            if script is not None:
                self._play(script.options, partial(steps_of, parts=script.steps))
            elif walked.stories and time.monotonic() - start >= budget:
                break
            elif self._guided.corpus.entries and self._rng.randrange(FRESH):
                self._vary()
            else:
                self._draw()
        walked.seconds = time.monotonic() - start
        return self._guided

    def _draw(self) -> None:
        """Play a story that is drawn from nothing."""
        opening, words = words_of_story(self._rng)
        self._play(self._options(), partial(drawn, opening=opening, words=words))

    def _vary(self) -> None:
        """Play a variation of a story."""
        rng, entries = self._rng, self._guided.corpus.entries
        base = rng.choice(entries[-NEWEST:] if rng.randrange(2) else entries).script
        parts = varied(rng, base, rng.choice(entries).script)
        options = base.options if rng.randrange(OTHER_OPTIONS) else self._options()
        self._play(options, partial(steps_of, parts=parts))

    def _options(self) -> dict[str, int]:
        return check_options(options_of(self._rng.getrandbits(8 * WORD), pml=self._kind.mode in PML_MODES))

    def _play(self, options: dict[str, int], steps: Callable[[Scene], Iterator[Step]]) -> None:
        """Play one story, and keep it if it reaches something new."""
        walked, scene = self._guided.walked, self._kind.scene(options)
        walked.stories += 1
        self._edges = None
        match = Match(self._sides, options, spare=True)
        try:
            with match:
                for step in taken(match, scene, steps(scene)):
                    walked.steps[step.kind] += 1
        except Incomparable as why:
            walked.incomparable[str(why)] += 1
            return
        except Lacking as lacking:
            walked.lacking = lacking
            return
        played = match.played
        script = Script(tuple(played.steps), options)
        if played.difference is not None:
            walked.found = script, played
        elif self._edges is not None:
            self._note(script, self._edges, states_of(played.steps, played.kernel))

    def _note(self, script: Script, edges: Edges, states: frozenset[int]) -> None:
        guided = self._guided
        guided.edges |= edges.executed
        guided.total, guided.layout = edges.total, edges.layout
        guided.corpus.add(Entry.of(script, edges.executed, states))

    def _ended(self, oracle: KvmOracle) -> None:
        """Read what a VM has executed, unless it has died."""
        with suppress(KernelDied, ValueError):
            self._edges = oracle.edges()

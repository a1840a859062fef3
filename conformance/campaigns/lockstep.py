# SPDX-License-Identifier: GPL-2.0-only
"""Campaigns of lockstep: a unit walks one kernel in one mode from one seed, for some seconds."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from conformance.campaigns.patches import paths_of
from conformance.campaigns.unit import Order, Row, Unit
from conformance.differential.verdict import KernelReport, Verdict
from conformance.errors import ConformanceError
from conformance.kernels.compilers import using
from conformance.kernels.tools import quiet
from conformance.scenarios.corpus import Corpus, Entry
from conformance.scenarios.guided import Guided, walk_guided, written
from conformance.scenarios.judging_scenario import again
from conformance.scenarios.packed import pack, pack_numbers, unpack
from conformance.scenarios.ready import Ready, facts_of, prepare
from conformance.scenarios.run_lockstep import NAME, JudgedWalk, judge_walk, judged, path_of
from conformance.scenarios.walks import WALKS, Walk, walks

__all__ = ["FOUND", "Lockstep"]

FOUND = "found"
"""The folder of stories that show a difference, in the directory of the campaign."""


@dataclass(frozen=True)
class Lockstep:
    """Lockstep for ``budget`` seconds of computing time, in units of ``seconds`` each.

    Every mode of every kernel is walked from a first seed, then from a second one, and so on. A larger budget
    has the units of a smaller one, and more. With ``guided``, units vary stories that earlier ones have
    found; see lockstep_guide.py. ``folder`` is the directory of the campaign.
    """

    order: Order
    seconds: float
    budget: float
    guided: bool = True
    folder: Path = Path()
    name = NAME
    compiles = True

    @property
    def definition(self) -> dict[str, Any]:
        """What the campaign is about, as plain data."""
        return {**self.order.definition, "seconds": self.seconds, "guided": self.guided}

    def units(self) -> Sequence[Unit]:
        """The units: each mode of each kernel, by rounds. Raises ConformanceError for an unknown mode."""
        pairs = [(kernel, kind.name) for kernel in self.order.kernels for kind in walks(self.order.modes)]
        rounds = max(round(self.budget / (self.seconds * len(pairs))), 1)
        return [
            Unit.of(
                self.name,
                f"{kernel} {mode} seed {self.order.seed + number}",
                kernel=kernel,
                patches=[patch.digest for patch in self.order.patches],
                compiler=self.order.compiler,
                mode=mode,
                seed=self.order.seed + number,
                seconds=self.seconds,
                guided=self.guided,
                first=self.order.seed,
            )
            for number in range(rounds)
            for kernel, mode in pairs
        ]

    def preparations(self) -> Sequence[str]:
        """The kernels."""
        return self.order.kernels

    def prepare(self, what: str) -> None:
        """Build a kernel's KVM. Raises ConformanceError."""
        _ready(what, self.order, self.guided)

    def run(self, unit: Unit) -> list[Row]:
        """Walk: one row with the number of steps that were compared, and the difference if there is one."""
        given = unit.defined
        ready = _ready(given["kernel"], self.order, self.guided)
        kind = WALKS[given["mode"]]
        title, version = ready.kernel.title, ready.kernel.version
        if absent := ready.absent(kind.mode) or kind.absent:
            skipped = Row(self.name, Verdict.SKIP.value, title, version, ready.oracle, self.name, kind.name)
            return [replace(skipped, reason=absent)]
        if self.guided:
            return [self._guided(ready, kind, unit)]
        walked = judge_walk(ready, kind, given["seed"], given["seconds"])
        return [Row.of(title, version, walked.result)]

    def _guided(self, ready: Ready, kind: Walk, unit: Unit) -> Row:
        """The row of a guided walk; its details are described in schema.py."""
        known, scripts = unpack(unit.given)
        seed, seconds = unit.defined["seed"], unit.defined["seconds"]
        sides = ready.sides(kind.mode)
        if not unit.defined["seed"] - unit.defined["first"]:
            scripts = [*written(kind, ready.profile), *scripts]
        guided = walk_guided(sides, kind, seed, seconds, known, scripts)
        story = path_of(self.folder / FOUND / f"{unit.id}.scenario")
        command = again(ready.facts, ["scenario", "run", story, "--mode", kind.mode])
        walk = judged(ready, sides, kind, guided.walked, command)
        row = Row.of(ready.kernel.title, ready.kernel.version, walk.result)
        reached = f"{row.reason}; {len(guided.edges):,} of {guided.total:,} edges of the MMU"
        return replace(row, reason=reached, details=json.dumps(_details(guided, known, walk)))


def _details(guided: Guided, known: Sequence[Entry], walk: JudgedWalk) -> dict[str, Any]:
    """What a guided walk adds to its row."""
    before = Corpus.of(known)
    stories = [entry for entry in Corpus.of(guided.corpus.entries).entries if entry not in before.entries]
    found: dict[str, Any] = {
        "edges": len(guided.corpus.edges - before.edges),
        "total": len(guided.corpus.edges),
        "of": guided.total,
        "layout": guided.layout,
        "given": len(known),
        "reached": b64encode(pack_numbers(guided.edges)).decode(),
        "stories": b64encode(pack(stories)).decode(),
    }
    if walk.script is not None:
        found["found"] = b64encode(pack((), [walk.script])).decode()
    return found


@lru_cache(maxsize=8)
def _ready(selector: str, order: Order, coverage: bool) -> Ready:
    """The kernel made ready in this process, for all modes. Raises ConformanceError if it cannot be."""
    with using(order.compiler):
        try:
            ready = prepare(selector, paths_of(order.patches), quiet, coverage=coverage)
        except ConformanceError as problem:
            raise ConformanceError(f"{problem} Pass --uniform, which counts nothing.") from problem
    if isinstance(ready, KernelReport):
        raise ConformanceError(ready.error or ready.unreached or f"{selector} cannot be judged.")
    # Commands name the patches as the user did.
    facts = facts_of(ready.kernel, selector, [Path(patch.path) for patch in order.patches])
    return replace(ready, facts=facts)

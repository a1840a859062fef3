# SPDX-License-Identifier: GPL-2.0-only
"""Campaigns of lockstep: a unit walks one kernel in one mode from one seed, for some seconds."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from hypothesis.errors import HypothesisDeprecationWarning

from conformance.campaigns.patches import paths_of
from conformance.campaigns.unit import Order, Row, Unit
from conformance.differential.verdict import KernelReport, Verdict
from conformance.errors import ConformanceError
from conformance.kernels.compilers import using
from conformance.kernels.tools import quiet
from conformance.scenarios.ready import Ready, facts_of, prepare
from conformance.scenarios.run_lockstep import NAME, judge_walk
from conformance.scenarios.walks import WALKS, walks

__all__ = ["Lockstep"]


@dataclass(frozen=True)
class Lockstep:
    """Lockstep for ``budget`` seconds of computing time, in units of ``seconds`` each.

    Every mode of every kernel is walked from a first seed, then from a second one, and so on. A larger budget
    has the units of a smaller one, and more.
    """

    order: Order
    seconds: float
    budget: float
    name = NAME
    compiles = True

    @property
    def definition(self) -> dict[str, Any]:
        """What the campaign is about, as plain data."""
        return {**self.order.definition, "seconds": self.seconds}

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
            )
            for number in range(rounds)
            for kernel, mode in pairs
        ]

    def preparations(self) -> Sequence[str]:
        """The kernels."""
        return self.order.kernels

    def prepare(self, what: str) -> None:
        """Build a kernel's KVM. Raises ConformanceError."""
        _ready(what, self.order)

    def run(self, unit: Unit) -> list[Row]:
        """Walk: one row with the number of steps that were compared, and the difference if there is one."""
        given = unit.defined
        ready = _ready(given["kernel"], self.order)
        kind = WALKS[given["mode"]]
        title, version = ready.kernel.title, ready.kernel.version
        if absent := ready.absent(kind.mode) or kind.absent:
            skipped = Row(self.name, Verdict.SKIP.value, title, version, ready.oracle, self.name, kind.name)
            return [replace(skipped, reason=absent)]
        with warnings.catch_warnings():
            # Threads of Dask use the module random, which Hypothesis takes for a use by what it draws.
            warnings.filterwarnings("ignore", "Do not use the `random` module", HypothesisDeprecationWarning)
            judged = judge_walk(ready, kind, given["seed"], given["seconds"])
        return [Row.of(title, version, judged.result)]


@lru_cache(maxsize=8)
def _ready(selector: str, order: Order) -> Ready:
    """The kernel made ready in this process, for all modes. Raises ConformanceError if it cannot be."""
    with using(order.compiler):
        ready = prepare(selector, paths_of(order.patches), quiet)
    if isinstance(ready, KernelReport):
        raise ConformanceError(ready.error or ready.unreached or f"{selector} cannot be judged.")
    # Commands name the patches as the user did.
    facts = facts_of(ready.kernel, selector, [Path(patch.path) for patch in order.patches])
    return replace(ready, facts=facts)

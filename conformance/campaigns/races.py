# SPDX-License-Identifier: GPL-2.0-only
"""Campaigns of races: a unit explores one race, or drawn programs in one mode, for some seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from conformance.campaigns.patches import paths_of
from conformance.campaigns.unit import Order, Row, Unit
from conformance.differential.verdict import Result, Verdict
from conformance.errors import ConformanceError
from conformance.kernels.compilers import using
from conformance.kernels.tools import quiet
from conformance.races.catalogue import race_called
from conformance.races.judging import Finding
from conformance.races.run_drawn import SCHEDULES, RacingKernel, explore_drawn, explore_for
from conformance.races.settings import SETTINGS
from conformance.races.stories import RACES

__all__ = ["Races"]

DRAWN, SIDES_OF_DRAWN = "drawn programs", "model and kvm"


@dataclass(frozen=True)
class Races:
    """Races for ``budget`` seconds of computing time, in units of ``seconds`` each.

    A round has a unit for each race, and in turn with these one for the drawn programs of each mode, over and
    over. In the first round races are searched, then random schedules are drawn. A larger budget has the
    units of a smaller one, and more.
    """

    order: Order
    seconds: float
    budget: float
    name = "races"
    compiles = True

    @property
    def definition(self) -> dict[str, Any]:
        """What the campaign is about, as plain data."""
        return {**self.order.definition, "seconds": self.seconds}

    def units(self) -> Sequence[Unit]:
        """The units of each kernel, by rounds. Raises ConformanceError for an unknown mode."""
        modes = self._modes()
        races = [race.name for race in RACES.values() if {*race.modes} & {*modes}]
        drawn = [mode for mode in modes if any(mode in setting.modes for setting in SETTINGS.values())]
        each = max(len(races), len(drawn))
        rounds = max(round(self.budget / (self.seconds * len(self.order.kernels) * (len(races) + each))), 1)
        return [
            unit
            for number in range(rounds)
            for at in range(each)
            for kernel in self.order.kernels
            for unit in (
                self._unit(kernel, number * each + at, mode=drawn[(number * each + at) % len(drawn)]),
                *(self._unit(kernel, number, race=race) for race in races[at : at + 1]),
            )
        ]

    def _unit(self, kernel: str, number: int, **what: str) -> Unit:
        """One of the units of a kernel, the ``number``-th of its sort."""
        (name,) = what.values()
        return Unit.of(
            self.name,
            f"{kernel} {name} seed {self.order.seed + number}",
            kernel=kernel,
            patches=[patch.digest for patch in self.order.patches],
            modes=[*self.order.modes],
            compiler=self.order.compiler,
            seed=self.order.seed + number,
            searched=not number,
            seconds=self.seconds,
            **what,
        )

    def _modes(self) -> list[str]:
        """The modes of the order, or all. Raises ConformanceError for an unknown one."""
        known = dict.fromkeys(mode for race in RACES.values() for mode in race.modes)
        for mode in self.order.modes:
            if mode not in known:
                raise ConformanceError(f"no race has mode {mode}; there are {', '.join(known)}.")
        return [mode for mode in known if not self.order.modes or mode in self.order.modes]

    def preparations(self) -> Sequence[str]:
        """The kernels."""
        return self.order.kernels

    def prepare(self, what: str) -> None:
        """Build a kernel's racing KVM. Raises ConformanceError."""
        _ready(what, self.order)

    def run(self, unit: Unit) -> list[Row]:
        """Explore: one row for each mode and side of a race, or for all drawn programs; and each finding."""
        given = unit.defined
        on = _ready(given["kernel"], self.order)
        if "race" in given:
            return self._race(on, given)
        return _drawn(on, given)

    def _race(self, on: RacingKernel, given: dict[str, Any]) -> list[Row]:
        race = race_called(given["race"])
        title, version = on.kernel.title, on.kernel.version
        if absent := race.absent(on.profile):
            return [Row(race.name, Verdict.SKIP.value, title, version, "-", self.name, "-", absent)]
        modes = tuple(mode for mode in race.modes if mode in self._modes())
        seed = None if given["searched"] else given["seed"]
        judged = explore_for(on, race, modes, seed, given["seconds"])
        return [_row(on, result, finding) for result, finding in judged]


def _drawn(on: RacingKernel, given: dict[str, Any]) -> list[Row]:
    """Explore drawn programs."""
    drawn = explore_drawn(on, given["mode"], given["seed"], given["seconds"])
    every = Row(
        DRAWN,
        Verdict.PASS.value,
        on.kernel.title,
        on.kernel.version,
        SIDES_OF_DRAWN,
        Races.name,
        given["mode"],
        f"{drawn.programs} programs violate {'nothing else' if drawn.found else 'no invariant'}, under "
        f"{SCHEDULES} inequivalent schedules each and {SCHEDULES} with few preemptions, or all",
        steps=sum(drawn.schedules.values()),
        seconds=drawn.seconds,
        details=json.dumps(drawn.details),
    )
    if not drawn.programs:
        reason = "no program was explored in this time; pass a longer --unit"
        every = replace(every, verdict=Verdict.ERROR.value, reason=reason)
    return [
        every,
        *(_row(on, result, finding) for result, finding in drawn.found),
        *(_row(on, result, None) for result in drawn.trouble),
    ]


def _row(on: RacingKernel, result: Result, finding: Finding | None) -> Row:
    """A result as a row; the details of a finding have its race file, for `explore replay`."""
    row = Row.of(on.kernel.title, on.kernel.version, result)
    return row if finding is None else replace(row, details=json.dumps({"race_file": finding.text()}))


@lru_cache(maxsize=8)
def _ready(selector: str, order: Order) -> RacingKernel:
    """The kernel made ready in this process. Raises ConformanceError if it cannot be."""
    with using(order.compiler):
        # Commands name the patches as the user did.
        named = tuple(patch.path for patch in order.patches)
        return RacingKernel.made(selector, paths_of(order.patches), named, quiet)

# SPDX-License-Identifier: GPL-2.0-only
"""What a race shows of a mutant: some schedule violates an invariant that holds without the mutant."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from conformance.coverage.compared.detecting import NOTHING, PATIENCE, Seen, Sight, lacking
from conformance.model.profiles import Profile
from conformance.races.run_exploration import Exploration, Outcome, explore_race

__all__ = ["SCHEDULES", "RaceDetector"]

SCHEDULES = 400
"""Inequivalent schedules of a race in a mode; if these are not all, as many with few preemptions follow."""


@dataclass
class RaceDetector:
    """Runs races on the racing library of a kernel with mutants."""

    profile: Profile
    library: Path
    _without: dict[tuple[str, str], str] = field(default_factory=dict)

    def by_race(self, number: int, name: str, mode: str) -> Sight:
        """What a race shows of a mutant in a mode."""
        outcome = self._explored(number, name, mode)
        if outcome.lacking is not None:
            return lacking(outcome.lacking)
        if outcome.trouble:
            return Sight(Seen.LACKING, outcome.trouble, lasting=False)
        violation = outcome.violation
        if violation is None or violation.invariant == self._violated_without(name, mode):
            return NOTHING
        return Sight(Seen.DIFFERS, f"{violation.invariant}: {violation.how}")

    def _violated_without(self, name: str, mode: str) -> str:
        """The invariant that the race violates without a mutant; "" for none, as it should be."""
        if (name, mode) not in self._without:
            found = self._explored(0, name, mode).violation
            self._without[name, mode] = "" if found is None else found.invariant
        return self._without[name, mode]

    def _explored(self, number: int, name: str, mode: str) -> Outcome:
        return explore_race(
            Exploration(
                name,
                mode,
                self.profile,
                self.library,
                limit=SCHEDULES,
                patience=PATIENCE,
                plant=number,
                minimised=False,
            )
        )

# SPDX-License-Identifier: GPL-2.0-only
"""Races by name: those of the stories, and programs that were drawn, whose names have a slash."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.errors import ConformanceError
from conformance.races.programs import DrawnProgram
from conformance.races.race import Race
from conformance.races.stories import RACES
from conformance.scenarios.story import named

__all__ = ["race_called", "races"]


def race_called(name: str) -> Race:
    """The race of this name. Raises ConformanceError for an unknown one."""
    if "/" in name:
        return DrawnProgram.parse(name).race
    if name not in RACES:
        raise ConformanceError(f"no race is called {name[:40]!r}; `conformance explore list` names all.")
    return RACES[name]


def races(names: Sequence[str]) -> list[Race]:
    """The races that match ``names``: stories in the order of registration, then drawn programs.

    All stories if ``names`` is empty. Raises ConformanceError if a name matches no race.
    """
    refusal = "no race is called {}; `conformance explore list` names them all, * stands for any text."
    globs = [name for name in names if "/" not in name]
    stories = named(RACES, globs, refusal) if globs or not names else []
    return [*stories, *(race_called(name) for name in names if "/" in name)]

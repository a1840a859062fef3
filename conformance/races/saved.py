# SPDX-License-Identifier: GPL-2.0-only
"""Race files: a bad schedule as text, to be replayed, kept, and read.

    race      fault_against_release
    on        kvm
    mode      ept-ad
    without   e930bffe95e1
    breaks    released memory is out of reach

    schedule
      vcpu0  until  direct_page_fault takes mmu_lock for read
      host   to its end
      vcpu0  to its end

What follows the schedule is for people and not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.reading import read_text
from conformance.races.race import RACES, SIDES
from conformance.races.schedule import Leg, read_legs

__all__ = ["Saved", "read"]

_FACTS = ("race", "on", "mode", "without", "breaks")
_MOST, _MOST_LEGS = 1 << 20, 10_000
"""Bytes of a race file, and lines of its schedule; the longest has 40."""


@dataclass(frozen=True)
class Saved:
    """A race file. ``without`` and ``breaks`` may be empty."""

    race: str
    on: str
    mode: str
    without: str
    breaks: str
    legs: tuple[Leg, ...]

    def lines(self, picture: Sequence[str] = ()) -> list[str]:
        """The file's lines."""
        facts = [f"{name:<9} {getattr(self, name)}".rstrip() for name in _FACTS if getattr(self, name)]
        return [*facts, "", "schedule", *(f"  {leg}" for leg in self.legs), "", *picture]


def read(path: Path) -> Saved:
    """Read a race file. Raises ConformanceError with what is wrong with it."""
    lines = read_text(path, _MOST)
    facts = dict.fromkeys(_FACTS, "")
    at = 0
    for at, line in enumerate(lines):
        name, _, value = line.partition(" ")
        if line == "schedule":
            break
        if line and not line.startswith("#"):
            if name not in facts:
                raise ConformanceError(
                    f"{path} is no race file: {name[:40]!r} in line {at + 1} is none of {', '.join(_FACTS)}."
                )
            facts[name] = value.strip()
    else:
        raise ConformanceError(f"{path} is no race file: it has no schedule.")
    told = []
    for line in lines[at + 1 :]:
        if not line.startswith("  "):
            break
        told.append(line)
        if len(told) > _MOST_LEGS:
            raise ConformanceError(f"{path}: its schedule has more than {_MOST_LEGS:,} lines.")
    try:
        legs = tuple(read_legs(told))
    except ValueError as error:
        raise ConformanceError(f"{path}: {str(error)[:300]}.") from None
    saved = Saved(legs=legs, **facts)
    _check(path, saved)
    return saved


def _check(path: Path, saved: Saved) -> None:
    if saved.race not in RACES:
        raise ConformanceError(
            f"{path}: no race is called {saved.race[:40]!r}; `conformance explore list` names all."
        )
    race = RACES[saved.race]
    if saved.on not in SIDES:
        raise ConformanceError(f"{path}: a race runs on {' or '.join(SIDES)}, not on {saved.on[:40]!r}.")
    if saved.mode not in race.modes:
        raise ConformanceError(
            f"{path}: {saved.race} has no mode {saved.mode[:40]!r}; it has {', '.join(race.modes)}."
        )
    unknown = [leg.thread for leg in saved.legs if leg.thread not in race.threads]
    if unknown:
        raise ConformanceError(
            f"{path}: there is no thread {unknown[0][:40]} in {saved.race}; "
            f"there are {', '.join(race.threads)}."
        )

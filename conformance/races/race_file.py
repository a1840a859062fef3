# SPDX-License-Identifier: GPL-2.0-only
"""Race files: a schedule as text, as ``explore run --save`` writes it and ``explore replay`` reads it.

    race      fault_against_release
    on        kvm
    mode      ept-ad
    without   e930bffe95e1
    breaks    released memory is out of reach

    schedule
      vcpu0  until  direct_page_fault takes mmu_lock for read
      host   to its end
      vcpu0  to its end

What follows the schedule, such as its diagram, is ignored when the file is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.reading import read_text
from conformance.races.catalogue import race_called
from conformance.races.race import SIDES
from conformance.races.schedule import Segment, read_segments

__all__ = ["RaceFile", "read"]

_FACTS = ("race", "on", "mode", "without", "breaks")
_MOST, _MOST_SEGMENTS = 1 << 20, 10_000
"""Limits: the bytes of a race file, and the lines of its schedule. The longest golden schedule has 40."""


@dataclass(frozen=True)
class RaceFile:
    """The contents of a race file, by the names in it.

    ``on`` is the side, ``without`` the changes that the variant lacks, ``breaks`` the invariant that is
    violated; the last two may be empty.
    """

    race: str
    on: str
    mode: str
    without: str
    breaks: str
    segments: tuple[Segment, ...]

    def lines(self, diagram: Sequence[str] = ()) -> list[str]:
        """The lines of the file."""
        facts = [f"{name:<9} {getattr(self, name)}".rstrip() for name in _FACTS if getattr(self, name)]
        return [*facts, "", "schedule", *(f"  {segment}" for segment in self.segments), "", *diagram]


def read(path: Path) -> RaceFile:
    """Read a race file. Raises ConformanceError, with what is wrong and where, if it is not valid."""
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
                    f"{path} is no race file: {name[:40]!r} in line {at + 1} is not one of "
                    f"{', '.join(_FACTS)}."
                )
            facts[name] = value.strip()
    else:
        raise ConformanceError(f"{path} is no race file: it has no schedule.")
    schedule = []
    for line in lines[at + 1 :]:
        if not line.startswith("  "):
            break
        schedule.append(line)
        if len(schedule) > _MOST_SEGMENTS:
            raise ConformanceError(f"{path}: its schedule has more than {_MOST_SEGMENTS:,} lines.")
    try:
        segments = tuple(read_segments(schedule))
    except ValueError as error:
        raise ConformanceError(f"{path}: {str(error)[:300]}.") from None
    race_file = RaceFile(segments=segments, **facts)
    _check(path, race_file)
    return race_file


def _check(path: Path, file: RaceFile) -> None:
    """Raise ConformanceError if the file names a race, side, mode or thread that does not exist."""
    try:
        race = race_called(file.race)
    except ConformanceError as problem:
        raise ConformanceError(f"{path}: {problem}") from None
    if file.on not in SIDES:
        raise ConformanceError(f"{path}: a race runs on {' or '.join(SIDES)}, not on {file.on[:40]!r}.")
    if file.mode not in race.modes:
        raise ConformanceError(
            f"{path}: {file.race} has no mode {file.mode[:40]!r}; it has {', '.join(race.modes)}."
        )
    unknown = [segment.thread for segment in file.segments if segment.thread not in race.threads]
    if unknown:
        raise ConformanceError(
            f"{path}: there is no thread {unknown[0][:40]} in {file.race}; "
            f"there are {', '.join(race.threads)}."
        )

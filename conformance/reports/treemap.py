# SPDX-License-Identifier: GPL-2.0-only
"""A map of files and functions as rectangles whose areas are counts, each divided by state."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import squarify

__all__ = ["Band", "Box", "Group", "treemap"]

_TITLE = 20.0
"""The height of a group's title, if the group is large enough for one."""
_GAP = 2.0
_CHARACTER, _TITLE_CHARACTER = 6.1, 8.0
"""The widths of a character in a box and in a title."""
_LINE = 11.5
"""The height of a line in a box."""


@dataclass(frozen=True)
class Band:
    """The part of a box that has one state."""

    state: str
    x: float
    width: float


@dataclass(frozen=True)
class Box:
    """The rectangle of a function. ``label``: what fits into it of its name and its size, line by line."""

    name: str
    x: float
    y: float
    width: float
    height: float
    bands: tuple[Band, ...]
    label: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """The rectangle of a file, with the boxes of its functions."""

    name: str
    x: float
    y: float
    width: float
    height: float
    title: str
    boxes: tuple[Box, ...]


Counts = Mapping[str, int]
"""How many lines, or mutants, are in each state."""


def treemap(
    groups: Mapping[str, Mapping[str, Counts]], width: float, height: float, unit: str = "lines"
) -> list[Group]:
    """The groups that fill a map of this size; functions and files without lines are left out.

    ``unit``: what is counted, in the plural.
    """
    sizes = {
        name: float(sum(sum(counts.values()) for counts in functions.values()))
        for name, functions in groups.items()
    }
    return [
        _group(name, rect, groups[name], unit)
        for name, rect in _placed(sizes, 0.0, 0.0, width, height).items()
    ]


Rect = tuple[float, float, float, float]


def _placed(sizes: Mapping[str, float], x: float, y: float, width: float, height: float) -> dict[str, Rect]:
    names = sorted((name for name in sizes if sizes[name]), key=lambda name: -sizes[name])
    if not names or width <= 0 or height <= 0:
        return {}
    areas = squarify.normalize_sizes([sizes[name] for name in names], width, height)
    rects = squarify.squarify(areas, x, y, width, height)
    return {
        name: (rect["x"], rect["y"], rect["dx"], rect["dy"]) for name, rect in zip(names, rects, strict=True)
    }


def _group(name: str, rect: Rect, functions: Mapping[str, Counts], unit: str) -> Group:
    x, y, width, height = rect
    x, y, width, height = x + _GAP, y + _GAP, width - 2 * _GAP, height - 2 * _GAP
    room = int((width - 8) / _TITLE_CHARACTER)
    title = _shortened(name.rpartition("/")[2], room) if height > 2 * _TITLE else ""
    top = _TITLE if title else 0.0
    sizes = {one: float(sum(counts.values())) for one, counts in functions.items()}
    placed = _placed(sizes, x, y + top, width, height - top)
    boxes = tuple(_box(one, found, functions[one], unit) for one, found in placed.items())
    return Group(name, x, y, max(width, 0.0), max(height, 0.0), title, boxes)


def _box(name: str, rect: Rect, counts: Counts, unit: str) -> Box:
    x, y, width, height = rect
    total = sum(counts.values())
    bands, at = [], x
    for state, count in counts.items():
        if count:
            bands.append(Band(state, at, width * count / total))
            at += width * count / total
    label = _folded(name, int((width - 5) / _CHARACTER), int((height - 4) / _LINE))
    if label and len(label) < int((height - 4) / _LINE) and width > 55:
        label = (*label, f"{total} {unit}")
    return Box(name, x, y, width, height, tuple(bands), label)


def _folded(name: str, room: int, most: int) -> tuple[str, ...]:
    """A name in at most ``most`` lines of ``room`` characters, folded after underscores.

    () if less than half of it would be left.
    """
    if room < 4 or most < 1:
        return ()
    lines = [""]
    for part in re.findall(r"_*[^_]+_*|_+", name):
        if len(lines[-1]) + len(part) <= room:
            lines[-1] += part
        else:
            lines += [part[at : at + room] for at in range(0, len(part), room)]
    lines = [line for line in lines if line]
    if len(lines) > most:
        kept = [*lines[: most - 1], f"{lines[most - 1][: room - 1]}…"]
        return tuple(kept) if 2 * sum(map(len, kept)) >= len(name) else ()
    return tuple(lines)


def _shortened(text: str, room: int) -> str:
    """The text, or as much of it as fits; "" if that would be less than five characters."""
    if len(text) <= room:
        return text
    return f"{text[: room - 1]}…" if room >= 5 else ""

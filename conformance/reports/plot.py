# SPDX-License-Identifier: GPL-2.0-only
"""Curves over time as coordinates for SVG: thinned lines, and axes whose marks are round numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from conformance.reports.text import compact

__all__ = ["Line", "Mark", "Plot", "plot"]

WIDTH, HEIGHT = 960.0, 320.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 190.0, 16.0, 44.0
"""The margins: for the marks of the axes, and on the right for the names of the lines."""

MOST = 400
"""The number of points of a line that are drawn."""
_APART = 15.0
"""The least distance of two names."""

_TIMES = (("s", 1.0), ("min", 60.0), ("h", 3600.0), ("d", 86400.0))

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """A line, with its name at its end. ``value`` is its last value as text."""

    name: str
    value: str
    points: str
    end: tuple[float, float]
    label: float


@dataclass(frozen=True)
class Mark:
    """A mark on an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Plot:
    """Lines between two axes; ``x`` and ``y`` are the marks, ``unit`` is that of the time."""

    lines: tuple[Line, ...]
    x: tuple[Mark, ...]
    y: tuple[Mark, ...]
    unit: str
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM


def plot(curves: Mapping[str, Points]) -> Plot | None:
    """The curves, whose points are seconds and values; None without a time to draw them over."""
    curves = {name: points for name, points in curves.items() if points}
    end = max((points[-1][0] for points in curves.values()), default=0.0)
    most = max((value for points in curves.values() for _, value in points), default=0.0)
    if not end or not most:
        return None
    unit, size = [one for one in _TIMES if end >= 2 * one[1]][-1] if end >= 2 else _TIMES[0]
    rows = _marks(most)
    high = max(rows[-1], most)
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(time: float, value: float) -> tuple[float, float]:
        return round(LEFT + width * time / end, 1), round(TOP + height * (1 - value / high), 1)

    ends = {name: place(*points[-1]) for name, points in curves.items()}
    labels = _spread({name: at[1] for name, at in ends.items()})
    return Plot(
        tuple(
            Line(
                name,
                f"{points[-1][1]:,.0f}",
                " ".join("{},{}".format(*place(*point)) for point in _thinned(points)),
                ends[name],
                labels[name],
            )
            for name, points in curves.items()
        ),
        tuple(Mark(place(value * size, 0)[0], f"{value:g}") for value in _marks(end / size)),
        tuple(Mark(place(0, value)[1], compact(round(value))) for value in rows),
        unit,
    )


def _marks(most: float) -> list[float]:
    """Round numbers from zero up to ``most``, about five."""
    rough = most / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(one * power for one in (1, 2, 5, 10) if one * power >= rough)
    return [number * step for number in range(math.floor(most / step + 1e-9) + 1)]


def _thinned(points: Points) -> Points:
    """At most MOST points, the first and the last among them."""
    if len(points) <= MOST:
        return points
    chosen = {round(number * (len(points) - 1) / (MOST - 1)) for number in range(MOST)}
    return [points[number] for number in sorted(chosen)]


def _spread(heights: Mapping[str, float]) -> dict[str, float]:
    """The heights of names, moved up so that none covers another."""
    found: dict[str, float] = {}
    below = math.inf
    for name in sorted(heights, key=lambda one: -heights[one]):
        below = found[name] = round(min(heights[name] + 4, below - _APART), 1)
    return found

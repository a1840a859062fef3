# SPDX-License-Identifier: GPL-2.0-only
"""What a campaign has found over time: edges that were reached, mutants that were judged, steps compared.

The time is the computing time of all workers together, in the order in which units finished: a campaign may
rest between two commands, and its workers may come and go.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64decode
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from conformance.campaigns.campaign import Campaign
from conformance.coverage.compared.mutants import Outcome
from conformance.reports.campaign_mutants import Score

__all__ = ["Curves", "growth"]

Curves = Mapping[str, Sequence[tuple[float, float]]]
"""By name, the seconds and the values of points."""


def growth(campaign: Campaign) -> list[tuple[str, Curves]]:
    """The curves of a campaign, in groups with a title each."""
    if campaign.kind == "mutants":
        found = [("Mutants", _counts(campaign, _mutants))]
    elif campaign.kind == "commits":
        found = []
    else:
        found = [
            ("Edges of the MMU's control flow that stories reach", _edges(campaign)),
            ("Compared steps", _counts(campaign, _steps)),
        ]
    return [(title, curves) for title, curves in found if curves]


def _timed(campaign: Campaign) -> Iterator[tuple[float, Any]]:
    """The rows of each unit, with the computing time until it was finished."""
    spent = 0.0
    for (_, seconds), (_, rows) in zip(campaign.units, campaign.arrived, strict=True):
        spent += seconds
        yield spent, rows


def _counts(campaign: Campaign, count: Any) -> Curves:
    """Sums of what ``count`` gives for a row: pairs of a name and a number."""
    curves: dict[str, list[tuple[float, float]]] = defaultdict(lambda: [(0.0, 0.0)])
    for time, rows in _timed(campaign):
        for row in rows:
            for name, number in count(row):
                curves[name].append((time, curves[name][-1][1] + number))
    return curves


def _steps(row: Any) -> list[tuple[str, int]]:
    return [(row.kernel, row.steps)] if row.steps else []


def _mutants(row: Any) -> list[tuple[str, int]]:
    score = Score.of([row])
    if not score.decided:
        return []
    kinds = {"decided": 1, "detected": score.compared, "survived": row.verdict == Outcome.SURVIVED.value}
    return [(f"{row.kernel}: {name}", int(number)) for name, number in kinds.items()]


def _edges(campaign: Campaign) -> Curves:
    """The edges that all units together have reached, for each kernel.

    Edges of different layouts have different numbers, so that each layout is a curve of its own.
    """
    reached: dict[tuple[str, str], int] = defaultdict(int)
    points: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(lambda: [(0.0, 0.0)])
    for time, rows in _timed(campaign):
        for row in rows:
            about = json.loads(row.details) if row.details else {}
            if isinstance(about, dict) and "reached" in about:
                key = row.kernel, about["layout"]
                reached[key] |= int.from_bytes(zlib.decompress(b64decode(about["reached"])), "little")
                points[key].append((time, float(reached[key].bit_count())))
    several = len({kernel for kernel, _ in points}) < len(points)
    return {
        f"{kernel} ({layout[:6]})" if several else kernel: found for (kernel, layout), found in points.items()
    }

# SPDX-License-Identifier: GPL-2.0-only
"""Making the script of a difference short: steps that it does not need are dropped, by playing it again."""

from __future__ import annotations

import time
from dataclasses import replace

from conformance.scenarios.comparing import Arena, Difference, Played, play
from conformance.scenarios.order import check
from conformance.scenarios.steps import Step
from conformance.scenarios.story import Script

__all__ = ["shorten"]

PATIENCE = 10.0
"""Seconds spent on shortening at the most."""


def shorten(arena: Arena, script: Script, found: Difference) -> tuple[Script, Played]:
    """The shortest script found that still ends in a difference of the same kind, and what it came to.

    First the steps after the difference go, then ever smaller groups of those before it.
    """
    best = replace(script, steps=script.steps[: found.at + 1], claims=())
    played = play(arena, best)
    if played.difference is None:
        return best, replace(played, difference=found)  # It does not repeat: told as it was seen.
    if found.hung:
        return best, played  # Each try would take as long again.
    end = time.monotonic() + PATIENCE
    size = max(len(best.steps) // 2, 1)
    while size and time.monotonic() < end:
        shorter = _without_some(arena, best, size, found, end)
        if shorter is None:
            size //= 2
        else:
            best, played = shorter
    return best, played


def _without_some(
    arena: Arena, script: Script, size: int, found: Difference, end: float
) -> tuple[Script, Played] | None:
    """The script without some ``size`` steps in a row, if one such still shows the difference."""
    # From the end, where what a difference needs is rarest; the last step shows it, and stays.
    for start in range(len(script.steps) - 1 - size, -1, -1):
        if time.monotonic() > end:
            return None
        tried = _try(arena, script, script.steps[:start] + script.steps[start + size :], found)
        if tried is not None:
            return tried
    return None


def _try(
    arena: Arena, script: Script, steps: tuple[Step, ...], found: Difference
) -> tuple[Script, Played] | None:
    try:
        check(steps, script.options)
        played = play(arena, replace(script, steps=steps))
    except ValueError:
        return None
    again = played.difference
    if again is None or _kind(again, played) != _kind(found, None, script.steps[-1].kind):
        return None
    return replace(script, steps=steps[: again.at + 1]), played


def _kind(found: Difference, played: Played | None, last: str = "") -> tuple[bool, str]:
    """What two scripts must have in common to show the same: crash or not, and the step it shows in."""
    return found.crash is not None, played.steps[found.at].kind if played else last

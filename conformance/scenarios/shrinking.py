# SPDX-License-Identifier: GPL-2.0-only
"""Making the script of a difference short: steps that it does not need are dropped, by playing it again."""

from __future__ import annotations

import re
import time
from dataclasses import replace

from conformance.interface.options import OPTIONS
from conformance.oracles.lacking import Lacking
from conformance.scenarios.comparing import Difference, Played, Sides, play
from conformance.scenarios.preconditions import check
from conformance.scenarios.story import Script

__all__ = ["shorten", "things"]

_NUMBER = re.compile(r"0x[0-9a-f]+|[0-9]+")

PATIENCE = 10.0
"""Seconds spent on shortening at the most."""


def shorten(arena: Sides, script: Script, found: Difference) -> tuple[Script, Played]:
    """The shortest script found that still ends in a difference of the same kind, and what it came to.

    First the steps after the difference go, then ever smaller groups of those before it, then options
    of the VM that are not the usual ones.
    """
    best = replace(script, steps=script.steps[: found.at + 1], claims=())
    try:
        played = play(arena, best)
    except Lacking:
        return best, Played(list(best.steps), difference=found)  # The system cannot play it any more.
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
    for name, argument in OPTIONS.items():
        if best.options[name] == argument.default:
            continue
        usual = _try(arena, replace(best, options={**best.options, name: argument.default or 0}), found)
        if usual is not None:
            best, played = usual
    return best, played


def _without_some(
    arena: Sides, script: Script, size: int, found: Difference, end: float
) -> tuple[Script, Played] | None:
    """The script without some ``size`` steps in a row, if one such still shows the difference."""
    # From the end, where what a difference needs is rarest; the last step shows it, and stays.
    for start in range(len(script.steps) - 1 - size, -1, -1):
        if time.monotonic() > end:
            return None
        steps = script.steps[:start] + script.steps[start + size :]
        tried = _try(arena, replace(script, steps=steps), found)
        if tried is not None:
            return tried
    return None


def _try(arena: Sides, script: Script, found: Difference) -> tuple[Script, Played] | None:
    """The script, up to its difference, if it ends in one like that which was found."""
    try:
        check(script.steps, script.options)
        played = play(arena, script)
    except (ValueError, Lacking):
        return None
    again = played.difference
    if again is None or played.steps[again.at].kind != script.steps[-1].kind or not _alike(again, found):
        return None
    return replace(script, steps=script.steps[: again.at + 1]), played


def _alike(again: Difference, found: Difference) -> bool:
    """Whether a difference is of the kind that was found: the same things differ, or some of them.

    Otherwise a story could shrink to another, simpler difference, and hide the one that it was about.
    """
    return (again.crash is None) == (found.crash is None) and things(again) <= things(found)


def things(found: Difference) -> set[str]:
    """What differs, whichever the SPTE, vCPU or memslot."""
    return {"SPTE" if " > " in name else _NUMBER.sub("", name) for name, _, _ in found.facts}

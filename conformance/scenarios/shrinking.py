# SPDX-License-Identifier: GPL-2.0-only
"""Shorten the script of a difference: drop the steps that it does not need, by replaying it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from conformance.interface.observation import Observation
from conformance.interface.options import OPTIONS
from conformance.oracles.lacking import Lacking
from conformance.scenarios.comparing import Difference, Incomparable, Played, Sides, play
from conformance.scenarios.preconditions import check
from conformance.scenarios.story import Script

__all__ = ["shorten", "things"]

_NUMBER = re.compile(r"0x[0-9a-f]+|[0-9]+")

PATIENCE = 10.0
"""The most seconds that shortening may take."""


Permits = Callable[[Script, Sequence[Observation]], bool]


def _any(script: Script, seen: Sequence[Observation]) -> bool:
    return True


def shorten(
    sides: Sides, script: Script, found: Difference, permits: Permits = _any
) -> tuple[Script, Played]:
    """The shortest script found that still ends in a difference of the same kind, and its run.

    First the steps after the difference are dropped, then ever smaller groups of steps before it, then
    options of the VM that are not defaults. ``permits`` says of a script, and of what the kernel showed in
    it, whether it may be the result.
    """
    best = replace(script, steps=script.steps[: found.at + 1], claims=())
    try:
        played = play(sides, best)
    except (Lacking, Incomparable):
        return best, Played(list(best.steps), difference=found)  # The system can no longer play it.
    if played.difference is None:
        return best, replace(played, difference=found)  # It does not repeat: reported as found.
    if found.hung:
        return best, played  # Each try would take as long again.
    end = time.monotonic() + PATIENCE
    size = max(len(best.steps) // 2, 1)
    while size and time.monotonic() < end:
        shorter = _without_some(sides, best, size, found, end, permits)
        if shorter is None:
            size //= 2
        else:
            best, played = shorter
    for name, argument in OPTIONS.items():
        if best.options[name] == argument.default:
            continue
        usual = _try(
            sides, replace(best, options={**best.options, name: argument.default or 0}), found, permits
        )
        if usual is not None:
            best, played = usual
    return best, played


def _without_some(
    sides: Sides, script: Script, size: int, found: Difference, end: float, permits: Permits
) -> tuple[Script, Played] | None:
    """The script without some ``size`` steps in a row, if one such still shows the difference."""
    # From the end, where needed steps are rarest; the last step shows the difference, and stays.
    for start in range(len(script.steps) - 1 - size, -1, -1):
        if time.monotonic() > end:
            return None
        steps = script.steps[:start] + script.steps[start + size :]
        tried = _try(sides, replace(script, steps=steps), found, permits)
        if tried is not None:
            return tried
    return None


def _try(sides: Sides, script: Script, found: Difference, permits: Permits) -> tuple[Script, Played] | None:
    """The script, up to its difference, if that is like the one that was found."""
    try:
        check(script.steps, script.options, [sides.mode.name])
        played = play(sides, script)
    except (ValueError, Lacking, Incomparable):
        return None
    again = played.difference
    if again is None or played.steps[again.at].kind != script.steps[-1].kind or not _alike(again, found):
        return None
    shorter = replace(script, steps=script.steps[: again.at + 1])
    return (shorter, played) if permits(shorter, played.kernel) else None


def _alike(again: Difference, found: Difference) -> bool:
    """Whether a difference is of the kind that was found: the same things differ, or some of them.

    Otherwise a story could shrink to another, simpler difference, and hide the original one.
    """
    return (again.crash is None) == (found.crash is None) and things(again) <= things(found)


def things(found: Difference) -> set[str]:
    """The kinds of facts that differ, regardless of which SPTE, vCPU or memslot."""
    return {"SPTE" if " > " in name else _NUMBER.sub("", name) for name, _, _ in found.facts}

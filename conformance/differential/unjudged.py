# SPDX-License-Identifier: GPL-2.0-only
"""ERROR results for lack of something in the suite or the system; one is reported for each lack."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from conformance.differential.verdict import Result, Verdict
from conformance.oracles.lacking import Lacking

__all__ = ["Unjudged", "once", "unjudged"]


@dataclass(frozen=True)
class Unjudged(Result):
    """An ERROR because of what is ``lacking``."""

    lacking: Lacking = field(default_factory=lambda: Lacking(""))


def unjudged(result: Result, lacking: Lacking) -> Unjudged:
    """``result`` as an ERROR for this lack, with the number of cases compared until then."""
    given = {name: getattr(result, name) for name in result.__dataclass_fields__}
    return Unjudged(**{**given, "verdict": Verdict.ERROR, "reason": str(lacking), "lacking": lacking})


def once(results: Iterable[Result], noun: str) -> list[Result]:
    """The results, with those that stopped at the same lack gathered into one that counts them.

    ``noun`` names what was to be judged, in the plural: "properties", "stories".
    """
    found: list[Result] = []
    stopped: dict[str, list[Unjudged]] = {}
    for result in results:
        if isinstance(result, Unjudged):
            stopped.setdefault(result.lacking.what, []).append(result)
        else:
            found.append(result)
    return [*found, *(_gathered(each, noun) for each in stopped.values())]


def _gathered(results: list[Unjudged], noun: str) -> Result:
    first = results[0]
    names = list(dict.fromkeys(result.property for result in results))
    modes = list(dict.fromkeys(result.mode for result in results))
    what = names[0] if len(names) == 1 else f"{len(names)} {noun}"
    in_modes = f" in {', '.join(modes)}" if modes != ["-"] else ""
    return Result(
        names[0] if len(names) == 1 else noun,
        first.oracle,
        first.engine,
        modes[0] if len(modes) == 1 else "-",
        Verdict.ERROR,
        sum(result.cases for result in results),
        sum(result.seconds for result in results),
        first.lacking.sentence(what + in_modes),
    )

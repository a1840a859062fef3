# SPDX-License-Identifier: GPL-2.0-only
"""What properties and stories showed when they were run on two kernels."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from conformance.differential.verdict import Counterexample
from conformance.oracles.coverage import Counters, functions_counted

__all__ = ["Ran", "Seen", "unnamed"]


@dataclass
class Seen:
    """The result of a property or story: cases run, functions executed on either kernel, the difference.

    ``blamed`` are the functions that the counterexample executes. ``proved``: the kernels answer alike on
    every input, since every input was run in every mode, or by a proof. ``counters`` are those of the kernel
    before and of the one after, of the units in which lines are counted.
    """

    name: str
    cases: int = 0
    executed: set[str] = field(default_factory=set)
    difference: Counterexample | None = None
    blamed: set[str] = field(default_factory=set)
    proved: bool = False
    counters: tuple[Counters, Counters] = field(default_factory=lambda: (Counters(), Counters()), repr=False)

    def count(self, before: Counters, after: Counters) -> None:
        """Add what was executed on either kernel."""
        self.counters = self.counters[0] + before, self.counters[1] + after


@dataclass(frozen=True)
class Ran:
    """The properties, or the stories, that were run on two kernels, and the libraries that ran them.

    ``why`` some could not be run; "" if all were.
    """

    libraries: tuple[Path, Path]
    seen: Sequence[Seen]
    why: str = ""

    def concerning(self, changed: Collection[str]) -> list[Seen]:
        """Those that executed one of the functions."""
        return [one for one in self.seen if one.executed.intersection(changed)]


def unnamed(libraries: Iterable[Path], changed: Collection[str]) -> set[str]:
    """The functions of which libraries count lines only, since they are inlined always."""
    return set(changed).difference(*map(functions_counted, libraries))

# SPDX-License-Identifier: GPL-2.0-only
"""Mutants of a kernel, what became of each of a sample, and the share of compared lines that follows.

A line counts as compared if a change planted into it is detected.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from statistics import NormalDist

__all__ = ["CONFIDENCE", "DECIDED", "Compared", "Judged", "Mutant", "Outcome", "wilson"]

CONFIDENCE = 0.95
"""The confidence of an interval, unless another one is requested."""


class Outcome(str, Enum):
    """What became of a mutant; the value is the word that reports use."""

    COMPARED = "compared"
    """A property, a story or a race detects it, in what `run`, `scenario run` and `explore run` compare."""
    REVIEWS = "compared in reviews only"
    """It changes only what KVM keeps in its structures, which reviews compare between two kernels."""
    SURVIVED = "survived"
    """Nothing that executes the line detects it."""
    EQUIVALENT = "equivalent"
    """It compiles to the same machine code."""
    OUT_OF_REACH = "out of reach: order of accesses"
    """Only a compiler or a processor that reorders accesses makes a difference; what runs here does not."""
    NOT_JUDGED = "not judged"
    """The suite lacks something that kernel code asks for with the mutant, and nothing else detects it."""


DECIDED = (Outcome.COMPARED, Outcome.REVIEWS, Outcome.SURVIVED)
"""The outcomes that a score is a share of."""


@dataclass(frozen=True)
class Mutant:
    """One change of a kernel's source.

    ``operator`` says what kind of change it is. ``start`` and ``end`` are the offsets in bytes of the text
    that it replaces, ``text`` is the replacement; ``before`` and ``after`` show the whole source line.
    """

    file: str
    line: int
    function: str
    operator: str
    start: int
    end: int
    text: str
    before: str
    after: str


@dataclass(frozen=True)
class Judged:
    """A mutant with its outcome.

    by: the layer and the name of the run that detected it, and the mode; empty strings if none did.
    how: what differed, or why it was not judged.
    executed_by: the layer and the name of each run that executes the line.
    """

    mutant: Mutant
    outcome: Outcome
    by: tuple[str, str, str] = ("", "", "")
    how: str = ""
    executed_by: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Compared:
    """The outcome of a sample of mutants.

    Lines are drawn uniformly from all executed lines into which a change can be planted, and one change of
    each drawn line is planted.

    selected: the number of mutants that were requested. executed: the number of lines that a property or a
    story executes. plantable: those of them into which a change can be planted. rejected: the number of drawn
    changes that do not compile, each of which was replaced by another one.
    """

    kernel: str
    seed: int
    selected: int
    executed: int
    plantable: int
    rejected: int
    judged: tuple[Judged, ...]

    def of(self, outcome: Outcome) -> list[Judged]:
        """The mutants with an outcome."""
        return [one for one in self.judged if one.outcome is outcome]

    @property
    def decided(self) -> int:
        """The number of mutants that count."""
        return sum(one.outcome in DECIDED for one in self.judged)

    @property
    def share(self) -> float | None:
        """The share of mutants that are compared, an estimate for the lines; None if none counts."""
        return len(self.of(Outcome.COMPARED)) / self.decided if self.decided else None

    @property
    def interval(self) -> tuple[float, float]:
        """The confidence interval of the share."""
        return wilson(len(self.of(Outcome.COMPARED)), self.decided)

    def compared_lines(self) -> Mapping[str, Mapping[int, Outcome]]:
        """The outcome for each line of the sample, by file."""
        found: dict[str, dict[int, Outcome]] = defaultdict(dict)
        for one in self.judged:
            found[one.mutant.file][one.mutant.line] = one.outcome
        return found


def wilson(successes: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval for a proportion, as (lower, upper); (0, 1) without trials."""
    if not trials:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, extra = successes / trials, z * z / trials
    centre = (share + extra / 2) / (1 + extra)
    half = z * (share * (1 - share) / trials + extra / (4 * trials)) ** 0.5 / (1 + extra)
    return max(centre - half, 0.0), min(centre + half, 1.0)

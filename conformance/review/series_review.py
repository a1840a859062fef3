# SPDX-License-Identifier: GPL-2.0-only
"""The results of judging a series: of each patch, and of the series as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from conformance.differential.verdict import Source
from conformance.review.claims import Claim
from conformance.review.outcome import DEFAULT, Gate, Outcome, outcome_of
from conformance.review.review import Review
from conformance.review.series import Series, sources

__all__ = ["UNCONCERNED", "Judged", "SeriesReview", "cut_short"]

UNCONCERNED = str(Outcome.UNCONCERNED)
"""The reason for a patch that was not compared."""


@dataclass(frozen=True)
class Judged:
    """A patch, or a whole series, and its review.

    ``claim`` is its claim to change nothing. ``reason`` says why there is no review, or why the review is
    incomplete. ``remarks`` are sentences to show with it. ``applies`` is false for a patch that does not
    apply.
    """

    title: str
    claim: Claim | None = None
    review: Review | None = None
    reason: str = ""
    remarks: tuple[str, ...] = ()
    applies: bool = True

    @property
    def outcome(self) -> Outcome:
        """Its outcome; a difference that was seen outweighs what could not be judged."""
        if self.review is None:
            return Outcome.UNCONCERNED if self.reason == UNCONCERNED else Outcome.UNJUDGED
        return outcome_of(self.review, promised=self.claim is not None and not self.claim.excepted)


@dataclass(frozen=True)
class SeriesReview:
    """All results about a series. ``base`` names the kernel that it was applied to.

    ``whole`` is None for a single patch, or if not all patches could be applied. ``sources`` say where the
    code comes from: with each patch, and with all of them.
    """

    base: str
    parts: tuple[Judged, ...]
    whole: Judged | None = None
    notes: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()

    @property
    def judged(self) -> tuple[Judged, ...]:
        """The patches and the whole."""
        return (*self.parts, self.whole) if self.whole else self.parts

    def status(self, gate: Gate = DEFAULT) -> int:
        """The exit status: 1 if any patch fails by the ``gate``, else 2 if any was not judged, else 0."""
        found = {gate.status(one.outcome, one.review) for one in self.judged}
        return 1 if 1 in found else max(found, default=0)


def cut_short(series: Series, onto: str, judged: Sequence[Judged], reason: str) -> SeriesReview:
    """The results of a series of which only the first patches were ``judged``."""
    parts = list(judged[: len(series.parts)])
    parts += [Judged(part.title, part.claim, reason=reason) for part in series.parts[len(parts) :]]
    notes = (*series.notes, *series.incomplete)
    return SeriesReview(onto, tuple(parts), notes=notes, sources=sources(series, 0, ""))

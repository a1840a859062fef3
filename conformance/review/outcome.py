# SPDX-License-Identifier: GPL-2.0-only
"""The outcome of a patch, and which outcomes make a check fail."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.differential.verdict import Wording
from conformance.review.review import Review, Standing

__all__ = ["DEFAULT", "FailOn", "Gate", "Outcome", "outcome_of"]


class Outcome(Wording):
    """The outcome of a patch, the gravest last."""

    UNCONCERNED = "nothing here concerns the MMU"
    PROVED = "no functional change, proved"
    KEPT = "no functional change found"
    UNCOVERED = "no functional change found where anything could be run, which is not everywhere"
    UNOBSERVED = "changed, but nothing here looks at it"
    UNEXECUTED = "nothing that it changes could be run: nothing is claimed"
    UNJUDGED = "could not be judged"
    CHANGES = "behaviour changes"
    BROKEN = "says that nothing changes, and changes behaviour"


_OPEN = (Outcome.UNCOVERED, Outcome.UNOBSERVED, Outcome.UNEXECUTED)
"""Outcomes of patches that change something that nothing here checks."""
_RUN = (Standing.UNSEEN, Standing.EQUIVALENT)


def outcome_of(review: Review, *, promised: bool) -> Outcome:
    """The outcome of a review; ``promised``: the patch claims to change nothing.

    A difference that was seen outweighs what could not be judged.
    """
    standings = {one.standing for one in review.changed}
    if Standing.DIFFERS in standings:
        return Outcome.BROKEN if promised else Outcome.CHANGES
    if review.errors:
        return Outcome.UNJUDGED
    if not standings and not review.scope:
        return Outcome.UNOBSERVED if review.constants else Outcome.UNCONCERNED
    if review.proved:
        return Outcome.PROVED
    if standings.intersection(_RUN):
        return Outcome.KEPT if review.covered else Outcome.UNCOVERED
    if Standing.UNCOVERED in standings:
        return Outcome.UNEXECUTED
    if standings & {Standing.UNOBSERVED, Standing.UNMEASURED} or review.unlooked:
        return Outcome.UNOBSERVED
    # Code was only added or removed; its users are proved equal, or it has none.
    return Outcome.KEPT if Standing.SAME_CODE in standings else Outcome.UNEXECUTED


class FailOn(Wording):
    """What makes a check fail, with exit status 1."""

    CHANGES = "changes"
    """Any change of behaviour that was seen."""
    CLAIMS = "claims"
    """A claim that does not hold, kernel code that crashes, a known fix that is reverted."""
    UNCOVERED = "uncovered"
    """A change of behaviour, or changed code that nothing here checks."""


@dataclass(frozen=True)
class Gate:
    """Maps outcomes to exit statuses. ``strict``: changes that nothing here checks are status 2."""

    fail_on: FailOn = FailOn.CHANGES
    strict: bool = False

    def status(self, outcome: Outcome, review: Review | None) -> int:
        """The exit status of one patch, or of a comparison."""
        if self._fails(outcome, review):
            return 1
        return 2 if outcome is Outcome.UNJUDGED or (self.strict and outcome in _OPEN) else 0

    @property
    def unlooked(self) -> int:
        """The exit status for changed code that nothing here checks."""
        return 1 if self.fail_on is FailOn.UNCOVERED else 2 * self.strict

    def _fails(self, outcome: Outcome, review: Review | None) -> bool:
        if self.fail_on is FailOn.CLAIMS:
            return outcome is Outcome.BROKEN or (review is not None and review.broken)
        if self.fail_on is FailOn.UNCOVERED and outcome in _OPEN:
            return True
        return outcome in (Outcome.CHANGES, Outcome.BROKEN)


DEFAULT = Gate()

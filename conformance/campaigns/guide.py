# SPDX-License-Identifier: GPL-2.0-only
"""A guide: what gives units the findings of earlier ones, in campaigns where they depend on these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from conformance.campaigns.unit import Row, Unit

__all__ = ["Guide"]


class Guide(Protocol):
    """Gives units what others have found.

    What a unit is given depends on its definition and on the rows of certain other units alone, not on the
    order in which units finish: a campaign that was resumed, or lost workers, is the same as any other.
    """

    def learn(self, unit: str, rows: Sequence[Row]) -> None:
        """Take note of the rows of a finished unit, named by its id."""

    def supplied(self, unit: Unit) -> Unit | None:
        """The unit with what it is given; None as long as rows that it depends on are missing."""

    def close(self) -> None:
        """Called after the last unit of the campaign."""

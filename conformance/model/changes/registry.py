# SPDX-License-Identifier: GPL-2.0-only
"""A change: one upstream commit after which the MMU behaved differently; and precautions against races."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Change", "Precaution"]


_KNOWN: dict[tuple[str, str], Change] = {}
"""Each change by its commit and title."""


def _known(kind: type[Change], commit: str, title: str, *more: str) -> Change:
    """The change of this process; a new one if it has none, as for changes that a test makes."""
    return _KNOWN.get((commit, title)) or kind(commit, title, *more)


@dataclass(frozen=True, eq=False)
class Change:
    """One upstream commit that altered semantics.

    ``commit`` is its abbreviated id, ``since`` the first mainline release that has it, ``effect`` the
    difference in behaviour, in a sentence. Each change is one object, compared by identity: the model asks
    for changes all the time. A copy, or what another process sent, is that object again.
    """

    commit: str
    title: str
    since: str
    effect: str

    def __post_init__(self) -> None:
        _KNOWN.setdefault((self.commit, self.title), self)

    def __reduce__(self) -> tuple[Any, ...]:
        return _known, (type(self), self.commit, self.title, self.since, self.effect)

    def __str__(self) -> str:
        return f'{self.commit} ("{self.title}") in v{self.since}'

    @property
    def release(self) -> tuple[int, int]:
        """``since`` as numbers, for comparisons."""
        major, minor = self.since.split(".")
        return int(major), int(minor)


@dataclass(frozen=True, eq=False)
class Precaution(Change):
    """A precaution against a race that no single commit introduced: the code has had it from the start.

    It is registered so that it can be left out, and a race then shows what it prevents. It has no commit.
    """

    def __str__(self) -> str:
        return f'"{self.title}" (a precaution, not a commit; since v{self.since} or before)'

# SPDX-License-Identifier: GPL-2.0-only
"""A change: one upstream commit after which the MMU behaved differently; and precautions against races."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Change", "Precaution"]


@dataclass(frozen=True, eq=False)
class Change:
    """One upstream commit that altered semantics.

    ``commit`` is its abbreviated id, ``since`` the first mainline release that has it, ``effect`` the
    difference in behaviour, in a sentence. Each change is one object, compared by identity: the model asks
    for changes all the time.
    """

    commit: str
    title: str
    since: str
    effect: str

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

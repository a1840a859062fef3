# SPDX-License-Identifier: GPL-2.0-only
"""What a change is: one upstream commit after which the kernel's MMU meant something else.

And what is none, but can be missing as if it were one: a precaution.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Change", "Precaution"]


@dataclass(frozen=True)
class Change:
    """One upstream commit that altered semantics.

    ``commit`` is its abbreviated id, ``since`` the first mainline release with it, ``effect`` what
    is different from then on.
    """

    commit: str
    title: str
    since: str
    effect: str

    def __hash__(self) -> int:
        # The commit says it all; hashing four strings would slow down every question for a change.
        return hash(self.commit)

    def __str__(self) -> str:
        return f'{self.commit} ("{self.title}") in v{self.since}'

    @property
    def release(self) -> tuple[int, int]:
        """``since`` as numbers, to compare."""
        major, minor = self.since.split(".")
        return int(major), int(minor)


@dataclass(frozen=True)
class Precaution(Change):
    """What no single commit introduced: taken ever since there was anything to be careful of.

    Made up only to be left out, so that a race shows what it is good for; it has no commit.
    """

    def __hash__(self) -> int:
        return hash(self.title)

    def __str__(self) -> str:
        return f'"{self.title}" (a precaution, not a commit; since v{self.since} or before)'

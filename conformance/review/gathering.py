# SPDX-License-Identifier: GPL-2.0-only
"""Which mails belong to one series, which of its patches are missing, and which version replaces it.

Patches n/m belong together if they have the same sender, version and m, and refer to a common mail, as those
of `git send-email` refer to their cover letter or to each other. Without any reference sender, version and m
decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from conformance.kernels.cache import key_of
from conformance.review.arrivals import Arrived
from conformance.review.series import Series, arrange, part_of

__all__ = ["Gathered", "gather"]


@dataclass(frozen=True)
class Gathered:
    """The mails of one series that have arrived, in order, the cover letter first.

    ``newer`` is the version that replaces it; 0 if it is the newest that is complete.
    """

    mails: tuple[Arrived, ...]
    newer: int = 0

    @property
    def patches(self) -> list[Arrived]:
        """The patches."""
        return [one for one in self.mails if one.patch]

    @property
    def missing(self) -> list[str]:
        """The patches that have not arrived, as n/m."""
        total = self.mails[0].mail.of or 0
        there = {one.mail.number for one in self.patches}
        return [f"{number}/{total}" for number in range(1, total + 1) if number not in there]

    @property
    def version(self) -> int:
        """The version that its subjects name."""
        return self.mails[0].mail.version

    @property
    def title(self) -> str:
        """The subject of its first mail, with the version if that is not the first."""
        subject = self.mails[0].mail.subject or "no subject"
        return f"v{self.version} {subject}" if self.version > 1 else subject

    @property
    def sender(self) -> str:
        """The address that it came from."""
        return self.mails[0].sender

    @property
    def date(self) -> float:
        """When it was sent, in seconds since the epoch; 0 if that is unknown."""
        return self.mails[0].date

    @property
    def digest(self) -> str:
        """A digest of Message-IDs and patches; what else a mail says decides nothing."""
        return key_of(*(part for one in self.mails for part in (one.id, key_of(one.mail.diff))))

    @property
    def series(self) -> Series:
        """Its patches in the order in which they apply."""
        parts = [part_of(_name(one), one.mail) for one in self.patches]
        return arrange(parts, [one.mail for one in self.mails if not one.patch])


def gather(mails: Iterable[Arrived]) -> list[Gathered]:
    """The series that mails belong to, by date; a mail that arrived twice counts once."""
    by_id: dict[str, Arrived] = {}
    for one in mails:
        by_id.setdefault(one.id, one)
    ordered = sorted(by_id.values(), key=lambda one: (one.date, one.mail.number or 0, one.id))
    alone = [Gathered((one,)) for one in ordered if not one.mail.of]
    kinds: dict[object, list[Arrived]] = {}
    for one in ordered:
        if one.mail.of:
            kind = one.sender, one.mail.release, one.mail.version, one.mail.of
            kinds.setdefault(kind, []).append(one)
    found = [Gathered(part) for kind in kinds.values() for thread in _threads(kind) for part in _once(thread)]
    return _replaced(sorted([*alone, *found], key=lambda one: (one.date, one.digest)))


def _name(one: Arrived) -> str:
    return f"patch {one.mail.number} of {one.mail.of}" if one.mail.of else "the patch"


def _threads(mails: Sequence[Arrived]) -> list[list[Arrived]]:
    """Mails that refer to each other, or to a common mail; those that take part in no thread are one."""
    above: dict[str, str] = {}

    def root(name: str) -> str:
        while (upper := above.setdefault(name, name)) != name:
            name = upper
        return name

    referred = {name for one in mails for name in one.answers}
    for one in mails:
        for name in one.answers:
            above[root(name)] = root(one.id)
        if not one.answers and one.id not in referred:
            above[root(one.id)] = root("")
    groups: dict[str, list[Arrived]] = {}
    for one in mails:
        groups.setdefault(root(one.id), []).append(one)
    return [*groups.values()]


def _once(mails: Sequence[Arrived]) -> list[tuple[Arrived, ...]]:
    """A thread as series in which each number occurs once: one that occurs again was sent again."""
    sent: list[dict[int, Arrived]] = [{}]
    for one in mails:
        number = one.mail.number or 0
        if number in sent[-1]:
            sent.append({})
        sent[-1][number] = one
    return [tuple(part[number] for number in sorted(part)) for part in sent]


def _replaced(found: Sequence[Gathered]) -> list[Gathered]:
    """The series, each with the newest complete version of it, if that is another."""
    complete = [one for one in found if not one.missing]
    marked = []
    for one in found:
        newer = [other.version for other in complete if other.version > one.version and _same(one, other)]
        marked.append(replace(one, newer=max(newer, default=0)))
    return marked


def _same(one: Gathered, other: Gathered) -> bool:
    """Whether two are versions of one series: of one sender, with a reference or a common subject."""
    if one.sender != other.sender:
        return False
    ids = {mail.id for mail in one.mails}
    refers = any(name in ids for mail in other.mails for name in mail.answers)
    subjects = {mail.mail.subject for mail in one.mails}
    return refers or any(mail.mail.subject in subjects for mail in other.mails)

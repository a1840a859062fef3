# SPDX-License-Identifier: GPL-2.0-only
"""A series of patches, put in order from the files that were given, and what was left out of them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.staging import wanted
from conformance.review.claims import Claim, claim_of
from conformance.review.mail import Mail, read_mails

__all__ = ["Part", "Series", "arrange", "read_series"]

STDIN = "-"

_TOUCHED = re.compile(rb"^(?:---|\+\+\+|(?:rename|copy) (?:from|to)) ([^\t\n]+)", re.MULTILINE)
_GIT_HEADER = re.compile(rb"^diff --git (\S+) (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Part:
    """One patch. ``name`` is how messages call it: "fix.patch", or "series.mbox (2 of 3)"."""

    name: str
    mail: Mail
    claim: Claim | None

    @property
    def title(self) -> str:
        """Its place in the series and its subject, for people; its name if it has no subject."""
        if not self.mail.subject:
            return self.name
        place = f"{self.mail.number}/{self.mail.of} " if self.mail.of else ""
        return place + self.mail.subject

    @property
    def paths(self) -> set[str]:
        """The files that it says it touches, relative to the kernel."""
        diff = self.mail.diff
        names = {name for match in _GIT_HEADER.finditer(diff) for name in match.groups()}
        names |= {match[1] for match in _TOUCHED.finditer(diff)}
        told = {name.decode("utf-8", "replace").strip() for name in names}
        return {re.sub(r"^[ab]/", "", name) for name in told if name != "/dev/null"}

    @property
    def may_concern(self) -> bool:
        """Whether it touches anything that could be read when a kernel is configured or KVM is compiled."""
        # A quoted name is refused later, in words: it must not pass for a file of no concern before that.
        return any(wanted(path) or path.startswith('"') for path in self.paths)


@dataclass(frozen=True)
class Series:
    """Patches in the order in which they apply, and sentences about mails that are none of them."""

    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()


def read_series(files: Sequence[str]) -> Series:
    """The patches in files (``-`` is stdin), in the order of their numbers.

    Raises ConformanceError for a file that cannot be read or holds no patch, and for a series of which a
    part is missing or there twice.
    """
    if files.count(STDIN) > 1:
        raise ConformanceError("Stdin can be read once only: name - once.")
    found: list[Part] = []
    notes: list[str] = []
    for file in files:
        name = "stdin" if file == STDIN else Path(file).name
        content = _content(file)
        mails = read_mails(content)
        patches, left_out = _patches(mails, name)
        if not patches:
            raise ConformanceError(_no_patch(name, content, mails))
        notes += left_out
        found += patches
    return Series(arrange(found), tuple(notes))


def arrange(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Parts in the order in which they apply: each series stays where its first part is, by number.

    Raises ConformanceError if a series is not complete.
    """
    groups: dict[object, list[Part]] = {}
    for part in parts:
        key = (part.mail.version, part.mail.of) if part.mail.of else part
        groups.setdefault(key, []).append(part)
    return tuple(part for group in groups.values() for part in _complete(group))


def _content(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == STDIN else Path(file).expanduser().read_bytes()
    except IsADirectoryError:
        raise ConformanceError(
            f"{file} is a directory. Name the patch files in it, or one mailbox."
        ) from None
    except OSError as trouble:
        raise ConformanceError(f"{file} cannot be read: {trouble.strerror}.") from None


def _no_patch(name: str, content: bytes, mails: Sequence[Mail]) -> str:
    if re.search(rb"^@@ -\d", content, re.MULTILINE):
        return f"{name} cannot be applied: no hunk in it says to which file it belongs. Export it again."
    if any(mail.subject or mail.message for mail in mails):
        many = f"none of its {len(mails)} mails" if len(mails) > 1 else "the mail does not"
        return f"{name} holds no patch: {many} {'holds' if len(mails) > 1 else 'hold'} a unified diff."
    return f"{name} is no patch: it holds no unified diff. Give a diff, a format-patch mail or an mbox."


def _patches(mails: Sequence[Mail], name: str) -> tuple[list[Part], list[str]]:
    """The patches among the mails of one file; replies and older versions of the series are left out."""
    holding = [mail for mail in mails if mail.diff]
    originals = [mail for mail in holding if not mail.reply]
    notes = []
    if originals and len(originals) < len(holding):
        notes.append(
            f"{name}: {_count(len(holding) - len(originals), 'reply', 'replies')} with a diff left out"
        )
    chosen = originals or holding
    newest = max((mail.version for mail in chosen), default=1)
    older = {mail.version for mail in chosen if mail.of and mail.version < newest}
    if older:
        notes.append(f"{name}: version {newest} of the series is taken, the older ones are left out")
        chosen = [mail for mail in chosen if mail.version == newest or not mail.of]
    chosen = list(dict.fromkeys(chosen))  # A mail that went over two lists is there twice.
    parts = []
    for number, mail in enumerate(chosen, 1):
        own = name if len(chosen) == 1 else f"{name} ({number} of {len(chosen)})"
        parts.append(Part(own, mail, claim_of(mail.subject, mail.message)))
    return parts, notes


def _complete(group: list[Part]) -> Iterable[Part]:
    """The parts of one series by number."""
    total = group[0].mail.of
    if total is None:
        return group
    there = {part.mail.number for part in group}
    missing = [f"{number}/{total}" for number in range(1, total + 1) if number not in there]
    if missing:
        told = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        verb = "is" if len(missing) == 1 else "are"
        raise ConformanceError(
            f"{group[0].name}: the series is not complete, {told} {verb} missing. "
            "Give all of its patches: each is judged on top of the one before."
        )
    numbers = [part.mail.number for part in group]
    twice = sorted({number for number in numbers if number and numbers.count(number) > 1})
    if twice:
        raise ConformanceError(
            f"{group[0].name}: {twice[0]}/{total} is there twice with different contents. "
            "Give one series at a time."
        )
    return sorted(group, key=lambda part: part.mail.number or 0)


def _count(number: int, one: str, many: str) -> str:
    return f"1 {one}" if number == 1 else f"{number} {many}"

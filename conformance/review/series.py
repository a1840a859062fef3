# SPDX-License-Identifier: GPL-2.0-only
"""A series of patches in order, and what of the input was left out or is missing."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from conformance.differential.verdict import Source
from conformance.errors import ConformanceError
from conformance.kernels.diffs import read_diff
from conformance.kernels.mails import MOST_BYTES, Mail, read_mails
from conformance.kernels.names import Touched, in_kernel, plausible
from conformance.kernels.reading import read_file, read_stream
from conformance.kernels.staging import wanted
from conformance.review.claims import Claim, claim_of

__all__ = ["Commits", "Part", "Series", "arrange", "part_of", "read_series", "sources"]

STDIN = "-"

_ENTRY = re.compile(r"^[ \t].*$", re.MULTILINE)
_OF_ONE_PATCH = re.compile(r"(?<!this )\bpatch(?:es)?\b(?! (?:series|set)\b)", re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """One patch. ``name`` is its name in messages: "fix.patch", or "series.mbox (2 of 3)"."""

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

    @cached_property
    def touched(self) -> list[Touched] | None:
        """The files that it touches; None if its diff is damaged or may not be applied."""
        try:
            return in_kernel(read_diff(self.mail.diff, self.name), self.name)
        except ConformanceError:
            return None

    @property
    def paths(self) -> set[str]:
        """The files that it touches, relative to the kernel."""
        return {path for file in self.touched or () for path in file.names}

    @property
    def may_concern(self) -> bool:
        """Whether it touches anything that is read when a kernel is configured or KVM is compiled.

        True also for names that are not plausible in a kernel; these are checked when it is applied.
        """
        return any(wanted(path) for path in self.paths) or not any(plausible(path) for path in self.paths)


@dataclass(frozen=True)
class Series:
    """Patches in the order in which they apply, and sentences about mails that are not patches.

    ``incomplete`` says which patches of the series are missing; ``claim`` is the claim of the cover letter.
    """

    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()
    claim: Claim | None = None


@dataclass(frozen=True)
class Commits:
    """Patches made of commits.

    ``onto`` is the kernel that they apply to; ``parts`` are the patches by the words that named them.
    ``notes`` say what was left out.
    """

    onto: str
    parts: Mapping[str, Sequence[Part]]
    notes: tuple[str, ...] = ()


def sources(series: Series, applied: int, commit: str) -> tuple[Source, ...]:
    """Where the code with each patch comes from, without the first ``applied``; then that with all patches.

    ``commit`` is the full name of the commit that they apply to, "" if it is unknown.
    """
    digests = tuple(hashlib.sha256(part.mail.diff).hexdigest() for part in series.parts)
    judged = list(enumerate(series.parts, 1))[applied:]
    each = (Source(commit, digests[:number], part.mail.message_id) for number, part in judged)
    return (*each, Source(commit, digests))


def part_of(name: str, mail: Mail) -> Part:
    """The patch in a mail. The subject of a reply belongs to another patch, unless its diff is inline."""
    subject = "" if mail.reply and not mail.inline else mail.subject
    return Part(name, mail, claim_of(subject, mail.message))


def read_series(files: Sequence[str], commits: Commits | None = None) -> Series:
    """The patches in files (``-`` is stdin), in the order of their numbers.

    ``commits`` are the patches of those ``files`` that name commits.

    Raises ConformanceError for a file that cannot be read, if no file holds a patch, and if a number of a
    series occurs twice.
    """
    if files.count(STDIN) > 1:
        raise ConformanceError("Stdin can be read once only: name - once.")
    found: list[Part] = []
    covers: list[Mail] = []
    notes = [*commits.notes] if commits is not None else []
    empty: list[str] = []
    for file in files:
        if commits is not None and file in commits.parts:
            found += commits.parts[file]
            continue
        name = "stdin" if file == STDIN else Path(file).name
        content = _content(file)
        mails = read_mails(content, name)
        patches, left_out = _patches(mails, name)
        covers += [mail for mail in mails if mail.number == 0 and mail.of and not mail.reply]
        if not patches:
            empty.append(_no_patch(name, content, mails))
            cover = any(mail.number == 0 for mail in mails)
            left_out.append(f"{name} is the cover letter" if cover else f"{name} holds no patch, left out")
        notes += left_out
        found += patches
    if not found:
        raise ConformanceError(" ".join(empty))
    return arrange(found, covers, notes)


def arrange(parts: Sequence[Part], covers: Sequence[Mail] = (), notes: Sequence[str] = ()) -> Series:
    """Parts in the order in which they apply: each series at the place of its first part, by number.

    ``covers`` are the cover letters among the mails. Raises ConformanceError if a number occurs twice.
    """
    ordered = tuple(part for group in _groups(parts) for part in _ordered(group))
    return Series(ordered, tuple(notes), tuple(_incomplete(ordered)), _promise(ordered, covers))


def _groups(parts: Sequence[Part]) -> list[list[Part]]:
    """Parts grouped by series; a part without a number is a group of its own."""
    groups: dict[object, list[Part]] = {}
    for part in parts:
        groups.setdefault(_series(part.mail) or part, []).append(part)
    return [*groups.values()]


def _series(mail: Mail) -> tuple[str, int, int] | None:
    return (mail.release, mail.version, mail.of) if mail.of else None


def _ordered(group: list[Part]) -> Iterable[Part]:
    """The parts of one series by number."""
    numbers = [part.mail.number for part in group]
    twice = sorted({number for number in numbers if number is not None and numbers.count(number) > 1})
    if twice and group[0].mail.of:
        raise ConformanceError(
            f"{group[0].name}: {twice[0]}/{group[0].mail.of} is there twice with different contents. "
            "Give one series at a time."
        )
    return sorted(group, key=lambda part: part.mail.number or 0)


def _incomplete(parts: Sequence[Part]) -> Iterable[str]:
    """A sentence for each series of which patches are missing."""
    for group in _groups(parts):
        total = group[0].mail.of or 0
        there = {part.mail.number for part in group}
        missing = [f"{number}/{total}" for number in range(1, total + 1) if number not in there]
        if missing:
            listed = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
            judged = "this patch is judged alone" if len(group) == 1 else "those given are judged in order"
            verb = "was" if len(missing) == 1 else "were"
            yield f"{group[0].name}: {listed} of the series {verb} not given; {judged}, without the others"


def _promise(parts: Sequence[Part], covers: Sequence[Mail]) -> Claim | None:
    """The claim of the cover letter for the whole series, if all parts belong to one series."""
    names = {_series(part.mail) for part in parts}
    for cover in covers:
        if names == {_series(cover)}:
            # The subjects in a shortlog are claims of the patches, not of the series.
            claim = claim_of(cover.subject, _ENTRY.sub("", cover.message))
            if claim and not claim.excepted and not _OF_ONE_PATCH.search(claim.sentence):
                return claim
    return None


def _content(file: str) -> bytes:
    try:
        directory = file != STDIN and Path(file).expanduser().is_dir()
    except (OSError, ValueError, RuntimeError):
        directory = False  # The error is reported where it is read.
    if directory:
        raise ConformanceError(f"{file} is a directory. Name the patch files in it, or one mailbox.")
    return (
        read_stream(sys.stdin.buffer, MOST_BYTES, "stdin") if file == STDIN else read_file(file, MOST_BYTES)
    )


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
    chosen = list(dict.fromkeys(chosen))  # A mail sent to two lists occurs twice.
    parts = []
    for number, mail in enumerate(chosen, 1):
        own = name if len(chosen) == 1 else f"{name} ({number} of {len(chosen)})"
        parts.append(part_of(own, mail))
    return parts, notes


def _count(number: int, one: str, many: str) -> str:
    return f"1 {one}" if number == 1 else f"{number} {many}"

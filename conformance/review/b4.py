# SPDX-License-Identifier: GPL-2.0-only
"""The input of a b4 check command: one mail on stdin, the rest of the series in a file or a repository.

b4 runs check commands at the top of the reviewer's repository. In a review, B4_TRACKING_FILE names a JSON
file about the series, whose thread is an mboxrd among the repository's objects. An author's series is the
current branch. Where neither has the patches before one, it is judged as if it were the only one.
https://b4.docs.kernel.org/
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.mails import MOST_BYTES, Mail, read_mails
from conformance.kernels.reading import read_file
from conformance.kernels.tools import run
from conformance.review.series import Part, Series, arrange, part_of

__all__ = ["Handed", "Setup", "handed"]

_RECENT = 200
"""How many commits of the current branch are looked through for an author's patch."""

_COMMIT = re.compile(r"[0-9a-f]{7,64}")


@dataclass(frozen=True)
class Setup:
    """What the user has configured: a kernel that everything goes onto, or a tree that has base-commits."""

    onto: str = ""
    tree: str = ""


@dataclass(frozen=True)
class Handed:
    """What to judge: patches on a kernel, the first ``applied`` of which are applied but not judged."""

    onto: str
    series: Series
    applied: int = 0


def handed(mail: Mail, setup: Setup, *, whole: bool = False) -> Handed:
    """What a mail from b4 asks to judge: its patch, or with ``whole`` or for a cover letter, the series.

    Raises ConformanceError if no kernel is known to apply it to, or if the series is not available.
    """
    tracked = _tracked()
    thread = _thread(tracked.get("thread-blob", "")) or _branch(mail)
    onto = setup.onto or _base([mail, *thread], tracked, setup.tree)
    patches = [_part(one) for one in thread if one.diff and not one.reply and one.version == mail.version]
    if mail.diff and not whole:
        before = [part for part in patches if (part.mail.number or 0) < (mail.number or 0)]
        before = sorted(dict.fromkeys(before), key=lambda part: part.mail.number or 0)
        series = Series((*before, _part(mail)), incomplete=tuple(_lacking(mail, before)))
        return Handed(onto, series, applied=len(before))
    if not patches and mail.diff and mail.of in (None, 1):
        patches = [_part(mail)]
    if not patches and not mail.of:
        raise ConformanceError("The mail holds no patch.")
    if not patches:
        raise ConformanceError(
            "Of the series there is only this mail. b4 hands the others over for a series that it tracks."
        )
    covers = [one for one in thread if one.number == 0 and not one.reply and one.version == mail.version]
    return Handed(onto, arrange(list(dict.fromkeys(patches)), covers))


def _lacking(mail: Mail, before: Sequence[Part]) -> Iterator[str]:
    """A sentence if earlier patches of the series are not available."""
    known = {part.mail.number for part in before}
    lacking = [number for number in range(1, mail.number or 0) if number not in known]
    if lacking:
        count = f"{len(lacking)} patches" if len(lacking) > 1 else "1 patch"
        yield f"{count} before it in the series, {lacking[0]}/{mail.of} first, not available: judged without"


def _part(mail: Mail) -> Part:
    name = f"patch {mail.number} of {mail.of}" if mail.of else "the patch"
    return part_of(name, mail)


def _tracked() -> Mapping[str, str]:
    """What b4 records about the series; empty if it does not track it."""
    try:
        series = json.loads(read_file(os.environ["B4_TRACKING_FILE"], MOST_BYTES))["series"]
        return {name: text for name, text in series.items() if isinstance(text, str)}
    except (KeyError, ConformanceError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _thread(blob: str) -> list[Mail]:
    """The mails of the thread that b4 has put into the repository."""
    if not _COMMIT.fullmatch(blob):
        return []
    found = run(["git", "cat-file", "blob", blob])
    if found.returncode:
        return []
    return read_mails(found.stdout.encode("utf-8", "surrogateescape"), "The thread that b4 keeps")


def _branch(mail: Mail) -> list[Mail]:
    """The author's series on the current branch, with the commit that it starts from."""
    if not mail.subject or not mail.number or not mail.of:
        return []
    listed = run(["git", "log", "-n", str(_RECENT), "--first-parent", "--format=%H %s"]).stdout.splitlines()
    here = next((entry.split()[0] for entry in listed if entry.partition(" ")[2] == mail.subject), None)
    if here is None:
        return []
    base = f"{here}~{mail.number}"
    words = ["--stdout", "--keep-subject", "--no-signature", "--no-renames", f"--base={base}"]
    found = run(["git", "format-patch", *words, f"{base}..{here}"])
    mails = [one for one in read_mails(found.stdout.encode("utf-8", "surrogateescape")) if one.diff]
    # An author's cover letter is a commit without a diff, and its subjects have no numbers yet.
    numbered = enumerate(mails, mail.number - len(mails) + 1)
    return [replace(one, number=place, of=mail.of, version=mail.version) for place, one in numbered]


def _base(mails: Sequence[Mail], tracked: Mapping[str, str], tree: str) -> str:
    """The kernel that a series applies to: the first base-commit that the tree contains."""
    place = Path(tree or ".").expanduser().absolute()
    named = [mail.base_commit for mail in mails] + [tracked.get("base-commit", "")]
    commits = [commit for commit in dict.fromkeys(named) if _COMMIT.fullmatch(commit)]
    for commit in commits:
        git = ["git", "-c", "safe.directory=*", "-C", str(place)]
        if run([*git, "cat-file", "-e", f"{commit}^{{commit}}"]).returncode == 0:
            return f"tree:{place}@{commit}"
    why = f"{place} does not have its base-commit {commits[0][:12]}" if commits else "it has no base-commit"
    raise ConformanceError(
        f"The mail says no kernel to put it onto: {why}. Name one: git config conformance.onto 6.1"
    )

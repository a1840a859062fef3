# SPDX-License-Identifier: GPL-2.0-only
"""Commits of a git tree as the patches that `git format-patch` makes of them.

The repository is only read; hooks, filters and other programs that it configures are not run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.mails import read_mail
from conformance.kernels.selector import Tree, parse
from conformance.kernels.tools import clean_environment, run
from conformance.review.series import Commits, Part, part_of

__all__ = ["find_commits"]

MOST = 500
"""The most commits that are judged at once."""

_SETTINGS = ("safe.directory=*", "core.fsmonitor=false", "log.showSignature=false", "format.pretty=email")
# The patches do not depend on the settings of the user or the repository, and no other program is run.
_ENVIRONMENT = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_NO_LAZY_FETCH": "1"}
_FORMAT = (
    *("--stdout", "--no-signature", "--no-ext-diff", "--no-textconv", "--no-attach", "--no-cover-letter"),
    *("--no-color", "--no-notes", "--no-base", "--full-index", "--find-renames", "--unified=3", "--relative"),
    *("--src-prefix=a/", "--dst-prefix=b/", "--ignore-submodules", "--encoding=UTF-8"),
    *("--subject-prefix=PATCH", "--no-numbered", "--no-thread"),
)


def find_commits(words: Sequence[str], onto: str | None) -> Commits | None:
    """The patches of the words that name a commit or a range rather than a file; None if no word does.

    Commits are looked up in the tree that ``onto`` names, or in the current directory. Raises
    ConformanceError for a word that is neither a file nor commits.
    """
    asked = [word for word in words if word != "-" and not _is_file(word)]
    if not asked:
        return None
    named = parse(onto) if onto else None
    place = named.path if isinstance(named, Tree) else Path()
    repository = _Repository(place)
    if repository.missing:
        hint = "" if isinstance(named, Tree) else " For a commit, name its tree: --onto tree:PATH."
        raise ConformanceError(f"{asked[0]} cannot be read: there is no such file.{hint}")
    found = {word: repository.find(word) for word in dict.fromkeys(asked)}
    notes = [f"{word}: {one.left_out}" for word, one in found.items() if one.left_out]
    parts = {word: repository.patches(one.commits, numbered=len(found) == 1) for word, one in found.items()}
    if not any(parts.values()):
        raise ConformanceError(f"{asked[0]} changes no file of {place.resolve()}.")
    checked_out = isinstance(named, Tree) and named.revision is None
    if onto and not (checked_out and repository.has(found[asked[-1]].commits[-1])):
        return Commits(onto, parts, tuple(notes))
    # The checked-out tree contains them already: they are applied to the commit that they start from.
    return Commits(f"tree:{place}@{found[asked[0]].base[:12]}", parts, tuple(notes))


def _is_file(word: str) -> bool:
    try:
        return Path(word).expanduser().exists()
    except (OSError, RuntimeError, ValueError):
        return False


@dataclass(frozen=True)
class _Range:
    """Commits in order, the commit that they apply to, and a sentence about those left out."""

    base: str
    commits: list[str]
    left_out: str


class _Repository:
    """The git repository that a tree belongs to."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.missing = not place.is_dir() or self.ask("rev-parse", "--git-dir") is None

    def ask(self, *words: str) -> str | None:
        """The output of a git command; None if it fails."""
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        argv = ["git", "--no-pager", *settings, "-C", str(self.place), *words]
        done = run(argv, env=clean_environment(**_ENVIRONMENT), purpose="Reading commits")
        return None if done.returncode else done.stdout.strip("\n")

    def find(self, word: str) -> _Range:
        """The commits that a word names."""
        if "..." in word:
            raise ConformanceError(
                f"{word} is the symmetric difference of two branches. Write A..B for the commits of B."
            )
        first, dots, last = word.partition("..")
        end = self.commit(last if dots else first, word)
        if self.ask("cat-file", "-e", f"{end}:./arch/x86/kvm") is None:
            raise ConformanceError(
                f"{word} is no commit of a kernel: {self.place.resolve()} has no arch/x86/kvm in it."
            )
        begin = self.commit(first, word) if dots else self.parent(end, word)
        base = self.ask("merge-base", begin, end)
        if not base:
            raise ConformanceError(f"{word} has no merge base: the two have no commit in common.")
        listed = (self.ask("rev-list", "--no-merges", "--reverse", f"{begin}..{end}") or "").split()
        if not listed:
            raise ConformanceError(f"{word} holds no commit that makes a patch.")
        if len(listed) > MOST:
            raise ConformanceError(f"{word} holds {len(listed)} commits, more than {MOST}. Name fewer.")
        merges = int(self.ask("rev-list", "--merges", "--count", f"{begin}..{end}") or 0)
        many = f"{merges} merges are" if merges > 1 else "a merge is"
        return _Range(base, listed, f"{many} left out, and what was resolved in it" if merges else "")

    def commit(self, word: str, asked: str) -> str:
        """The full name of a commit."""
        name = f"{word or 'HEAD'}^{{commit}}"
        found = self.ask("rev-parse", "--verify", "--quiet", "--end-of-options", name)
        if found is None:
            missing = "" if word == asked else f": there is no commit {word}"
            raise ConformanceError(
                f"{asked} is neither a file nor commits of {self.place.resolve()}{missing}."
            )
        return found

    def parent(self, commit: str, asked: str) -> str:
        parents = (self.ask("rev-list", "--parents", "-n", "1", commit) or "").split()[1:]
        if len(parents) != 1:
            kind = "is a merge" if parents else "has no parent"
            raise ConformanceError(f"{asked} {kind}, so that it makes no patch. Name a range: A..B.")
        return parents[0]

    def has(self, commit: str) -> bool:
        """Whether the checked-out tree contains a commit."""
        return self.ask("merge-base", "--is-ancestor", commit, "HEAD") is not None

    def patches(self, commits: Sequence[str], *, numbered: bool) -> list[Part]:
        """The patches of commits, without those that change no file here; numbered as a series if several."""
        mails = []
        for commit in commits:
            text = self.ask("format-patch", *_FORMAT, "-1", commit)
            if text is None:
                raise ConformanceError(
                    f"git makes no patch of commit {commit[:12]} in {self.place.resolve()}."
                )
            content = f"{text}\n".encode("utf-8", "surrogateescape")
            mails.append((commit[:12], read_mail(content, f"commit {commit[:12]}")))
        mails = [(name, mail) for name, mail in mails if mail.diff]
        if numbered and len(mails) > 1:
            mails = [
                (name, replace(mail, number=at, of=len(mails))) for at, (name, mail) in enumerate(mails, 1)
            ]
        return [part_of(f"commit {name}", mail) for name, mail in mails]

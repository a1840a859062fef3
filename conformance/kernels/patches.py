# SPDX-License-Identifier: GPL-2.0-only
"""Patches: unified diffs, `git format-patch` mails, mailboxes; applied as git applies them, without fuzz."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from unidiff import PatchedFile, PatchSet
from unidiff.errors import UnidiffParseError

from conformance.errors import ConformanceError
from conformance.kernels.tools import clean_environment, require, run

__all__ = ["Change", "Patch", "apply_patch", "read_patch"]


@dataclass(frozen=True)
class Change:
    """One diff of a patch file: all of it, or one mail's."""

    label: str
    """How messages name it: "patch fix.mbox", or "patch series.mbox, mail 2"."""
    text: bytes
    files: PatchSet

    @property
    def paths(self) -> set[str]:
        """The files that it touches, under their old and new names."""
        return {path for file in self.files for path in names_of(file)}


@dataclass(frozen=True)
class Patch:
    """A patch file as given on the command line."""

    name: str
    digest: str
    changes: tuple[Change, ...]

    @property
    def paths(self) -> set[str]:
        """The files that it touches."""
        return {path for change in self.changes for path in change.paths}

    @property
    def may_need_headers(self) -> bool:
        """Whether it touches an #include, or adds, removes or renames files: other headers may be read."""
        return any(
            re.search(rb"^[+-]\s*#\s*include", change.text, re.MULTILINE)
            or any(file.is_added_file or file.is_removed_file or file.is_rename for file in change.files)
            for change in self.changes
        )


def names_of(file: PatchedFile) -> set[str]:
    """The names of a patched file, without a/ and b/ and without /dev/null."""
    names = (file.source_file, file.target_file)
    return {re.sub(r"^[ab]/", "", name.split("\t")[0]) for name in names if name and "/dev/null" not in name}


def read_patch(path: Path, title: str, scratch: Path) -> Patch:
    """Read a patch file; ConformanceError if it cannot be read or holds no diff.

    scratch: an empty directory for the mails of a mailbox.
    """
    name = path.name
    try:
        content = path.read_bytes()
    except IsADirectoryError:
        raise ConformanceError(
            f"{title}: patch {path} is a directory. Name the patch files in it one by one."
        ) from None
    except OSError as trouble:
        raise ConformanceError(f"{title}: patch {path} cannot be read: {trouble.strerror}.") from None
    if not content.strip():
        raise ConformanceError(f"{title}: patch {path} is empty.")
    require(["git"], "Applying a patch")
    if re.match(rb"(From |[A-Za-z][A-Za-z0-9-]*:[ \t])", content):
        texts = split_mails(path, scratch)
    else:
        texts = [content]
    found = []
    for number, text in enumerate(texts, 1):
        label = f"patch {name}" if len(texts) == 1 else f"patch {name}, mail {number}"
        files = parse(text, f"{title}: {label}")
        if files:
            found.append(Change(label, text, files))
    if not found:
        raise ConformanceError(
            f"{title}: {path} is no patch: it holds no unified diff. Give a diff or format-patch mail."
        )
    return Patch(name, hashlib.sha256(content).hexdigest(), tuple(found))


def split_mails(path: Path, scratch: Path) -> list[bytes]:
    """The diff of each mail in a mailbox, decoded; empty for mails without one."""
    run(["git", "mailsplit", f"-o{scratch}", "-b", path.absolute()], cwd=scratch)
    texts = []
    for mail in sorted(scratch.glob("[0-9]*")):
        diff = scratch / f"{mail.name}.diff"
        run(["git", "mailinfo", scratch / "message", diff], cwd=scratch, given=mail.read_bytes())
        texts.append(diff.read_bytes() if diff.exists() else b"")
    return texts


def parse(text: bytes, what: str) -> PatchSet:
    """The files and hunks of a diff, if it is one that may be applied: a patch comes from anybody.

    A symbolic link could lead out of the copy that is patched. A quoted name would mean one file to git and
    another here; no file of the kernel needs quotes.
    """
    if re.search(rb"^(?:new file mode|new mode) 1[26]0000", text, re.MULTILINE):
        raise ConformanceError(f"{what} makes a symbolic link or a submodule, which is not applied here.")
    try:
        files = PatchSet(text.decode("utf-8", "surrogateescape"))
    except UnidiffParseError as trouble:
        raise ConformanceError(f"{what} is damaged: {trouble}. Export it again.") from None
    quoted = next((name for file in files for name in names_of(file) if '"' in name), None)
    if quoted:
        raise ConformanceError(f"{what} names the file {quoted}, which is no name of a kernel file.")
    return files


def apply_patch(
    patch: Patch, tree: Path, title: str, *, exists: Callable[[str], bool] | None = None
) -> tuple[list[str], list[str]]:
    """Apply a patch to the files in `tree`, which is changed; the touched files that are there, and the rest.

    A file that `tree` does not have is passed over, unless `exists` says that the whole kernel has none of
    that name either. Raises ConformanceError naming the file and hunk that does not apply; `tree` is then
    unusable.
    """
    applied: list[str] = []
    absent: list[str] = []
    for change in patch.changes:
        here = []
        for file in change.files:
            there = all((tree / old).is_file() for old in names_of(file)) or file.is_added_file
            if not there and file.is_rename:
                there = any((tree / old).is_file() for old in names_of(file))
            if there:
                here.append(file)
                applied.extend(sorted(names_of(file)))
                continue
            for path in sorted(names_of(file)):
                if exists is not None and not exists(path):
                    raise ConformanceError(
                        f"{title}: {change.label} does not apply: this kernel has no {path}. "
                        "Is it a patch for another kernel?"
                    )
                absent.append(path)
        if here:
            git_apply(change, absent, tree, title)
    return applied, absent


def git_apply(change: Change, absent: Sequence[str], tree: Path, title: str) -> None:
    """Let git apply a diff, less the files that are not there."""
    # An enclosing repository (a cache inside a home directory under git, say) would make git skip the files.
    environment = clean_environment(GIT_CEILING_DIRECTORIES=str(tree.resolve().parent))
    exclude = ["--exclude=" + re.sub(r"([*?[])", r"[\1]", path) for path in absent]
    words = ["git", "apply", "--whitespace=nowarn", *exclude, "-"]
    done = run(words, cwd=tree, env=environment, given=change.text)
    if done.returncode:
        raise ConformanceError(f"{title}: {explain(change, done.stderr)}")


def explain(change: Change, said: str) -> str:
    """Why git did not apply a diff: the file and the hunk."""
    failed = re.search(r"patch failed: (.*):(\d+)$", said, re.MULTILINE)
    if failed:
        path, line = failed[1], int(failed[2])
        for file in change.files:
            if path in names_of(file):
                for number, hunk in enumerate(file, 1):
                    if hunk.source_start == line:
                        return f"{change.label}: hunk {number} does not apply to {path} (line {line})"
        return f"{change.label} does not apply to {path} (line {line})"
    exists = re.search(r"error: (.*): already exists", said)
    if exists:
        return f"{change.label} does not apply: it creates {exists[1]}, which is already there"
    reason = re.sub(
        r"^(error|fatal): *", "", said.strip().splitlines()[0] if said.strip() else "git apply failed"
    )
    return f"{change.label} does not apply: {reason}"

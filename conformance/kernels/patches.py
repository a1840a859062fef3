# SPDX-License-Identifier: GPL-2.0-only
"""Reads and applies patch files: unified diffs, `git format-patch` mails, mailboxes."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from conformance.errors import ConformanceError, DoesNotApply
from conformance.kernels.applying import FUZZ, Blob, apply_files
from conformance.kernels.diffs import read_diff
from conformance.kernels.mails import MOST_BYTES, read_mails
from conformance.kernels.names import Touched, in_kernel, plausible
from conformance.kernels.reading import read_file
from conformance.kernels.staging import Wanted, wanted
from conformance.kernels.tools import require

__all__ = ["Applied", "Change", "Patch", "apply_patch", "listed", "read_patch"]

_INCLUDE = re.compile(rb"^[+-]\s*#\s*include", re.MULTILINE)


@dataclass(frozen=True)
class Change:
    """One diff of a patch file: the whole file, or one mail's."""

    label: str
    """Its name in messages: "patch fix.mbox", or "patch series.mbox, mail 2"."""
    files: tuple[Touched, ...]


@dataclass(frozen=True)
class Patch:
    """A patch file from the command line."""

    name: str
    digest: str
    changes: tuple[Change, ...]

    @property
    def files(self) -> list[Touched]:
        """The files that it touches, once for each diff."""
        return [file for change in self.changes for file in change.files]

    @property
    def paths(self) -> set[str]:
        """The old and new names of the files that it touches."""
        return {path for file in self.files for path in file.names}

    @property
    def may_need_headers(self) -> bool:
        """Whether it changes an #include, or adds, removes or renames files: other headers may be read."""
        return any(
            not file.old
            or not file.new
            or file.diff.moved
            or any(_INCLUDE.search(hunk.text) for hunk in file.diff.hunks)
            for file in self.files
        )


@dataclass
class Applied:
    """The result of applying a patch: files changed, files skipped, and notes."""

    files: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_patch(path: Path, title: str) -> Patch:
    """Read a patch file. Raises ConformanceError if it is unreadable or holds no diff that may be applied."""
    name = path.name
    if path.is_dir():
        raise ConformanceError(
            f"{title}: patch {path} is a directory. Name the patch files in it one by one."
        )
    try:
        content = read_file(path, MOST_BYTES)
    except ConformanceError as trouble:
        raise ConformanceError(f"{title}: patch {trouble}") from None
    if not content.strip():
        raise ConformanceError(f"{title}: patch {path} is empty.")
    require(["git"], "Applying a patch")
    mails = read_mails(content, f"{title}: patch {path}")
    found = []
    for number, mail in enumerate(mails, 1):
        label = f"patch {name}" if len(mails) == 1 else f"patch {name}, mail {number}"
        what = f"{title}: {label}"
        files = in_kernel(read_diff(mail.diff, what), what)
        if files:
            found.append(Change(label, tuple(files)))
    if not found:
        raise ConformanceError(
            f"{title}: {path} is no patch: it holds no unified diff. Give a diff or format-patch mail."
        )
    return Patch(name, hashlib.sha256(content).hexdigest(), tuple(found))


def apply_patch(
    patch: Patch,
    tree: Path,
    title: str,
    *,
    exists: Callable[[str], bool],
    fuzz: int = FUZZ,
    blob: Blob | None = None,
    which: Wanted = wanted,
) -> Applied:
    """Apply a patch to the files in `tree`, in place.

    A file that `tree` does not have is skipped if `exists` confirms that the kernel has it, and a new one if
    it is none of those that are staged (`which`). `fuzz` and `blob` control inexact hunks, see `apply_files`.

    Raises DoesNotApply, naming file and hunk, if anything does not apply or the kernel has none of the
    files; `tree` is unusable then.
    """
    applied = Applied()
    missing: list[tuple[Change, str]] = []
    strange: list[str] = []
    for change in patch.changes:
        here = []
        for file in change.files:
            name = file.old or file.new
            if (tree / name).is_file() if file.old else which(name):
                here.append(file)
                applied.files += sorted(file.names)
            elif not plausible(name):
                strange += sorted(file.names)
            elif not file.old or exists(name):
                applied.absent += sorted(file.names)
            else:
                missing.append((change, name))
        if here and not missing:
            applied.notes += apply_files(change.label, here, tree, title, fuzz=fuzz, blob=blob)
    for path in links_in(tree):
        raise DoesNotApply(f"{title}: {patch.name} does not apply: it makes {path}, a symbolic link.")
    if not applied.files and not applied.absent:
        raise DoesNotApply(
            f"{title}: {patch.name}: none of its files ({listed(patch.paths)}) is in this kernel. "
            "Is it a patch for another kernel, or made in a directory below its top?"
        )
    if missing:
        change, name = missing[0]
        raise DoesNotApply(
            f"{title}: {change.label} does not apply: this kernel has no {name}. "
            "Is it a patch for another kernel?"
        )
    applied.absent += strange
    if applied.files and applied.absent:
        others = listed(applied.absent)
        applied.notes.append(f"{patch.name} also changes {others}, not part of what is compiled here")
    return applied


def links_in(tree: Path) -> Iterator[str]:
    """The symbolic links in a tree; a staged kernel has none before it is patched."""
    for folder, folders, files in os.walk(tree):
        for name in (*folders, *files):
            if os.path.islink(f"{folder}/{name}"):
                yield os.path.relpath(f"{folder}/{name}", tree)


def listed(names: Iterable[str], most: int = 3) -> str:
    """The first few names, for a sentence."""
    distinct = sorted(set(names))
    rest = len(distinct) - most
    return ", ".join(distinct[:most]) + (f" and {rest} more" if rest > 0 else "")

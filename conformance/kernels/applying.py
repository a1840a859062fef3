# SPDX-License-Identifier: GPL-2.0-only
"""Applies a diff with git: exactly, by a three-way merge, or with less context; inexact hunks are reported.

git looks for a hunk elsewhere if it is not where it says (an offset), as patch does. Fuzz is patch's word for
lines of context that were ignored; git calls it reducing the context.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from conformance.errors import DoesNotApply
from conformance.kernels.cache import temporary
from conformance.kernels.names import Touched
from conformance.kernels.tools import clean_environment, run

__all__ = ["FUZZ", "Blob", "apply_files"]

FUZZ = 2
"""The default of --fuzz: how many lines of context may be ignored at each end of a hunk, as in patch."""

Blob = Callable[[str], "bytes | None"]
"""Returns the content of a git object by its abbreviated name, or None if it does not exist."""

_CHECKING = re.compile(r"Checking patch (?:\S+ => )?(\S+)\.\.\.")
_OFFSET = re.compile(r"Hunk #(\d+) succeeded at (\d+) \(offset -?\d+ lines?\)\.")
_REDUCED = re.compile(r"Context reduced to \((\d+)/(\d+)\) to apply fragment at (\d+)")


def apply_files(
    label: str,
    files: Sequence[Touched],
    tree: Path,
    title: str,
    *,
    fuzz: int = FUZZ,
    blob: Blob | None = None,
) -> list[str]:
    """Apply a diff to the files of `tree`; returns sentences about hunks that were not applied exactly.

    fuzz: how many lines of context may be ignored; 0 also forbids merging.
    blob: if it has the blob from which the diff was made, the change is merged three-way.

    Raises DoesNotApply, which names file and hunk, if the diff does not apply.
    """
    binary = next((file.name for file in files if file.diff.binary), None)
    if binary:
        raise DoesNotApply(f"{title}: {label} does not apply: it has a binary change to {binary}.")
    status, said = _git_apply(files, tree)
    if status and fuzz and blob is not None:
        merged = _merge(files, tree, blob)
        if merged:
            return [f"{label}: {note}" for note in merged]
    if status and fuzz:
        # At least one line has to match: a hunk without any would apply anywhere.
        context = max((hunk.context for file in files for hunk in file.diff.hunks), default=0)
        status, said = _git_apply(files, tree, f"-C{max(context - fuzz, 1)}")
    if status:
        raise DoesNotApply(f"{title}: {_why(label, files, said)}")
    return [f"{label}: {note}" for note in _inexact(files, said)]


def _git_apply(files: Sequence[Touched], tree: Path, *options: str) -> tuple[int, str]:
    """Apply files of a diff with git, all or none; returns git's status and messages."""
    # An enclosing repository (a cache inside a home directory under git, say) would make git skip the files.
    environment = clean_environment(GIT_CEILING_DIRECTORIES=str(tree.resolve().parent))
    text = b"".join(file.text() for file in files)
    words = ["git", "apply", "-v", "--whitespace=nowarn", *options, "-"]
    done = run(words, cwd=tree, env=environment, given=text)
    return done.returncode, done.stderr


def _inexact(files: Sequence[Touched], said: str) -> list[str]:
    """Sentences about hunks that git applied at an offset or with less context."""
    named = {file.name: file for file in files}
    file: Touched | None = None
    number = 0
    found: dict[tuple[str, int, int], list[int]] = {}
    lines = said.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        checking, offset, reduced = _CHECKING.match(line), _OFFSET.match(line), _REDUCED.match(line)
        if checking:
            file, number = named.get(checking[1]), 0
        if file is None or not (offset or reduced):
            continue
        hunks = file.diff.hunks
        if offset:
            number = int(offset[1])
            if not _REDUCED.match(following):
                hunk = hunks[number - 1]
                found.setdefault((file.name, 0, int(offset[2]) - hunk.target), []).append(number)
        elif reduced:
            before, after, at = (int(group) for group in reduced.groups())
            if not number:
                # git reports the position of the reduced hunk, which is lower by the lines that it left out.
                places = [hunk.target - (hunk.leading - before) for hunk in hunks]
                number = places.index(at) + 1 if at in places else 1
            hunk = hunks[number - 1]
            ignored = max(hunk.leading - before, hunk.trailing - after)
            place = (file.name, ignored, at - hunk.target - (hunk.leading - before))
            found.setdefault(place, []).append(number)
            number = 0
    return [_sentence(*place, numbers) for place, numbers in found.items()]


def _sentence(name: str, fuzz: int, offset: int, numbers: Sequence[int]) -> str:
    hunks = f"hunk {numbers[0]}" if len(numbers) == 1 else f"hunks {', '.join(map(str, numbers))}"
    how = " ".join([*([f"with fuzz {fuzz}"] if fuzz else []), *([f"at offset {offset}"] if offset else [])])
    return f"{hunks} of {name} applied {how}"


def _merge(files: Sequence[Touched], tree: Path, blob: Blob) -> list[str]:
    """Merge the changes three-way from the blobs of the diff; returns [] if that is not possible."""
    bases = [blob(file.diff.blob) if file.diff.blob and file.old == file.new else None for file in files]
    merged: list[bytes] = []
    for file, base in zip(files, bases, strict=True):
        if base is None:
            return []
        with temporary("merge") as folder:
            place = Path(folder, file.new)
            place.parent.mkdir(parents=True)
            place.write_bytes(base)
            if _git_apply([file], folder)[0]:
                return []
            Path(folder, "base").write_bytes(base)
            words = ["git", "merge-file", "-p", *map(str, (tree / file.new, Path(folder, "base"), place))]
            done = run(words, cwd=folder)
            if done.returncode:
                return []
            merged.append(done.stdout.encode("utf-8", "surrogateescape"))
    for file, content in zip(files, merged, strict=True):
        (tree / file.new).write_bytes(content)
    return [f"{file.name} merged three-way, from blob {file.diff.blob[:12]}" for file in files]


def _why(label: str, files: Sequence[Touched], said: str) -> str:
    """Why git did not apply a diff, with file and hunk."""
    failed = re.search(r"patch failed: (.*):(\d+)$", said, re.MULTILINE)
    if failed:
        path, line = failed[1], int(failed[2])
        for file in files:
            if path in file.names:
                for number, hunk in enumerate(file.diff.hunks, 1):
                    if hunk.start == line:
                        return f"{label}: hunk {number} does not apply to {path} (line {line})"
        return f"{label} does not apply to {path} (line {line})"
    exists = re.search(r"error: (.*): already exists", said)
    if exists:
        return f"{label} does not apply: it creates {exists[1]}, which is already there"
    reason = re.search(r"^(?:error|fatal): *(.*)", said, re.MULTILINE)
    return f"{label} does not apply: {reason[1] if reason else 'git apply failed'}"

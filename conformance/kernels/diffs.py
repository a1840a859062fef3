# SPDX-License-Identifier: GPL-2.0-only
"""Parses unified diffs as git, GNU diff, quilt and Subversion write them into files and hunks.

A patch is untrusted, and git must not parse it differently: what is applied is rewritten from what was parsed
here (`conformance.kernels.names` maps its file names to the kernel's). Hunks are read by their line counts,
so that no line of a hunk can pass for the header of the next file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from conformance.errors import ConformanceError

__all__ = ["FileDiff", "Hunk", "read_diff"]

_HUNK = re.compile(rb"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@")
_MODE = re.compile(
    rb"(old mode|new mode|new file mode|deleted file mode|index [0-9a-f]+\.\.[0-9a-f]+)(?:\s+(.*))?$"
)
_OCTAL = re.compile(rb"\+?0*([0-7]{1,7})\s*")
_SUBMODULE = re.compile(rb"(?:[-+]Subproject commit [0-9a-f]+\s*?\n)+", re.IGNORECASE)
_INDEX = re.compile(rb"index ([0-9a-f]{7,64})\.\.")
_STAMP = re.compile(
    r"""\s+(?: \d{4}-\d\d-\d\d\s.*                              # GNU diff
             | \w{3}\s\w{3}\s+\d{1,2}\s\d\d:\d\d:\d\d.*         # older ones, and quilt
             | \((?:revision|working\ copy|nonexistent|rev)\b.*  # Subversion
           )$""",
    re.VERBOSE,
)
_EPOCH = re.compile(r"\s(?:1970-01-01|1969-12-31)\s")
_MOST_FILES = 100_000
"""The largest number of files in a diff; a kernel has fewer."""
_MOST_NAME = 8 << 10
"""The longest line with a file name, in bytes; PATH_MAX is half of it."""
_FILE = 0o100000
_TYPES = {
    0o120000: "a symbolic link",
    0o160000: "a submodule",
    0o040000: "a directory",
    0o060000: "a device",
    0o020000: "a device",
    0o010000: "a FIFO",
    0o140000: "a socket",
}
"""The kinds of files, other than regular ones, that a mode can name."""

_LONGEST, _LONGEST_PATH = 255, 1024
"""The longest file name and path, in bytes: what file systems allow, far more than a kernel has."""


@dataclass(frozen=True)
class Hunk:
    """One hunk: its first line in the old and the new file, its lines including @@, its lines of context."""

    start: int
    target: int
    text: bytes
    leading: int
    trailing: int

    @property
    def context(self) -> int:
        """Lines of context at the end that has more."""
        return max(self.leading, self.trailing)


@dataclass
class FileDiff:
    """The changes to one file. The names are as written in the diff; "" where there is no file."""

    old: str
    new: str
    git: bool
    """Whether it has a git header."""
    added: bool = False
    removed: bool = False
    moved: bytes = b""
    """"rename" or "copy"."""
    binary: bool = False
    blob: str = ""
    """The abbreviated object name of the old content; "" if the diff has none."""
    modes: list[bytes] = field(default_factory=list)
    hunks: list[Hunk] = field(default_factory=list)


def read_diff(text: bytes, what: str) -> list[FileDiff]:
    """The files and hunks of a diff.

    Raises ConformanceError, prefixed with ``what``, about a diff that is damaged or must not be applied: a
    symbolic link could lead out of the patched copy, and no kernel file has a name that git quotes.
    """
    return _Reader(text, what).files()


class _Reader:
    """Reads the lines of a diff in one pass."""

    def __init__(self, text: bytes, what: str) -> None:
        self.lines = text.removesuffix(b"\n").split(b"\n")
        self.what = what
        self.found: list[FileDiff] = []
        self.headed: FileDiff | None = None
        """The file whose git header was read last, until its --- line."""

    def files(self) -> list[FileDiff]:
        at = 0
        while at < len(self.lines):
            at = self.take(at)
            if len(self.found) > _MOST_FILES:
                raise ConformanceError(f"{self.what} is not read: it has more than {_MOST_FILES:,} files.")
        for file in self.found:
            if file.added:
                file.old = ""
            if file.removed:
                file.new = ""
            if not file.old and not file.new:
                raise ConformanceError(f"{self.what} is damaged: it does not say which file it changes.")
        return self.found

    def take(self, at: int) -> int:
        """Read the part that begins at this line; returns the next line."""
        line = self.lines[at]
        if line.startswith(b"diff --git "):
            self.git_header(line)
        elif line.startswith((b"diff --cc ", b"diff --combined ")):
            raise ConformanceError(
                f"{self.what} holds the combined diff of a merge, which is not applied here."
            )
        elif line.startswith(b"--- ") and self.starts_file(at):
            self.names(line, self.lines[at + 1])
            return at + 2
        elif line.startswith(b"@@ -"):
            return self.hunk(at)
        elif self.headed is not None:
            self.extended(self.headed, line)
        return at + 1

    def starts_file(self, at: int) -> bool:
        following = self.lines[at + 1 : at + 3]
        return len(following) == 2 and following[0].startswith(b"+++ ") and following[1].startswith(b"@@ -")

    def git_header(self, line: bytes) -> None:
        words = line.split()[2:]
        if b'"' in line:
            self.quoted(line.removeprefix(b"diff --git "))
        old, new = (self.name(word)[0] for word in words) if len(words) == 2 else ("", "")
        self.headed = FileDiff(old, new, git=True)
        self.found.append(self.headed)

    def extended(self, file: FileDiff, line: bytes) -> None:
        """Read a line of a git header, other than the first and those with names."""
        mode = _MODE.match(line)
        if mode:
            self.mode(file, mode[1], mode[2] or b"")
        if line.startswith(b"new file mode"):
            file.added = True
        elif line.startswith(b"deleted file mode"):
            file.removed = True
        elif line.startswith((b"rename from ", b"rename old ", b"copy from ")):
            file.moved = line.split()[0]
        elif line.startswith((b"GIT binary patch", b"Binary files ")):
            file.binary = True
        elif line.startswith(b"index "):
            blob = _INDEX.match(line)
            file.blob = blob[1].decode() if blob else ""

    def mode(self, file: FileDiff, what: bytes, written: bytes) -> None:
        """Read a file's mode. git accepts signs, blanks and leading zeros before the octal digits."""
        if what.startswith(b"index") and not written.strip():
            return
        octal = _OCTAL.fullmatch(written)
        if octal is None:
            raise ConformanceError(
                f"{self.what} is damaged: {_text(written).strip()!r} is no file mode. Export it again."
            )
        mode = int(octal[1], 8)
        if mode & ~0o7777 != _FILE:
            made = _TYPES.get(mode & 0o170000, f"a file of the mode {mode:o}")
            raise self.no_file(file, made)
        if not what.startswith(b"index"):
            file.modes.append(what + (b" 100755" if mode & 0o111 else b" 100644"))

    def no_file(self, file: FileDiff, what: str) -> ConformanceError:
        """Raise ConformanceError about a file that a diff changes and that is not regular."""
        return ConformanceError(f"{self.what} does not apply: {file.new or file.old} is {what} in it.")

    def names(self, before: bytes, after: bytes) -> None:
        """Read the --- and +++ lines."""
        old, old_stamp = self.name(before[4:])
        new, new_stamp = self.name(after[4:])
        file = self.headed
        self.headed = None
        if file is None or file.hunks:
            file = FileDiff(old, new, git=False)
            # GNU diff -N dates an absent file with the epoch.
            file.added = not old or _EPOCH.search(old_stamp) is not None
            file.removed = not new or _EPOCH.search(new_stamp) is not None
            self.found.append(file)
            return
        for known, name in ((file.old, old), (file.new, new)):
            if known and name and known != name:
                raise ConformanceError(
                    f"{self.what} is damaged: it names one file both {known} and {name}. Export it again."
                )
        file.added, file.removed = file.added or not old, file.removed or not new
        file.old, file.new = old or file.old, new or file.new

    def name(self, written: bytes) -> tuple[str, str]:
        """A file name and the rest of its line; "" for /dev/null."""
        if len(written) > _MOST_NAME:
            raise ConformanceError(
                f"{self.what} is damaged: it names a file in {len(written):,} bytes. Export it again."
            )
        if written.startswith(b'"'):
            self.quoted(written)
        name, tab, stamp = _text(written).partition("\t")
        if not tab:
            bare = _STAMP.sub("", name)
            name, stamp = bare, name[len(bare) :]
        name = re.sub("//+", "/", name.rstrip())
        if name == "/dev/null":
            name = ""
        self.check_name(name)
        return name, f" {stamp} "

    def hunk(self, at: int) -> int:
        """Read a hunk; returns the line after it."""
        file = self.found[-1] if self.found else None
        numbers = _HUNK.match(self.lines[at])
        if file is None or numbers is None or self.headed is not None:
            raise ConformanceError(
                f"{self.what} is damaged: {_text(self.lines[at])[:60]} is no hunk of a file."
            )
        old, new = (1 if numbers[group] is None else int(numbers[group]) for group in (2, 4))
        kinds = bytearray()
        place = at + 1
        while old or new:
            # Mailers strip the blank of an empty context line.
            kind = self.lines[place][:1] or b" " if place < len(self.lines) else b""
            old -= kind in (b" ", b"-")
            new -= kind in (b" ", b"+")
            if kind not in (b" ", b"-", b"+", b"\\") or not kind or old < 0 or new < 0:
                where = f"hunk {len(file.hunks) + 1} of {file.new or file.old}"
                raise ConformanceError(
                    f"{self.what} is damaged: {where} has not the lines that it announces. Export it again."
                )
            kinds += kind
            place += 1
        if place < len(self.lines) and self.lines[place].startswith(b"\\"):
            place += 1
        kept = bytes(kinds).replace(b"\\", b"")
        leading, trailing = len(kept) - len(kept.lstrip()), len(kept) - len(kept.rstrip())
        content = b"\n".join(self.lines[at + 1 : place]) + b"\n"
        if _SUBMODULE.fullmatch(content):
            raise self.no_file(file, _TYPES[0o160000])
        text = numbers.group() + b"\n" + content
        file.hunks.append(Hunk(int(numbers[1]), int(numbers[3]), text, leading, trailing))
        file.added = file.added and (file.git or numbers.group().startswith(b"@@ -0,0 "))
        file.removed = file.removed and (file.git or numbers.group().endswith(b" +0,0 @@"))
        return place

    def check_name(self, name: str) -> None:
        """Refuse a name that could lead out of the kernel at any strip depth."""
        parts = name.split("/")
        if name.startswith("/"):
            wrong = "an absolute path"
        elif ".." in parts or ".git" in name.lower().split("/"):
            wrong = "a path out of the kernel"
        elif re.search(r'[^!-~]|["\\]', name) or (name and not parts[-1]):
            wrong = "no name of a kernel file"
        elif max(map(len, parts)) > _LONGEST or len(name) > _LONGEST_PATH:
            name, wrong = f"{name[:60]}...", "a name that is too long for a file"
        else:
            return
        raise ConformanceError(f"{self.what} does not apply: it names {name!r}, {wrong}.")

    def quoted(self, name: bytes) -> None:
        raise ConformanceError(
            f"{self.what} does not apply: it names the file {_text(name).strip()}, "
            "which is no name of a kernel file."
        )


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")

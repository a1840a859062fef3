# SPDX-License-Identifier: GPL-2.0-only
"""Maps the file names of a diff to the kernel's: how many leading directories to strip.

`patch -p1` and git strip one, a/ and b/. Other tools and settings write other prefixes, none, or longer ones:
i/ and w/ (diff.mnemonicPrefix), linux-6.1.orig/ and linux-6.1/ (quilt, diff -ruN), none (diff.noprefix),
linux.orig/ below a/ (git diff --no-index).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from conformance.errors import ConformanceError
from conformance.kernels.diffs import FileDiff

__all__ = ["Touched", "in_kernel", "plausible"]

DEEPEST = 8
"""The largest number of directories that are stripped."""

_FOLDERS = (
    "Documentation|LICENSES|arch|block|certs|crypto|drivers|fs|include|init|io_uring|ipc|kernel|lib|mm|net"
    r"|rust|samples|scripts|security|sound|tools|usr|virt|debian[\w.-]*|redhat|ubuntu"
)
# A checkout in a directory named kernel/ is more likely than kernel/arch/ in a kernel.
_LAYOUT = re.compile(
    rf"""(?: (?:{_FOLDERS})/ (?<!kernel/) | kernel/ (?!(?:{_FOLDERS})/) ) .
       | (?:\.\w[\w.-]* | COPYING | CREDITS | Kbuild | Kconfig | MAINTAINERS | Makefile | README(?:\.\w+)? ) $
    """,
    re.VERBOSE,
)


def plausible(name: str) -> bool:
    """Whether a file of a kernel can have this name, judging by the top-level directories."""
    return _LAYOUT.match(name) is not None


@dataclass(frozen=True)
class Touched:
    """A file that a diff touches, by its names in the kernel; "" where there is no file."""

    old: str
    new: str
    diff: FileDiff

    @property
    def names(self) -> set[str]:
        """Its old and new names."""
        return {self.old, self.new} - {""}

    @property
    def name(self) -> str:
        """Its name in messages."""
        return self.new or self.old

    def text(self) -> bytes:
        """Its part of the diff in git's format, under its names in the kernel."""
        old, new = (name.encode("utf-8", "surrogateescape") for name in (self.old, self.new))
        named = (b"a/" + (old or new), b"b/" + (new or old))
        head = [b"diff --git %b %b" % named, *self.diff.modes]
        if self.diff.moved:
            head += [b"%b from %b" % (self.diff.moved, old), b"%b to %b" % (self.diff.moved, new)]
        else:
            head += [b"new file mode 100644"] * (not old and not self.diff.modes)
            head += [b"deleted file mode 100644"] * (not new and not self.diff.modes)
        if self.diff.hunks:
            head += [
                b"--- " + (named[0] if old else b"/dev/null"),
                b"+++ " + (named[1] if new else b"/dev/null"),
            ]
        return b"\n".join(head) + b"\n" + b"".join(hunk.text for hunk in self.diff.hunks)


def in_kernel(files: Sequence[FileDiff], what: str) -> list[Touched]:
    """The files of a diff by their names in the kernel.

    One depth is chosen for all: that at which most names look like a kernel's. If there are several, it is 1,
    as in patch and git, or 0 if the names have no prefix. Raises ConformanceError, prefixed with ``what``,
    about a name that is too short for that depth.
    """
    depth, most = 1, -1
    likely = (0, 1) if any(map(_without_prefix, files)) else (1, 0)
    for each in (*likely, *range(2, DEEPEST)):
        count = _count(files, each)
        if count > most:
            depth, most = each, count
        if count == len(files):
            break
    return [_at(file, depth, what) for file in files]


def _without_prefix(file: FileDiff) -> bool:
    """Whether both names begin with the same top-level directory of the kernel."""
    names = [name for name in (file.old, file.new) if name]
    return len({name.partition("/")[0] for name in names}) == 1 and all(map(plausible, names))


def _count(files: Iterable[FileDiff], depth: int) -> int:
    """The number of files whose names look like a kernel's at that depth."""
    names = [old or new for old, new in (_stripped(file, depth) for file in files)]
    # Every directory may have a Makefile: alone, it does not determine the depth.
    return sum(plausible(name) and (depth < 2 or "/" in name) for name in names)


def _stripped(file: FileDiff, depth: int) -> tuple[str, str]:
    """Both names at a depth. Without a git header they must be one file: the one that git chooses."""
    old, new = (_strip(name, depth) for name in (file.old, file.new))
    if old and new and old != new and not file.git:
        # "spte.h.orig" and "spte.h", "spte.h" and "spte.h.new".
        old = new = old if new.startswith(old) else new
    return old, new


def _strip(name: str, depth: int) -> str:
    parts = name.split("/")
    return "/".join([*parts[depth:-1], parts[-1]]) if len(parts) > depth else ""


def _at(file: FileDiff, depth: int, what: str) -> Touched:
    old, new = _stripped(file, depth)
    if (file.old and not old) or (file.new and not new):
        raise ConformanceError(
            f"{what} does not apply: it names {file.new or file.old}, which is in no directory."
        )
    if old and new and old != new and not file.moved:
        raise ConformanceError(f"{what} does not apply: it names one file both {old} and {new}.")
    return Touched(old, new, file)

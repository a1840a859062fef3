# SPDX-License-Identifier: GPL-2.0-only
"""Input that can be read only once, stdin and pipes: kept as a file, so that a command can be repeated."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from conformance.errors import ConformanceError

__all__ = ["STDIN", "keep", "kept"]

STDIN = "-"
_NAME = "stdin"
"""The name of the file, which reports show."""
_KIND = "stdin"
_MOST = 64
"""The number of such files that the cache keeps."""


def kept(names: Iterable[str]) -> tuple[str, ...]:
    """The names of files, with those that can be read only once (``-`` and pipes) replaced by a copy.

    A run over several kernels reads the files several times, and the "again" command of a report must not
    wait for stdin. Raises ConformanceError if ``-`` is named twice.
    """
    given = tuple(names)
    if given.count(STDIN) > 1:
        raise ConformanceError("Stdin can be read once only: name - once.")
    return tuple(_kept(name) for name in given)


def keep(content: bytes) -> str:
    """The path of a file in the cache with this content."""
    from conformance.kernels import Cache
    from conformance.kernels.cache import key_of

    def write(entry: Path) -> None:
        (entry / _NAME).write_bytes(content)

    return str(Cache().get_or_build(_KIND, key_of(content), write, keep=_MOST) / _NAME)


def _kept(name: str) -> str:
    from conformance.kernels.mails import MOST_BYTES
    from conformance.kernels.reading import read_file, read_stream

    if name == STDIN:
        return keep(read_stream(sys.stdin.buffer, MOST_BYTES, "stdin"))
    try:
        path = Path(name).expanduser()
        mode = path.stat().st_mode
        if not (_once(mode) or (stat.S_ISREG(mode) and _of_the_process(path))):
            return name
        return keep(read_file(path, MOST_BYTES))
    except (OSError, ValueError, RuntimeError):
        return name  # The error is reported where the file is read.


def _of_the_process(path: Path) -> bool:
    """Whether the path depends on the process that opens it: /dev/stdin, /dev/fd/3, /proc/self/fd/3."""
    return path.absolute().parts[1:2] in (("dev",), ("proc",))


def _once(mode: int) -> bool:
    """Whether a file of this mode can be read only once."""
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)

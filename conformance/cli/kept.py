# SPDX-License-Identifier: GPL-2.0-only
"""Input that can be read once only: stdin and pipes, kept as a file, so that a command can be repeated."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from conformance.errors import ConformanceError

__all__ = ["STDIN", "keep", "kept"]

STDIN = "-"
_NAME = "stdin"
"""What the file is called, so that reports name what was read, and not a digest."""
_KIND = "stdin"
_MOST = 64
"""How many such files stay in the cache."""


def kept(names: Iterable[str]) -> tuple[str, ...]:
    """The same names of files, those that can be read once only (``-`` and pipes) replaced by a kept copy.

    Reports name these files in the command that shows a difference again, which must not wait on stdin; and
    a run over several kernels reads them several times.
    """
    given = tuple(names)
    if given.count(STDIN) > 1:
        raise ConformanceError("Stdin can be read once only: name - once.")
    return tuple(_kept(name) for name in given)


def keep(content: bytes) -> str:
    """A file in the cache with this content."""
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
        return name  # What is wrong with it is said where it is read.


def _of_the_process(path: Path) -> bool:
    """Whether the name means another file to another process: /dev/stdin, /dev/fd/3, /proc/self/fd/3."""
    return path.absolute().parts[1:2] in (("dev",), ("proc",))


def _once(mode: int) -> bool:
    """Whether what was read of such a file is gone."""
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)

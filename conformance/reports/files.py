# SPDX-License-Identifier: GPL-2.0-only
"""The file of a report: checked before the run, and written atomically after it.

Also how broken output streams are detected and silenced.
"""

from __future__ import annotations

import contextlib
import os
import select
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from conformance.errors import ConformanceError

__all__ = ["Destination", "Folder", "abandon", "is_broken"]


def is_broken(stream: IO[str]) -> bool:
    """Whether ``stream`` cannot be written to any more, as when the reader of a pipe has exited.

    A BrokenPipeError while it can be written to comes from another pipe, and is a defect.
    """
    try:
        stream.flush()
    except OSError:
        return True
    try:
        pipe = select.poll()
        pipe.register(stream.fileno(), 0)
    except (OSError, ValueError):
        return False  # It is no file, but captured by a test.
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in pipe.poll(0))


def abandon(stream: IO[str]) -> None:
    """Discard what is buffered for ``stream``; the interpreter would fail to flush it at exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class Destination:
    """A file that a report is written to. ``option`` is the option that named it, such as ``--junit``."""

    def __init__(self, option: str, path: Path) -> None:
        self.option = option
        self.path = path
        # A report through a symbolic link replaces what the link names, not the link.
        self.target = Path(os.path.realpath(path))

    def check(self) -> None:
        """Raise :class:`ConformanceError` if the file cannot be written. Leaves no file behind."""
        try:
            if self.target.is_dir():
                raise self._refusal("it is a directory; name a file in it")
            if not self.target.parent.is_dir():
                raise self._refusal(f"{self.path.parent} is not a directory; create it first")
            if self._in_place():
                # Non-blocking, since opening a FIFO waits for its reader; and never truncating.
                os.close(os.open(self.target, os.O_WRONLY | os.O_NONBLOCK))
                return
            if self.target.exists() and not os.access(self.target, os.W_OK):
                raise self._refusal("it exists and is not writable; name another file")
            handle, probe = self._temporary()
            os.close(handle)
            os.unlink(probe)
        except OSError as problem:
            raise self._refusal(f"{problem.strerror}; name a file in a directory you may write") from problem

    def write(self, text: str | bytes) -> None:
        """Write ``text``, as UTF-8 if it is no bytes, atomically: a reader sees the old file or the new one.

        Raises :class:`ConformanceError` if that fails; no partial file is left.
        """
        # Names of files may be no text.
        content = text if isinstance(text, bytes) else text.encode("utf-8", "backslashreplace")
        try:
            if self._in_place():
                with open(self.target, "wb") as there:
                    there.write(content)
                return
            handle, temporary = self._temporary()
            try:
                with open(handle, "wb") as there:
                    there.write(content)
                os.chmod(temporary, self._mode())
                os.replace(temporary, self.target)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise
        except OSError as problem:
            raise self._refusal(f"{problem.strerror}; the results above stand") from problem

    def _temporary(self) -> tuple[int, str]:
        # Short, so that a name of the longest allowed length still has a temporary neighbour.
        return tempfile.mkstemp(prefix=".conformance-", suffix=".tmp", dir=self.target.parent)

    def _in_place(self) -> bool:
        """Whether the file is a device or a pipe, which is written to and never replaced."""
        try:
            return not stat.S_ISREG(self.target.stat().st_mode)
        except FileNotFoundError:
            return False

    def _mode(self) -> int:
        """The access mode that ``open`` would give the file; that of mkstemp is private."""
        with contextlib.suppress(FileNotFoundError):
            return stat.S_IMODE(self.target.stat().st_mode)
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask

    def _refusal(self, why: str) -> ConformanceError:
        return ConformanceError(f"{self.option} {self.path}: cannot write it: {why}.")


class Folder:
    """A directory that pages are written to. ``option`` is the option that named it."""

    def __init__(self, option: str, path: Path) -> None:
        self.option = option
        self.path = path

    def check(self) -> None:
        """Make the directory if it does not exist, and raise ConformanceError if it cannot be written to."""
        try:
            if not self.path.parent.is_dir():
                raise self._refusal(f"{self.path.parent} is not a directory; create it first")
            self.path.mkdir(exist_ok=True)
            handle, probe = tempfile.mkstemp(prefix=".conformance-", suffix=".tmp", dir=self.path)
            os.close(handle)
            os.unlink(probe)
        except FileExistsError:
            raise self._refusal("it is a file; name a directory") from None
        except OSError as problem:
            raise self._refusal(f"{problem.strerror}; name a directory that you may write to") from problem

    def write(self, pages: Iterable[tuple[Path, str]]) -> None:
        """Write pages, each by its path in the directory. Raises ConformanceError if that fails."""
        try:
            for name, text in pages:
                (self.path / name).parent.mkdir(exist_ok=True)
                (self.path / name).write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError as problem:
            raise self._refusal(str(problem.strerror)) from problem

    def _refusal(self, why: str) -> ConformanceError:
        return ConformanceError(f"{self.option} {self.path}: cannot write to it: {why}.")

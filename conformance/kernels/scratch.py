# SPDX-License-Identifier: GPL-2.0-only
"""Directories that are needed for a while: removed with what needs them, or later if that was killed.

Each is locked by the process that made it. One that is not locked has lost its owner and is swept.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from conformance.errors import ConformanceError
from conformance.sandbox import processes

__all__ = ["cache_root", "place_of", "sweep", "temporary"]

TRIES = 10
PAUSE = 0.05
"""How often, and after how many seconds, removing is tried again: killed programs may still be writing."""

_in_use: dict[Path, int] = {}


def cache_root() -> Path:
    """The user's cache directory, or $CONFORMANCE_CACHE. Raises ConformanceError if there is neither."""
    chosen = os.environ.get("CONFORMANCE_CACHE") or platformdirs.user_cache_dir("conformance")
    try:
        place = Path(chosen).expanduser().absolute()
    except (RuntimeError, OSError) as trouble:  # There is no HOME, or the current directory was removed.
        why = str(getattr(trouble, "strerror", None) or trouble).rstrip(".")
        raise ConformanceError(
            f"There is no place for the cache: {why}. Set CONFORMANCE_CACHE to the path of a directory."
        ) from None
    try:
        os.fsencode(place).decode("utf-8")
    except UnicodeDecodeError:  # No library below it could be loaded: cffi takes names in UTF-8.
        raise ConformanceError(
            f"The cache cannot be in {str(place)!a}, which is not UTF-8. "
            "Set CONFORMANCE_CACHE to another directory."
        ) from None
    return place


def place_of(root: Path) -> Path:
    """Where the scratch directories of a cache are."""
    return root / "tmp"


@contextlib.contextmanager
def temporary(place: Path, name: str) -> Iterator[Path]:
    """A new directory in ``place``, removed whatever happens. OSError if it cannot be made."""
    made: tuple[Path, int] | None = None
    try:
        with processes.uninterrupted():
            path, lock = made = _make(place, name)
            _in_use[path] = lock
        yield path
    finally:
        if made is not None:
            with processes.uninterrupted():
                path, lock = made
                _remove(path)
                del _in_use[path]
                os.close(lock)


def _make(place: Path, name: str) -> tuple[Path, int]:
    """A directory and the descriptor that holds its lock."""
    while True:
        place.mkdir(parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=place))
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        # Some file systems have no locks; what is left there is not swept.
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        # Another process may have swept it before it was locked.
        if path.is_dir():
            return path, lock
        os.close(lock)


def sweep(place: Path, prefix: str = "") -> None:
    """Remove the directories in ``place`` that no living process holds."""
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if entry.name.startswith(prefix) and entry.is_dir(follow_symlinks=False):
                _sweep(Path(entry.path))


def _sweep(path: Path) -> None:
    with contextlib.suppress(OSError):
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(path)
        finally:
            os.close(lock)


def _remove(path: Path) -> None:
    for _ in range(TRIES):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            break
        time.sleep(PAUSE)


def _leave() -> None:
    """Remove what this process holds, and what its workers held before they were killed."""
    for path in [*_in_use]:
        _remove(path)
    with contextlib.suppress(ConformanceError):
        sweep(place_of(cache_root()))


processes.at_end(_leave)

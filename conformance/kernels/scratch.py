# SPDX-License-Identifier: GPL-2.0-only
"""Temporary directories: removed by their owner, or by a later run if the owner was killed.

Each is locked by the process that made it. An unlocked one has lost its owner and is swept.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from conformance.errors import ConformanceError
from conformance.sandbox import processes

__all__ = ["cache_root", "place_of", "sweep", "temporary"]

TRIES = 10
PAUSE = 0.05
"""How often, and after how many seconds, removal is retried: killed programs may still be writing."""

_in_use: dict[Path, int] = {}


def cache_root() -> Path:
    """$CONFORMANCE_CACHE, or the user's cache directory. Raises ConformanceError without either."""
    chosen = os.environ.get("CONFORMANCE_CACHE") or platformdirs.user_cache_dir("conformance")
    try:
        place = Path(chosen).expanduser().absolute()
    except (RuntimeError, OSError) as trouble:  # HOME is not set, or the current directory was removed.
        why = str(getattr(trouble, "strerror", None) or trouble).rstrip(".")
        raise ConformanceError(
            f"There is no place for the cache: {why}. Set CONFORMANCE_CACHE to the path of a directory."
        ) from None
    try:
        os.fsencode(place).decode("utf-8")
    except UnicodeDecodeError:  # Libraries below it could not be loaded: cffi takes names in UTF-8.
        raise ConformanceError(
            f"The cache cannot be in {str(place)!a}, which is not UTF-8. "
            "Set CONFORMANCE_CACHE to another directory."
        ) from None
    return place


def place_of(root: Path) -> Path:
    """The directory for the temporary directories of a cache."""
    return root / "tmp"


@contextlib.contextmanager
def temporary(place: Path, name: str) -> Iterator[Path]:
    """A new directory in ``place``, removed at the end. Raises OSError if it cannot be created."""
    made: tuple[Path, int] | None = None
    try:
        with processes.uninterrupted():
            path, lock = made = _make(place, name)
            _in_use[path] = lock
        if threading.current_thread() is not threading.main_thread():
            # The main thread may have removed all that there was, and it does not wait for others.
            processes.check()
        yield path
    finally:
        if made is not None:
            with processes.uninterrupted():
                path, lock = made
                _remove(path)
                del _in_use[path]
                os.close(lock)


def _make(place: Path, name: str) -> tuple[Path, int]:
    """Create a directory; returns it and the descriptor that holds its lock."""
    while True:
        place.mkdir(parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=place))
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        # Some file systems have no locks; directories there are not swept.
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        # Another process may have swept it before it was locked.
        if path.is_dir():
            return path, lock
        os.close(lock)


def sweep(place: Path, prefix: str = "") -> None:
    """Remove the directories in ``place`` that no process has locked."""
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
    """Remove the directories of this process and of its killed workers."""
    for path in [*_in_use]:
        _remove(path)
    with contextlib.suppress(ConformanceError):
        sweep(place_of(cache_root()))


processes.at_end(_leave)
